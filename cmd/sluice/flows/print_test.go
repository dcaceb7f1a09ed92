package flows

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func printAll(t *testing.T, o PrintOptions, all []*observerpb.GetFlowsResponse) (out, errs string) {
	t.Helper()
	o.Layout, o.Zone = time.StampMilli, time.UTC
	var b, e bytes.Buffer
	p := NewPrinter(&b, &e, o)
	for _, r := range all {
		if err := p.Print(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), e.String()
}

func TestPrint(t *testing.T) {
	usual := PrintOptions{Format: Compact, Names: true, Policies: true}
	for name, o := range map[string]PrintOptions{
		"compact": usual,
		"table":   {Format: Table, Names: true, Policies: true, Node: true},
		"dict":    {Format: Dict, Names: true, Policies: true, Node: true},
		"numeric": {Format: Compact, Names: true, Numeric: true, Node: true},
		"colour":  {Format: Compact, Names: true, Policies: true, Colour: true},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs := printAll(t, o, answers())
			if errs != "sluice: nodes node-b: unavailable\n" {
				t.Errorf("standard error: %q", errs)
			}
			file := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
}

// What is printed as JSON is read again as it was.
func TestPrintJSON(t *testing.T) {
	out, errs := printAll(t, PrintOptions{Format: JSON}, answers())
	if !strings.Contains(errs, `"NODE_UNAVAILABLE"`) {
		t.Errorf("standard error: %q", errs)
	}
	var warn bytes.Buffer
	f := &file{warn: &warn}
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		got, err := compactJSON(f.parse(i, []byte(line)))
		want, err2 := compactJSON(answers()[i])
		if got != want || err != nil || err2 != nil {
			t.Errorf("line %d: %s\n%s", i, line, warn.String())
		}
	}
}

func TestPrintQuietly(t *testing.T) {
	out, errs := printAll(t, PrintOptions{Format: Compact, Quiet: true}, answers()[len(samples()):])
	if out+errs != "" {
		t.Errorf("%q, %q", out, errs)
	}
}

// Names that others chose do not reach the terminal as commands.
func TestPrintCleans(t *testing.T) {
	f := &flowpb.Flow{IP: &flowpb.IP{Source: "::1", Destination: "::2"}, NodeName: "\x1b[2J", Summary: "\x1b]0;x\a",
		Source:          &flowpb.Endpoint{PodName: "a\x1b[31m", Namespace: "b\r\n"},
		IngressDeniedBy: []*flowpb.Policy{{Name: "p\x9b"}}, Verdict: flowpb.Verdict_DROPPED}
	for _, format := range []string{Compact, Table, Dict} {
		out, _ := printAll(t, PrintOptions{Format: format, Names: true, Node: true, Policies: true},
			[]*observerpb.GetFlowsResponse{{ResponseTypes: &observerpb.GetFlowsResponse_Flow{Flow: f}}})
		if strings.ContainsAny(out, "\x1b\x07\r\u009b") {
			t.Errorf("%s: %q", format, out)
		}
	}
}
