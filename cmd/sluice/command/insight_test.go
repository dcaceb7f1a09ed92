package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/api/server/servertest"
)

func TestExplain(t *testing.T) {
	for _, format := range []string{"table", "json", "yaml"} {
		t.Run(format, func(t *testing.T) {
			for _, words := range [][]string{{"policy", "explain"}, {"why"}} {
				f := servertest.Sample()
				got := sluice(t, f, append(words, "web", "db:6379", "-o", format)...)
				if got.code != exitRefused || got.err != "" { // it is denied, and the output says so
					t.Fatalf("%+v", got)
				}
				golden(t, "policy/explain-"+format+".txt", got.out)
				want := []servertest.Call{{Method: "Explain", Args: api.ExplainRequest{From: "web", To: "db:6379"}}}
				if diff := cmp.Diff(want, f.Calls()); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
	f := servertest.Sample()
	f.Explained.Verdict = api.VerdictAllowed
	file := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(file, []byte("kind: P\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := sluice(t, f, "why", "web", "db:6379", "--with", file); got.code != exitGood {
		t.Errorf("allowed: %+v", got)
	}
	want := api.ExplainRequest{From: "web", To: "db:6379", With: []api.PolicySource{{Source: file, Text: "kind: P\n"}}}
	if diff := cmp.Diff(want, f.Calls()[0].Args); diff != "" {
		t.Error(diff)
	}
}

// TestErrorsAreNoDenials: a script can tell one from the other, though the exit code is the same: of an error nothing is
// printed but a message.
func TestErrorsAreNoDenials(t *testing.T) {
	for _, args := range [][]string{{"why", "web", "db:6379"}, {"exposed", "--allow", "-"}, {"policy", "learn", "web"}} {
		argv := append([]string{"sluice", "--socket", filepath.Join(t.TempDir(), "none"), "-o", "json"}, args...)
		if got := run(t, "* any @any\n", argv...); got.code != exitRefused || got.out != "" || !strings.Contains(got.err, "is sluiced running?") {
			t.Errorf("%v without a daemon: %+v", args, got)
		}
	}
	got := sluice(t, servertest.Sample(), "why", "web", "db:6379", "-o", "json")
	var e api.Explanation
	if err := json.Unmarshal([]byte(got.out), &e); err != nil || e.Verdict != api.VerdictDenied || got.code != exitRefused {
		t.Errorf("a denial: %+v, %v", got, err)
	}
}

// TestExplainPrintsRemedies: whatever a change consists of is printed, and nothing of it can command the terminal.
func TestExplainPrintsRemedies(t *testing.T) {
	f := servertest.Sample()
	f.Explained.Notes = []string{"one note"}
	f.Explained.Paths[0].Flip = []api.Remedy{
		{Verdict: api.VerdictAllowed, Container: "db", Labels: map[string]string{"sluice.ingress.deny": ""}, Remove: []string{"deny-all: ingressDeny[0] (d.yaml:7)"}},
		{Verdict: api.VerdictAllowed, Policy: "kind: CiliumNetworkPolicy\nspec: \x1b[31m\n"},
		{Verdict: api.VerdictAllowed, Note: "no policy can change it"},
	}
	got := sluice(t, f, "why", "web", "db:6379").out
	for _, want := range []string{"to allow it, remove the rule deny-all: ingressDeny[0] (d.yaml:7)\n", "to allow it, remove the label sluice.ingress.deny of db\n",
		"to allow it, apply:\n      kind: CiliumNetworkPolicy\n      spec: ?[31m\n", "to allow it: no policy can change it\n", "note: one note\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestDiff(t *testing.T) {
	dir := policyDir(t)
	for _, format := range []string{"table", "json", "yaml"} {
		goldenRun(t, "policy/diff-"+format+".txt", "policy", "diff", "-f", dir, "-o", format)
	}
	f := servertest.Sample()
	if got := sluice(t, f, "policy", "apply", "-f", dir, "--dry-run"); got.code != exitGood || !strings.Contains(got.out, "connection cut: @host") {
		t.Errorf("%+v", got)
	}
	if calls := f.Calls(); len(calls) != 1 || calls[0].Method != "DiffPolicies" {
		t.Errorf("a dry run asked for %v", calls)
	}
	f.DiffValue = api.PolicyDiff{}
	if got := sluice(t, f, "policy", "diff", "-f", dir); !strings.HasPrefix(got.out, "nothing that is allowed now would change") {
		t.Errorf("%+v", got)
	}
}

func TestExposed(t *testing.T) {
	for _, format := range []string{"table", "wide", "json", "yaml"} {
		goldenRun(t, "exposed/"+format+".txt", "exposed", "-o", format)
	}
	f := servertest.Sample()
	f.ExposureList[1].Beyond = "tcp 8080"
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte("db any @any\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got := sluice(t, f, "exposed", "--allow", file)
	if got.code != exitRefused || got.err != "" {
		t.Errorf("%+v", got)
	}
	golden(t, "exposed/beyond.txt", got.out)
	f.ExposureList[0].Mode = "audit"
	golden(t, "exposed/audit.txt", sluice(t, f, "exposed").out)
}

func TestGraph(t *testing.T) {
	for _, format := range []string{"table", "dot", "mermaid", "json", "yaml"} {
		goldenRun(t, "policy/graph-"+format+".txt", "policy", "graph", "-o", format)
		f := servertest.Sample()
		f.EdgeList[0].Unenforced = "udp"
		golden(t, "policy/graph-audit-"+format+".txt", sluice(t, f, "policy", "graph", "-o", format).out)
	}
}

func TestLearn(t *testing.T) {
	for _, format := range []string{"text", "wide", "json", "yaml"} {
		goldenRun(t, "policy/learn-"+format+".txt", "policy", "learn", "web", "-o", format)
	}
	f := servertest.Sample()
	f.LearnedValue.Mode, f.LearnedValue.Lost, f.LearnedValue.Flows = "enforce", 3, nil
	got := sluice(t, f, "policy", "learn", "web", "--format", "cnp", "--reset")
	for _, want := range []string{"is in mode enforce now", "3 connections could not be recorded", "nothing was seen of shop/frontend"} {
		if !strings.Contains(got.err, want) {
			t.Errorf("no %q in %q", want, got.err)
		}
	}
	if got := sluice(t, f, "policy", "learn", "web", "--format", "xml"); got.code != exitRefused || !strings.Contains(got.err, "labels, yaml or cnp") {
		t.Errorf("%+v", got)
	}
}
