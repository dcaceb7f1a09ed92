package endpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/confdir"
)

// fakeDir is a policy directory in memory.
type fakeDir struct {
	files map[string]string // "!" at the start of a text: it cannot be read, for that reason
	err   error
}

func (d *fakeDir) Path() string { return "/policy.d" }

func (d *fakeDir) Read() ([]confdir.File, error) {
	var all []confdir.File
	for name, text := range d.files {
		f := confdir.File{Name: name, Text: []byte(text)}
		if reason, bad := strings.CutPrefix(text, "!"); bad {
			f = confdir.File{Name: name, Err: errors.New(reason)}
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b confdir.File) int { return cmp.Compare(a.Name, b.Name) })
	return all, d.err
}

func (d *fakeDir) Follow(context.Context, func([]confdir.File, error) bool) {}

// named is the policy only(peer) under another name.
func named(name, peer string) string {
	return strings.Replace(only(peer), "{name: db}", "{name: "+name+"}", 1)
}

// dirWorld is a world with a policy directory.
type dirWorld struct {
	*world
	dir *fakeDir
}

func newDirWorld(t *testing.T) *dirWorld {
	w := &dirWorld{newWorld(t), &fakeDir{files: map[string]string{}}}
	w.PolicyDir = w.dir
	w.load()
	return w
}

func (w *dirWorld) load() {
	w.t.Helper()
	w.must(w.LoadPolicyFiles(context.Background()))
}

// restart starts the daemon again.
func (w *dirWorld) restart() {
	w.t.Helper()
	w.start()
	w.PolicyDir = w.dir
}

// inForce are the policies as "name=peer@file:line".
func (w *dirWorld) inForce() string {
	w.t.Helper()
	all, err := w.Policies(context.Background())
	w.must(err)
	var lines []string
	for _, p := range all {
		_, peer, _ := strings.Cut(p.Text, "fromEndpoints: [{matchLabels: {app: ")
		peer, _, _ = strings.Cut(peer, "}")
		line := fmt.Sprintf("%s=%s@%s", p.Name, peer, strings.TrimPrefix(p.Source, "/policy.d/"))
		if len(p.Problems) > 0 {
			line += "!"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, " ")
}

// broken are the broken files with their problems.
func (w *dirWorld) broken() string {
	w.t.Helper()
	all, err := w.PolicyFiles(context.Background())
	w.must(err)
	var lines []string
	for _, f := range all {
		for _, p := range f.Problems {
			if f.State != api.PolicyFileBroken {
				w.t.Errorf("%s is %s, with problems", f.Path, f.State)
			}
			lines = append(lines, p.String())
		}
	}
	return strings.Join(lines, "\n")
}

func (w *dirWorld) want(inForce string, broken ...string) {
	w.t.Helper()
	if got := w.inForce(); got != inForce {
		w.t.Errorf("in force: %q, want %q", got, inForce)
	}
	got := w.broken()
	if len(broken) == 0 && got != "" {
		w.t.Errorf("broken: %s", got)
	}
	for _, part := range broken {
		if !strings.Contains(got, part) {
			w.t.Errorf("broken: %q, want …%s…", got, part)
		}
	}
}

func TestPolicyFilesComeAndGo(t *testing.T) {
	w := newDirWorld(t)
	w.makeNetwork(1)
	e := w.run(1, 1, "app=db")
	enforced := func(want bool) {
		t.Helper()
		w.settle()
		all, err := w.Endpoints(context.Background())
		w.must(err)
		if len(all) != 1 || all[0].ID != e.ID || all[0].Ingress.Enforced != want {
			t.Errorf("ingress enforced is not %v: %+v", want, all)
		}
	}
	w.want("")
	enforced(false)
	w.dir.files["a.yaml"] = only("web")
	w.dir.files["b.yaml"] = "# nothing yet\n"
	w.load()
	w.want("db=web@a.yaml:1")
	enforced(true)

	generation := w.Generation()
	w.load()
	if w.Generation() != generation {
		t.Error("reading the same again was a change")
	}

	w.dir.files["b.yaml"] = named("second", "ops") + "---\n" + named("third", "job")
	w.load()
	w.want("db=web@a.yaml:1 second=ops@b.yaml:1 third=job@b.yaml:10")
	w.dir.files["b.yaml"] = "\n\n" + named("third", "job")
	w.load()
	w.want("db=web@a.yaml:1 third=job@b.yaml:3")
	w.dir.files = map[string]string{"c.yaml": only("web")} // a renamed file, another gone
	w.load()
	w.want("db=web@c.yaml:1")
	enforced(true)
	delete(w.dir.files, "c.yaml")
	w.load()
	w.want("")
	enforced(false)
	w.check()
}

// TestBrokenPolicyFile: what a file brought stays in force while it is broken, over restarts too, and only that.
func TestBrokenPolicyFile(t *testing.T) {
	for name, tt := range map[string]struct{ text, problem string }{
		"not YAML":      {"spec: [", "/policy.d/a.yaml:1: not valid YAML"},
		"unknown field": {strings.Replace(only("web"), "toPorts", "toPort", 1), "/policy.d/a.yaml:8: spec.ingress[0].toPort: unknown field, did you mean toPorts?"},
		"one of two":    {only("ops") + "---\nkind: Pod\n", "/policy.d/a.yaml:10: kind: "},
		"emptied":       {" \n", "/policy.d/a.yaml: the file is empty"},
		"unreadable":    {"!permission denied", "/policy.d/a.yaml: permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDirWorld(t)
			w.dir.files["a.yaml"], w.dir.files["b.yaml"] = only("web"), named("second", "ops")
			w.load()
			w.dir.files["a.yaml"], w.dir.files["b.yaml"] = tt.text, named("second", "job")
			w.load()
			w.want("db=web@a.yaml:1! second=job@b.yaml:1", tt.problem)

			w.restart() // with what the store has, then the directory
			w.want("db=web@a.yaml:1 second=job@b.yaml:1")
			w.load()
			w.want("db=web@a.yaml:1! second=job@b.yaml:1", tt.problem)

			w.dir.files["a.yaml"] = only("ops")
			w.load()
			w.want("db=ops@a.yaml:1 second=job@b.yaml:1")
		})
	}
}

func TestPolicyFileThatWasNeverGood(t *testing.T) {
	w := newDirWorld(t)
	w.dir.files["a.yaml"] = "kind: x"
	w.load()
	w.want("", `/policy.d/a.yaml:1: kind: "x" is not a policy`)
	w.dir.files["a.yaml"] = " "
	w.load()
	w.want("") // it has brought nothing that could be lost
}

func TestPolicyDirectoryFails(t *testing.T) {
	w := newDirWorld(t)
	missing := fmt.Errorf("read directory: %w", fs.ErrNotExist)
	w.dir.err = missing
	w.load()
	w.want("") // no directory is no fault
	w.dir.err, w.dir.files["a.yaml"] = nil, only("web")
	w.load()
	for _, err := range []error{missing, errors.New("input/output error")} {
		w.dir.files, w.dir.err = nil, err
		w.load()
		w.want("db=web@a.yaml:1", "/policy.d: ")
		w.restart()
		w.load()
		w.want("db=web@a.yaml:1", "/policy.d: ")
	}
	w.dir.err = nil
	w.load()
	w.want("")

	w.dir.files = map[string]string{"a.yaml": only("web")}
	w.load()
	w.restart()
	w.PolicyDir = nil // the setting was removed
	w.load()
	w.want("")
}

func TestPolicyFileNames(t *testing.T) {
	apply := func(w *dirWorld, text string) error {
		_, err := w.ApplyPolicies(context.Background(), []api.PolicySource{{Source: "hand.yaml", Text: text}})
		return err
	}
	t.Run("one that was applied", func(t *testing.T) {
		w := newDirWorld(t)
		w.must(apply(w, only("web")))
		w.dir.files["a.yaml"] = named("second", "ops") + "---\n" + only("ops")
		w.load()
		w.want("db=web@hand.yaml:1", "/policy.d/a.yaml:10: policy db was applied already, from hand.yaml:1: rename it, or run sluice policy delete db")
		// Once it is deleted, the file's takes its place in the same change.
		generation := w.Generation()
		change, err := w.DeletePolicies(context.Background(), []string{"db"})
		w.must(err)
		w.want("db=ops@a.yaml:10 second=ops@a.yaml:1")
		if change.Revision != generation+1 || len(change.Policies) != 1 || change.Policies[0].Action != api.ActionDeleted {
			t.Errorf("change %+v after generation %d", change, generation)
		}
	})
	t.Run("two files, the first has it", func(t *testing.T) {
		w := newDirWorld(t)
		w.dir.files["a.yaml"], w.dir.files["b.yaml"] = only("web"), only("ops")
		w.load()
		w.want("db=web@a.yaml:1", "/policy.d/b.yaml:1: policy db stands in /policy.d/a.yaml already")
		delete(w.dir.files, "a.yaml")
		w.load()
		w.want("db=ops@b.yaml:1")
		w.dir.files["a.yaml"] = only("web") // who has it keeps it
		w.load()
		w.want("db=ops@b.yaml:1", "/policy.d/a.yaml:1: policy db stands in /policy.d/b.yaml already")
		w.restart()
		w.load()
		w.want("db=ops@b.yaml:1", "/policy.d/a.yaml:1: ")
	})
	t.Run("a broken file keeps its name", func(t *testing.T) {
		w := newDirWorld(t)
		w.dir.files["b.yaml"] = only("web")
		w.load()
		w.dir.files["b.yaml"], w.dir.files["a.yaml"] = "kind: x", only("ops")
		w.load()
		w.want("db=web@b.yaml:1!", "/policy.d/a.yaml:1: policy db stands in /policy.d/b.yaml:1, which is broken and keeps it", "/policy.d/b.yaml:1: kind: ")
	})
	t.Run("a policy moves from a file to another", func(t *testing.T) {
		w := newDirWorld(t)
		w.dir.files["a.yaml"], w.dir.files["b.yaml"] = only("web")+"---\n"+named("second", "ops"), "#\n"
		w.load()
		w.dir.files["a.yaml"], w.dir.files["b.yaml"] = named("second", "ops"), only("web")
		w.load()
		w.want("db=web@b.yaml:1 second=ops@a.yaml:1")
	})
	t.Run("a refused file refuses who wants what it keeps", func(t *testing.T) {
		w := newDirWorld(t)
		w.must(apply(w, named("applied", "web")))
		w.dir.files["a.yaml"] = only("web")
		w.load()
		w.dir.files["a.yaml"], w.dir.files["b.yaml"] = named("applied", "web"), only("ops")
		w.load()
		w.want("applied=web@hand.yaml:1 db=web@a.yaml:1!", "a.yaml:1: policy applied was applied already", "b.yaml:1: policy db stands in /policy.d/a.yaml:1, which is broken")
	})
	t.Run("commands leave files alone", func(t *testing.T) {
		w := newDirWorld(t)
		w.dir.files["a.yaml"] = only("web")
		w.load()
		if err := apply(w, only("ops")); api.CodeOf(err) != api.CodeConflict || !strings.Contains(err.Error(), "/policy.d/a.yaml:1; change it there") {
			t.Errorf("apply: %v", err)
		}
		if _, err := w.DeletePolicies(context.Background(), []string{"db"}); api.CodeOf(err) != api.CodeConflict || !strings.Contains(err.Error(), "/policy.d/a.yaml:1; remove it there") {
			t.Errorf("delete: %v", err)
		}
		w.want("db=web@a.yaml:1")
	})
}
