package command

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-net/sluice/api"
)

func (a *app) exposed() *cobra.Command {
	var allow string
	var out output
	cmd := &cobra.Command{
		Use:   "exposed [ENDPOINT...] [flags]",
		Short: "List every way into containers, and by which rule",
		Long: `List every address and port on which containers can be reached, from where, and the rule that lets it
in: published ports, and the containers' own addresses from the same network (@net), other networks
(@other), this host (@host), and, where the network is routed, from outside (@lan, @internet). It is
what the receivers accept, whether or not the senders' own policies let them try; also what only the
mode audit or learn lets pass, which the rule column says.

With --allow, ways that the list does not name are marked, and the exit code is 1 if there are any. (Of
an error it is 1 too, with no output but a message on standard error; -o json has "beyond".) A line
of the list names containers (compose project/service, or a name; * for any part), ports and who may
reach them; commas separate several. Of published ports it is the host's port.

  # container    ports              from
  shop/web       80,443/tcp         @internet,@lan
  shop/db        5432               shop/web
  *              any                @net,@host`,
		Example: `  sluice exposed
  sluice exposed shop/db -o wide
  sluice exposed --allow exposed.list`,
		ValidArgsFunction: a.complete(0, containerNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := api.ExposedRequest{Refs: args}
			if allow != "" {
				text, err := a.readText(allow)
				if err != nil {
					return err
				}
				r.Allow = &text
			}
			all, err := a.client().Exposed(cmd.Context(), r)
			if err != nil {
				return err
			}
			if err := list(a.Out, out, all, exposureColumns(allow != "")); err != nil {
				return err
			}
			for _, e := range all {
				if e.Beyond != "" {
					return &silentError{}
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&allow, "allow", "", "`file` with the list of what may be exposed, or -")
	out.flags(cmd)
	return cmd
}

// readText reads a small file or standard input.
func (a *app) readText(name string) (string, error) {
	const most = 1 << 20
	var r io.Reader = a.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", fmt.Errorf("read list: %w", err)
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, most))
	if err != nil {
		return "", fmt.Errorf("read list: %w", err)
	}
	return string(b), nil
}

func exposureColumns(allow bool) []column[api.Exposure] {
	columns := []column[api.Exposure]{
		{name: "CONTAINER", value: func(e api.Exposure) string { return e.Container }},
		{name: "ADDRESS", value: func(e api.Exposure) string { return stringer(e.Address) }},
		{name: "PORTS", value: func(e api.Exposure) string { return e.Ports }},
		{name: "TO", value: func(e api.Exposure) string {
			if !e.Published {
				return ""
			}
			return strconv.Itoa(int(e.Target))
		}},
		{name: "FROM", value: func(e api.Exposure) string { return e.From }},
		{name: "RULE", value: exposureRule},
		{name: "NETWORK", wide: true, value: func(e api.Exposure) string { return e.Network }},
		{name: "SOURCE", wide: true, value: func(e api.Exposure) string { return e.Source }},
	}
	if allow {
		columns = append(columns, column[api.Exposure]{name: "BEYOND", value: func(e api.Exposure) string { return e.Beyond }})
	}
	return columns
}

func exposureRule(e api.Exposure) string {
	rule := strings.TrimPrefix(e.Policy+": "+e.Rule, ": ")
	if e.Mode != "" {
		return "mode " + e.Mode + " lets it pass: " + rule
	}
	return rule
}

func (a *app) policyGraph() *cobra.Command {
	var out format
	cmd := &cobra.Command{
		Use:   "graph [ENDPOINT...] [flags]",
		Short: "Show who may talk to whom",
		Long: `Show who may open connections to whom, and on which ports: compose services, other containers by name,
@host, and the world as @lan, @internet or prefixes. Both policies, the sender's egress and the
receiver's ingress, must allow it, and there must be a way. What passes only because a container is
in mode audit or learn is marked.

-o dot is for Graphviz, -o mermaid for Markdown.`,
		Example: `  sluice policy graph
  sluice policy graph -o dot | dot -Tsvg > policy.svg
  sluice policy graph shop/db -o mermaid`,
		ValidArgsFunction: a.complete(0, containerNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := a.client().Graph(cmd.Context(), args...)
			if err != nil {
				return err
			}
			switch out.value {
			case "dot":
				return printDOT(a.Out, all)
			case "mermaid":
				return printMermaid(a.Out, all)
			}
			return list(a.Out, output{format: out}, all, []column[api.Edge]{
				{name: "FROM", value: func(e api.Edge) string { return e.From }},
				{name: "TO", value: func(e api.Edge) string { return e.To }},
				{name: "PORTS", value: edgePorts},
			})
		},
	}
	out.flag(cmd, "table", "dot", "mermaid", "json", "yaml")
	return cmd
}

// edgePorts are the ports of an edge, and which of them only a mode lets pass.
func edgePorts(e api.Edge) string {
	if e.Unenforced == "" {
		return e.Ports
	}
	return e.Ports + " (not enforced: " + e.Unenforced + ")"
}

// printDOT prints edges in the language of Graphviz (graphviz.org/doc/info/lang.html).
func printDOT(w io.Writer, all []api.Edge) error {
	var b strings.Builder
	b.WriteString("digraph policy {\n  rankdir=LR;\n  node [shape=box];\n")
	quote := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(oneLine(s)) + `"`
	}
	for _, e := range all {
		fmt.Fprintf(&b, "  %s -> %s [label=%s];\n", quote(e.From), quote(e.To), quote(edgePorts(e)))
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// printMermaid prints edges as a flowchart of Mermaid (mermaid.js.org/syntax/flowchart.html).
func printMermaid(w io.Writer, all []api.Edge) error {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	numbers := map[string]int{}
	quote := func(s string) string { return `"` + strings.ReplaceAll(oneLine(s), `"`, "#quot;") + `"` }
	node := func(name string) string {
		n, known := numbers[name]
		if known {
			return fmt.Sprintf("n%d", n)
		}
		n = len(numbers)
		numbers[name] = n
		return fmt.Sprintf("n%d[%s]", n, quote(name))
	}
	for _, e := range all {
		from := node(e.From)
		fmt.Fprintf(&b, "  %s -->|%s| %s\n", from, quote(edgePorts(e)), node(e.To))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
