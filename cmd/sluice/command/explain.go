package command

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
)

// policyExplain makes "policy explain"; as makes "why", the same at the top.
func (a *app) policyExplain() *cobra.Command {
	return a.explain("explain", "policy explain")
}

func (a *app) why() *cobra.Command { return a.explain("why", "why") }

func (a *app) explain(name, words string) *cobra.Command {
	var with []string
	var out format
	cmd := &cobra.Command{
		Use:   name + " FROM TO[:PORT][/PROTOCOL] [flags]",
		Short: "Tell whether one end may reach another, and why",
		Long: `Tell whether FROM may open a connection to TO, which policies are asked on the way, the rule that
decides with its file and line or its label, and the smallest change that would give the other
answer. The loaded programs themselves are asked, with a packet that leaves no trace.

FROM and TO are containers, compose services (project/service, or the service alone where it is
unique), addresses, CIDRs, @host, @lan or @internet. The protocol is tcp (the default), udp, sctp,
icmp or icmpv6 (then the port is a type); without port and protocol every port is looked at. A port
of @host or of the host's address that a container publishes leads to that container.

With --with the answer is for policies that are not applied yet, by the tables they would give.

Exit codes: 0 if all that was asked is allowed, 1 if it is denied or only partly allowed. Whoever runs
it in a script and must tell a denial from an error, which is 1 too, looks at the output: of an error
there is none, only a message on standard error; -o json prints the verdict.`,
		Example: fmt.Sprintf(`  sluice %[1]s web db:5432
  sluice %[1]s shop/web 192.0.2.7:443
  sluice %[1]s @internet @host:8080
  sluice %[1]s web db:5432 --with stricter.yaml -o json`, words),
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.complete(2, endNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			sources, err := a.readSources(with)
			if err != nil {
				return err
			}
			e, err := a.client().Explain(cmd.Context(), api.ExplainRequest{From: args[0], To: args[1], With: sources})
			if err != nil {
				return err
			}
			if done, err := document(a.Out, out.value, e); err != nil {
				return err
			} else if !done {
				printExplanation(a.Out, e)
			}
			if e.Verdict != api.VerdictAllowed && e.Verdict != api.VerdictAudit {
				return &silentError{}
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&with, "with", nil, "judge as if this policy `file`, directory or - were applied (repeat for several)")
	out.flag(cmd, "table", "json", "yaml")
	return cmd
}

// printExplanation prints an explanation for people.
func printExplanation(w io.Writer, e api.Explanation) {
	for i, p := range e.Paths {
		if i > 0 {
			fmt.Fprintln(w)
		}
		by := ""
		if p.Published != 0 {
			by = fmt.Sprintf(" by port %d of the host", p.Published)
		}
		fmt.Fprintln(w, oneLine(fmt.Sprintf("%s -> %s %s%s: %s", partyName(p.Source), partyName(p.Destination), p.Ports, by, strings.ToUpper(p.Verdict))))
		tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		for _, s := range p.Steps {
			fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\n", s.Step, oneLine(stepPlace(s)), s.Verdict, oneLine(stepWhy(s)))
		}
		_ = tw.Flush() // what w refuses, the next line is refused too
		for _, r := range p.Flip {
			printRemedy(w, r)
		}
	}
	for _, n := range e.Notes {
		fmt.Fprintln(w, "note: "+oneLine(n))
	}
}

// partyName is a party without port, with the part of the world that it stands for.
func partyName(p api.Party) string {
	p.Port = 0
	if part := p.Labels["part"]; p.Entity == api.EntityWorld && part != "" {
		return part
	}
	if p.Entity == api.EntityHost {
		return "@host"
	}
	return p.String()
}

func stepPlace(s api.ExplainStep) string {
	if s.Container == "" {
		return "-"
	}
	return s.Container + "@" + s.Network
}

// stepWhy is the reason with where the rule stands.
func stepWhy(s api.ExplainStep) string {
	if s.Source == "" {
		return s.Why
	}
	return s.Why + " (" + s.Source + ")"
}

// printRemedy prints a change, ready to be pasted.
func printRemedy(w io.Writer, r api.Remedy) {
	verb := "allow"
	if r.Verdict == api.VerdictDenied {
		verb = "deny"
	}
	say := func(format string, args ...any) { fmt.Fprintf(w, "  "+format+"\n", args...) }
	for _, rule := range r.Remove {
		say("to %s it, remove the rule %s", verb, oneLine(rule))
	}
	for _, key := range slices.Sorted(maps.Keys(r.Labels)) {
		if r.Labels[key] == "" {
			say("to %s it, remove the label %s of %s", verb, oneLine(key), oneLine(r.Container))
			continue
		}
		say("to %s it, label %s:", verb, oneLine(r.Container))
		say("    %s: %s", oneLine(key), strconv.Quote(r.Labels[key]))
	}
	if r.Policy != "" {
		say("to %s it, apply:", verb)
		for line := range strings.Lines(strings.TrimRight(r.Policy, "\n")) {
			say("    %s", oneLine(strings.TrimRight(line, "\n")))
		}
	}
	for _, c := range r.Commands {
		say("now: %s", oneLine(c))
	}
	if r.Note != "" {
		say("to %s it: %s", verb, oneLine(r.Note))
	}
}
