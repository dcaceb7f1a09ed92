package command

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
)

func (a *app) status() *cobra.Command {
	var out output
	var check bool
	cmd := &cobra.Command{
		Use:   "status [flags]",
		Short: "Show how the daemon and the host are",
		Long: `Show how the daemon and the host are: what it needs and whether it has it, how many
networks, endpoints, policies and ports there are, and how full the kernel's tables are (-o wide).`,
		Example: `  sluice status
  sluice status --check && echo healthy
  sluice status -o json | jq .endpoints.ready`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			if done, err := document(a.Out, out.format.value, s); done {
				return checked(s, check, err)
			}
			return checked(s, check, printStatus(a.Out, out, s, a.Now()))
		},
	}
	out.flags(cmd)
	cmd.Flags().BoolVar(&check, "check", false, "exit with 1 unless the daemon is ready")
	return cmd
}

// checked is the error of --check.
func checked(s api.Status, check bool, err error) error {
	if err == nil && check && s.State != "ready" {
		return fmt.Errorf("check the daemon: it is %s", s.State)
	}
	return err
}

func printStatus(w io.Writer, o output, s api.Status, now time.Time) error {
	e := s.Endpoints
	err := facts(w, []fact{
		{"Daemon", fmt.Sprintf("%s, version %s, pid %d, up %s, %s", s.State, s.Version.Version, s.PID, ago(now, s.Started), size(s.Memory))},
		{"Host", fmt.Sprintf("%s, Linux %s, programs attached by %s", s.Host, s.Kernel, s.Doors)},
		{"Networks", strconv.Itoa(s.Networks)},
		{"Endpoints", fmt.Sprintf("%d: %d ready, %d closed, %d failed", e.Total, e.Ready, e.Closed, e.Failed)},
		{"Policies", fmt.Sprintf("%d, revision %d, %d identities", s.Policies, s.Revision, s.Identities)},
		{"Ports", strconv.Itoa(s.Ports)},
		{"Events", fmt.Sprintf("%d seen, %d lost, %d listening", s.Events.Seen, s.Events.Lost, s.Events.Subscribers)},
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(w)
	text := o
	if text.format.value != "wide" {
		text.format.value = "table"
	}
	err = list(w, text, s.Checks, []column[api.Check]{
		{name: "CHECK", value: func(c api.Check) string { return c.Name }},
		{name: "STATE", value: func(c api.Check) string {
			if c.OK {
				return "ok"
			}
			return "FAILS"
		}},
		{name: "DETAIL", value: func(c api.Check) string { return c.Detail }},
	})
	if err == nil && len(s.Exports) > 0 {
		fmt.Fprintln(w)
		err = list(w, text, s.Exports, exportColumns(now))
	}
	if err != nil || o.format.value != "wide" {
		return err
	}
	fmt.Fprintln(w)
	return list(w, text, s.Tables, []column[api.TableUse]{
		{name: "TABLE", value: func(t api.TableUse) string { return t.Name }},
		{name: "ENTRIES", value: func(t api.TableUse) string {
			if t.Entries < 0 {
				return ""
			}
			return strconv.Itoa(t.Entries)
		}},
		{name: "MAX", value: func(t api.TableUse) string { return strconv.Itoa(t.Max) }},
	})
}

// exportColumns shows receivers of flows.
func exportColumns(now time.Time) []column[api.Export] {
	count := func(n uint64) string { return strconv.FormatUint(n, 10) }
	return []column[api.Export]{
		{name: "EXPORT", value: func(x api.Export) string { return x.Name }},
		{name: "STATE", value: func(x api.Export) string { return x.State }},
		{name: "TARGET", value: func(x api.Export) string { return x.Target }},
		{name: "EXPORTED", value: func(x api.Export) string { return count(x.Exported) }},
		{name: "FAILED", value: func(x api.Export) string { return count(x.Failed) }},
		{name: "LOST", value: func(x api.Export) string { return count(x.Lost) }},
		{name: "WAITING", value: func(x api.Export) string { return count(x.Waiting) }},
		{name: "LAST ERROR", value: func(x api.Export) string {
			if x.LastError == "" {
				return ""
			}
			return ago(now, x.LastErrorTime) + " ago: " + x.LastError
		}},
		{name: "FILE", wide: true, value: func(x api.Export) string { return x.Source }},
	}
}
