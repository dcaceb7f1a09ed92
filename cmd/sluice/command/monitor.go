package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
)

// monitorFlags are the flags of monitor beside the filter's own fields.
type monitorFlags struct {
	out    format
	filter api.EventFilter
	ports  []uint
	since  time.Duration
	follow bool
	count  int
}

func (a *app) monitor() *cobra.Command {
	var f monitorFlags
	cmd := &cobra.Command{
		Use:   "monitor [flags]",
		Short: "Watch drops, verdicts and packets live",
		Long: `Watch what happens to packets, until it is interrupted. Without --type and --verdict it shows
drops with their reason and, where a policy did it, the rule, and what containers in audit mode were
let through that enforcing would drop (AUDIT). "--type verdict" shows what policies decide, allowed
connections too, and "--type trace" connections as they are opened, go on and close; the level of a
container (label sluice.observe) says how much of that there is. "--type learn" shows the connections
of containers in learn mode.

Values of one filter are alternatives; different filters must all fit. Endpoints, ports and
addresses fit either end of a packet.

Each line reads: time, verdict, source -> destination, protocol, reason and rule, and whose
program decided (egress: it left that container, ingress: it reached it). Events that were lost,
because programs report only so many a second or this reader was too slow, are counted in a line of
their own.`,
		Example: `  sluice monitor
  sluice monitor --endpoint web --verdict dropped,denied
  sluice monitor --type verdict --protocol tcp --port 5432 -o json
  sluice monitor --last 20 --follow=false
  sluice monitor --type trace --address 172.30.0.0/24 --since 5m`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.watch(cmd, f) },
	}
	f.flags(a, cmd)
	return cmd
}

func (f *monitorFlags) flags(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.filter.Types, "type", nil, "only `types`: drop, verdict, trace, audit, learn")
	flags.StringSliceVar(&f.filter.Verdicts, "verdict", nil, "only `verdicts`: allowed, denied, dropped, forwarded, audit, learned")
	flags.StringSliceVarP(&f.filter.Endpoints, "endpoint", "e", nil, "only `endpoints`: ids, containers, services")
	flags.StringSliceVar(&f.filter.Protocols, "protocol", nil, "only `protocols`: tcp, udp, icmp, icmpv6, sctp or a number")
	flags.UintSliceVarP(&f.ports, "port", "p", nil, "only `ports`")
	flags.StringSliceVar(&f.filter.Addresses, "address", nil, "only `addresses` or CIDRs")
	flags.StringSliceVar(&f.filter.Reasons, "reason", nil, "only drops for these `reasons`, by name")
	flags.IntVar(&f.filter.Last, "last", 0, "begin with as many events of the past as fit the filters")
	flags.DurationVar(&f.since, "since", 0, "begin with the events that are not older than this")
	flags.BoolVar(&f.follow, "follow", true, "go on with new events")
	flags.IntVarP(&f.count, "count", "n", 0, "end after so many events (0: do not end)")
	f.out.flag(cmd, "compact", "json")
	fixed(cmd, "type", api.EventDrop, api.EventVerdict, api.EventTrace, api.EventAudit, api.EventLearn)
	fixed(cmd, "verdict", api.VerdictAllowed, api.VerdictDenied, api.VerdictDropped, api.VerdictForwarded, api.VerdictAudit, api.VerdictLearned)
	fixed(cmd, "protocol", "tcp", "udp", "icmp", "icmpv6", "sctp")
	a.completeFlag(cmd, "endpoint", endpointNames)
}

// errEnough ends the stream after --count events.
var errEnough = errors.New("enough events")

// watch prints events until there are enough of them or the user interrupts.
func (a *app) watch(cmd *cobra.Command, f monitorFlags) error {
	if err := f.complete(a.Now()); err != nil {
		return usageError{err}
	}
	for _, name := range f.filter.Endpoints {
		if _, err := a.client().Endpoints(cmd.Context(), name); api.CodeOf(err) == api.CodeNotFound {
			fmt.Fprintf(a.Err, "sluice: no endpoint is called %q now; waiting for one\n", name)
		}
	}
	enc := json.NewEncoder(a.Out)
	seen := 0
	err := a.client().Events(cmd.Context(), f.filter, func(e api.Event) error {
		var err error
		if f.out.value == "json" {
			err = enc.Encode(e)
		} else {
			_, err = fmt.Fprintln(a.Out, oneLine(e.Compact()))
		}
		if e.Type != api.EventLost {
			seen++
		}
		if err == nil && f.count > 0 && seen >= f.count {
			err = errEnough
		}
		return err
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// complete checks what the flags say and fills the filter.
func (f *monitorFlags) complete(now time.Time) error {
	for _, p := range f.ports {
		if p == 0 || p > 65535 {
			return fmt.Errorf("--port %d: ports go from 1 to 65535", p)
		}
		f.filter.Ports = append(f.filter.Ports, uint16(p))
	}
	for _, a := range f.filter.Addresses {
		_, addrErr := netip.ParseAddr(a)
		_, prefixErr := netip.ParsePrefix(a)
		if addrErr != nil && prefixErr != nil {
			return fmt.Errorf("--address %q: it is neither an address nor a CIDR", a)
		}
	}
	if f.filter.Last < 0 || f.since < 0 || f.count < 0 {
		return errors.New("--last, --since and --count cannot be negative")
	}
	if f.since > 0 {
		f.filter.Since = now.Add(-f.since)
	}
	f.filter.Follow = f.follow
	return nil
}
