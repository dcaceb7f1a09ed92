package command

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/cmd/sluice/flows"
)

// hubbleSocket is the name of the socket on which the daemon speaks Hubble's protocol, beside that of its API.
const hubbleSocket = "hubble.sock"

// observeFlags are the flags of observe.
type observeFlags struct {
	filter flows.Filter
	ask    flows.Options
	print  flows.PrintOptions
	server flows.Server
	out    format
	color  format
	time   string
	file   string
	raw    bool
	masks  bool // ask only for the fields that are printed
}

func (a *app) observe() *cobra.Command {
	var f observeFlags
	cmd := &cobra.Command{
		Use:   "observe [CONTAINER|SERVICE...] [flags]",
		Short: "Show flows: who talks to whom, what was dropped, and why",
		Long: `Show the flows that the daemon has seen: the last 20, or those that the flags ask for, and with -f
what comes. Containers of compose are called project/service, and the deciding policy is named.
The flags are those of "hubble observe", beside --container, --service and --project. hubble itself
works, too: hubble observe --server unix:///run/sluice/hubble.sock

Values of one flag are alternatives; different flags must all fit. --not negates the flag after it.
Names of containers are whole; --pod takes the beginnings of names, as hubble does, and without
"project/" those of containers outside of compose. For hubble's flags that fit either end (--pod,
--ip, --port, --label and so on), one end must fit all of them; --container, --service and
--project fit on their own.

Each line reads: time, source, direction (<- is a reply, <> is not known), destination, what was seen,
the verdict with the policy and its rule, and what the packet was. Of connections that go on or are
over it says what they have carried.`,
		Example: `  sluice observe
  sluice observe -f web
  sluice observe --verdict DROPPED --since 1h
  sluice observe --from-service shop/web --to-service shop/db --port 5432 -f
  sluice observe --project shop --not --protocol udp --last 100 -o jsonpb
  sluice observe --to-identity world --since 10:00 --until 10:30 -o table
  sluice observe --input-file flows.json --http-status 5+`,
		ValidArgsFunction: a.complete(0, containerNames),
		RunE:              func(cmd *cobra.Command, args []string) error { return a.flows(cmd, args, &f) },
	}
	f.flags(a, cmd)
	return cmd
}

// flags adds what is no filter; filters are in observe_filters.go.
func (f *observeFlags) flags(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.ask.All, "all", false, "all flows that the daemon still has")
	flags.Uint64Var(&f.ask.Last, "last", 0, fmt.Sprintf("the last `N` flows (default %d)", flows.DefaultLast))
	flags.Uint64Var(&f.ask.First, "first", 0, "the first `N` flows that the daemon still has")
	flags.BoolVarP(&f.ask.Follow, "follow", "f", false, "go on with what comes")
	flags.StringVar(&f.ask.Since, "since", "", "flows since a `time`: how long ago (90s, 5m, 2h), or 15:04, 2006-01-02T15:04, RFC 3339")
	flags.StringVar(&f.ask.Until, "until", "", "flows until a `time`")
	flags.StringArrayVar(&f.ask.Allow, "allowlist", nil, "flows that match one of these `filters`, each a flow.FlowFilter as JSON")
	flags.StringArrayVar(&f.ask.Deny, "denylist", nil, "flows that match none of these `filters`")
	flags.StringSliceVar(&f.ask.Mask, "field-mask", nil, "ask only for these `fields` of flows (with -o json or jsonpb)")
	flags.BoolVar(&f.masks, "use-default-field-masks", true, "ask only for the fields that are printed")

	f.out.flag(cmd, flows.Compact, flows.Table, flows.Dict, flows.JSON, flows.JSONPB)
	flags.StringVar(&f.time, "time-format", "StampMilli", "how times are printed: `name` of a layout")
	fixed(cmd, "time-format", flows.TimeFormats()...)
	f.color.allowed, f.color.value = []string{"auto", "always", "never"}, "auto"
	flags.Var(&f.color, "color", "colours: auto on terminals, unless NO_COLOR is set")
	fixed(cmd, "color", f.color.allowed...)
	flags.BoolVar(&f.print.Numeric, "numeric", false, "addresses and numbers of identities instead of names")
	flags.BoolVar(&f.print.Names, "ip-translation", true, "names instead of addresses")
	flags.BoolVar(&f.print.Node, "print-node-name", false, "print the names of nodes")
	flags.BoolVar(&f.print.Policies, "print-policy-names", true, "print the policies and rules that decided")
	flags.BoolVarP(&f.print.Quiet, "silent-errors", "s", false, "say nothing of lost flows and missing nodes")
	flags.BoolVar(&f.raw, "print-raw-filters", false, "print the filters as hubble's configuration has them, and end")
	flags.StringVar(&f.file, "input-file", "", "read flows from a `file` of JSON lines instead (-: standard input)")
	_ = cmd.MarkFlagFilename("input-file")

	flags.StringVar(&f.server.Address, "server", "", "`address` of a Hubble server: unix:///PATH, HOST:PORT, tls://HOST:PORT "+
		"(default: hubble.sock beside the daemon's socket)")
	flags.BoolVar(&f.server.TLS, "tls", false, "speak TLS; implied by tls:// and the other flags of it")
	flags.BoolVar(&f.server.AllowInsecure, "tls-allow-insecure", false, "accept any certificate of the server")
	flags.StringSliceVar(&f.server.CAFiles, "tls-ca-cert-files", nil, "`files` of the server's authorities (PEM; default: the system's)")
	flags.StringVar(&f.server.CertFile, "tls-client-cert-file", "", "`file` of the client's certificate (PEM)")
	flags.StringVar(&f.server.KeyFile, "tls-client-key-file", "", "`file` of its key (PEM)")
	flags.StringVar(&f.server.ServerName, "tls-server-name", "", "`name` that the server's certificate must bear (default: the address's)")
	flags.DurationVar(&f.server.Timeout, "timeout", 5*time.Second, "how long to wait for a connection")
	for _, name := range []string{"tls-ca-cert-files", "tls-client-cert-file", "tls-client-key-file"} {
		_ = cmd.MarkFlagFilename(name)
	}
	f.filters(a, cmd)
}

// flows prints what is asked for.
func (a *app) flows(cmd *cobra.Command, args []string, f *observeFlags) error {
	req, err := a.flowsRequest(args, f)
	if err != nil {
		return usageError{err}
	}
	if f.raw {
		text, err := flows.Raw(req)
		if err == nil {
			_, err = io.WriteString(a.Out, text)
		}
		return err
	}
	source, err := a.flowSource(cmd, f)
	if err != nil {
		return err
	}
	defer source.Close()
	printer := flows.NewPrinter(a.Out, a.Err, f.print)
	err = source.Flows(cmd.Context(), req, printer.Print)
	if closed := printer.Close(); err == nil {
		err = closed
	}
	return err
}

// flowsRequest completes the flags and makes the request of them.
func (a *app) flowsRequest(args []string, f *observeFlags) (req *observerpb.GetFlowsRequest, err error) {
	for _, name := range args {
		if err := f.filter.Name(name); err != nil {
			return nil, err
		}
	}
	if f.print.Layout, err = flows.LayoutOf(f.time); err != nil {
		return nil, err
	}
	f.print.Format, f.print.Zone = f.out.value, time.Local
	f.print.Colour = f.color.value == "always" || f.color.value == "auto" && a.Getenv("NO_COLOR") == "" && a.terminal(a.Out)
	json := f.out.value == flows.JSON || f.out.value == flows.JSONPB
	switch {
	case f.out.value == flows.Table && f.ask.Follow:
		return nil, fmt.Errorf("-o table aligns its columns when all flows are there: it cannot follow")
	case !json && len(f.ask.Mask) > 0:
		return nil, fmt.Errorf("--field-mask is for -o json and -o jsonpb: -o %s prints certain fields", f.out.value)
	case !json && f.masks && f.file == "":
		f.ask.Mask = flows.Printed()
	}
	f.ask.File = f.file != ""
	if f.ask.File && f.ask.Follow {
		return nil, fmt.Errorf("--input-file cannot be followed")
	}
	return f.ask.Request(&f.filter, a.Now())
}

// flowSource opens the file or the server.
func (a *app) flowSource(cmd *cobra.Command, f *observeFlags) (flows.Source, error) {
	switch f.file {
	case "":
		if f.server.Address == "" {
			f.server.Address = "unix://" + filepath.Join(filepath.Dir(a.socket), hubbleSocket)
		}
		return flows.Dial(cmd.Context(), f.server)
	case "-":
		return flows.Read(io.NopCloser(a.In), a.Err), nil
	}
	file, err := os.Open(f.file)
	if err != nil {
		return nil, fmt.Errorf("read flows: %w", err)
	}
	return flows.Read(file, a.Err), nil
}
