package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
)

func (a *app) policyDiff() *cobra.Command {
	var files []string
	var out format
	cmd := &cobra.Command{
		Use:   "diff -f FILE|DIR|- [flags]",
		Short: "Show what policies would change if they were applied",
		Long: `Show what policies would change if they were applied, in the place of those of the same names: who
could open what to whom that cannot now (+), or no longer (-), and which live connections would be
cut. Nothing is stored.

Ends are compose services, containers, @host, @lan, @internet, or prefixes of the world. What
concerns the world is by the containers' own ports.

` + policyFiles,
		Example: `  sluice policy diff -f stricter.yaml
  sluice policy diff -f policies/ -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.diff(cmd, files, out.value) },
	}
	fileFlag(cmd, &files, true)
	out.flag(cmd, "table", "json", "yaml")
	return cmd
}

// diff prints what the files would change.
func (a *app) diff(cmd *cobra.Command, files []string, format string) error {
	sources, err := a.readSources(files)
	if err != nil {
		return err
	}
	d, err := a.client().DiffPolicies(cmd.Context(), sources)
	if err != nil {
		return err
	}
	if done, err := document(a.Out, format, d); done {
		return err
	}
	return printDiff(a.Out, d)
}

func printDiff(w io.Writer, d api.PolicyDiff) error {
	if len(d.Pairs) == 0 && len(d.Connections) == 0 {
		_, err := fmt.Fprintf(w, "nothing that is allowed now would change (%s regenerated)\n", count(d.Endpoints, "endpoint"))
		return err
	}
	rows := [][]string{{"", "FROM", "TO", "PORTS"}}
	for _, p := range d.Pairs {
		if p.Opened != "" {
			rows = append(rows, []string{"+", p.From, p.To, p.Opened})
		}
		if p.Closed != "" {
			rows = append(rows, []string{"-", p.From, p.To, p.Closed})
		}
	}
	rows[0][0] = " "
	if err := table(w, rows); err != nil {
		return err
	}
	for _, c := range d.Connections {
		rule := c.Rule
		if rule == "" {
			rule = "no rule"
		}
		fmt.Fprintln(w, oneLine(fmt.Sprintf("connection %s: %s(%s) -> %s(%s) %s by %s", c.Change, c.From, c.Source, c.To, c.Destination, c.Protocol, rule)))
	}
	_, err := fmt.Fprintf(w, "%s regenerated, %s changed\n", count(d.Endpoints, "endpoint"), count(len(d.Connections), "live connection"))
	return err
}
