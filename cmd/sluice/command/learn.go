package command

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
)

func (a *app) policyLearn() *cobra.Command {
	var r api.LearnRequest
	var out format
	cmd := &cobra.Command{
		Use:   "learn CONTAINER [flags]",
		Short: "Print the tightest policy that covers what a container was seen to do",
		Long: `Print the tightest policy that covers what a container, or the containers of a compose service, was
seen to do in mode learn (label sluice.mode: learn): labels to be pasted into compose.yaml, or a
policy file. Peers become services before addresses, and of a connection the destination's port
counts. What was seen outlives restarts of the daemon; --reset forgets it after printing.

What it is made from is printed with -o wide, json or yaml.`,
		Example: `  sluice endpoint label web --add sluice.mode=learn
  sluice policy learn web
  sluice policy learn shop/web --format yaml > web.yaml
  sluice policy learn web --reset`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.complete(1, containerNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Ref = args[0]
			learned, err := a.client().Learn(cmd.Context(), r)
			if err != nil {
				return err
			}
			if done, err := document(a.Out, out.value, learned); done {
				return err
			}
			return a.printLearned(learned, out.value == "wide")
		},
	}
	f := format{allowed: []string{api.LearnLabels, api.LearnYAML, api.LearnCNP}, value: api.LearnLabels}
	cmd.Flags().StringVar(&r.Format, "format", f.value, "labels, yaml (the short form) or cnp (a CiliumNetworkPolicy)")
	fixed(cmd, "format", f.allowed...)
	cmd.Flags().BoolVar(&r.Reset, "reset", false, "forget what was seen")
	out.flag(cmd, "text", "wide", "json", "yaml")
	return cmd
}

// printLearned prints a policy, and before it, as comments, what it is made from.
func (a *app) printLearned(l api.Learned, wide bool) error {
	if l.Mode != "learn" {
		fmt.Fprintf(a.Err, "sluice: %s is in mode %s now: nothing more is recorded; set the label sluice.mode=learn\n", l.Subject, l.Mode)
	}
	if l.Lost > 0 {
		fmt.Fprintf(a.Err, "sluice: %d connections could not be recorded: the policy may lack them\n", l.Lost)
	}
	if len(l.Flows) == 0 {
		fmt.Fprintf(a.Err, "sluice: nothing was seen of %s: the policy allows nothing\n", l.Subject)
	}
	if wide {
		fmt.Fprintf(a.Out, "# %s since %s\n", oneLine(l.Subject), l.Since.UTC().Format(time.RFC3339))
		rows := [][]string{{"# DIRECTION", "PEER", "PORTS", "SEEN", "LAST"}}
		for _, f := range l.Flows {
			rows = append(rows, []string{"# " + f.Direction, f.Peer, f.Ports, strconv.FormatUint(f.Count, 10), ago(a.Now(), f.Last)})
		}
		if err := table(a.Out, rows); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(a.Out, strings.TrimRight(l.Policy, "\n"))
	return err
}
