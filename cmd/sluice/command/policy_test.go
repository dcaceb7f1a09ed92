package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/api/server"
	"github.com/sluice-net/sluice/api/server/servertest"
)

// policyDir is a directory with two policies and two other things.
func policyDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"b.yaml": "kind: B\n", "a.json": "{}", "README.md": "no policy"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "sub.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPolicyApply(t *testing.T) {
	dir := policyDir(t)
	f := servertest.Sample()
	got := sluice(t, f, "policy", "apply", "-f", dir)
	if got.code != exitGood || got.out != "policy a created: selects 1 endpoint\npolicy b created: selects 1 endpoint\n" {
		t.Errorf("got %+v", got)
	}
	want := []servertest.Call{{Method: "ApplyPolicies", Args: []api.PolicySource{
		{Source: filepath.Join(dir, "a.json"), Text: "{}"}, {Source: filepath.Join(dir, "b.yaml"), Text: "kind: B\n"}}}}
	if diff := cmp.Diff(want, f.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestPolicyApplyWaitsAndReadsStandardInput(t *testing.T) {
	f := servertest.Sample()
	socket := servertest.Serve(t, f.Backend(), server.Options{})
	got := run(t, "kind: X", "sluice", "--socket", socket, "policy", "apply", "-f", "-", "--wait")
	if got.code != exitGood || !strings.HasSuffix(got.out, "\nrevision 13 is in effect, 2 endpoints regenerated\n") {
		t.Errorf("got %+v", got)
	}
	want := []servertest.Call{{Method: "ApplyPolicies", Args: []api.PolicySource{{Source: "-", Text: "kind: X"}}}, {Method: "Wait", Args: uint64(13)}}
	if diff := cmp.Diff(want, f.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestPolicyApplyTimesOut(t *testing.T) {
	f := servertest.Sample()
	f.Hold = make(chan struct{})
	got := sluice(t, f, "policy", "apply", "-f", policyDir(t), "--wait", "--timeout", "10ms")
	want := "sluice: wait for revision 13 (the change itself was accepted): 2 endpoints are missing\n"
	if got.code != exitRefused || got.err != want {
		t.Errorf("got %+v, want stderr %q", got, want)
	}
}

func TestPolicyRefused(t *testing.T) {
	f := servertest.Sample()
	f.Refuse = &api.Error{Code: api.CodeInvalid, Message: "read policies: 2 problems", Problems: []api.Problem{
		{Source: "a.yaml", Line: 7, Message: "unknown field toFQDN"}, {Source: "b.yaml", Message: "no document"}}}
	for _, verb := range []string{"apply", "validate"} {
		got := sluice(t, f, "policy", verb, "-f", policyDir(t))
		want := "sluice: read policies: 2 problems\na.yaml:7: unknown field toFQDN\nb.yaml: no document\n"
		if got.code != exitRefused || got.err != want || got.out != "" {
			t.Errorf("%s: got %+v, want stderr %q", verb, got, want)
		}
	}
}

func TestPolicyEmptyDirectory(t *testing.T) {
	got := sluice(t, servertest.Sample(), "policy", "apply", "-f", t.TempDir())
	if got.code != exitRefused || !strings.Contains(got.err, "there is no *.yaml, *.yml or *.json file in it") {
		t.Errorf("got %+v", got)
	}
}

func TestPolicyTooLarge(t *testing.T) {
	file := filepath.Join(t.TempDir(), "big.yaml")
	if err := os.WriteFile(file, make([]byte, maxSources+1), 0o644); err != nil {
		t.Fatal(err)
	}
	got := sluice(t, servertest.Sample(), "policy", "validate", "-f", file)
	if got.code != exitRefused || !strings.Contains(got.err, "at most 12.0 MiB are accepted") {
		t.Errorf("got %+v", got)
	}
}

func TestPolicyValidate(t *testing.T) {
	f := servertest.Sample()
	got := sluice(t, f, "policy", "validate", "-f", policyDir(t))
	if got.code != exitGood || got.out != "policy a valid: selects 1 endpoint\npolicy b valid: selects 1 endpoint\n" {
		t.Errorf("got %+v", got)
	}
	if calls := f.Calls(); len(calls) != 0 {
		t.Errorf("validate changed something: %v", calls)
	}
}

func TestPolicyList(t *testing.T) {
	for _, format := range []string{"table", "wide", "json", "yaml"} {
		t.Run(format, func(t *testing.T) { goldenRun(t, "policy/list-"+format+".txt", "policy", "list", "-o", format) })
	}
}

func TestPolicyGet(t *testing.T) {
	goldenRun(t, "policy/get-text.txt", "policy", "get", "deny-all", "allow-web")
	goldenRun(t, "policy/get-json.txt", "policy", "get", "allow-web", "-o", "json")
	goldenRun(t, "policy/get-table.txt", "policy", "get", "allow-web", "-o", "table")
}

func TestPolicyDelete(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "allow-web.yaml")
	if err := os.WriteFile(file, []byte("kind: X\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ args, want []string }{
		"by name": {[]string{"deny-all"}, []string{"shop/deny-all"}},
		"by file": {[]string{"-f", file}, []string{"allow-web"}},
		"all":     {[]string{"--all"}, []string{"allow-web", "shop/deny-all"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := servertest.Sample()
			got := sluice(t, f, append([]string{"policy", "delete"}, c.args...)...)
			if got.code != exitGood || !strings.HasPrefix(got.out, "policy "+c.want[0]+" deleted: selected 2 endpoints\n") {
				t.Errorf("got %+v", got)
			}
			if diff := cmp.Diff([]servertest.Call{{Method: "DeletePolicies", Args: c.want}}, f.Calls()); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
	f := servertest.Sample()
	f.PolicyList = nil
	if got := sluice(t, f, "policy", "delete", "--all"); got.code != exitGood || got.out != "there is no policy that was applied\n" {
		t.Errorf("nothing to delete: %+v", got)
	}
}
