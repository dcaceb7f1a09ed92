package endpoint

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-net/sluice/observe"
)

// diary is a Journal that remembers.
type diary struct {
	mu      sync.Mutex
	entries []string
}

func (d *diary) write(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, fmt.Sprintf(format, args...))
}

func (d *diary) EndpointCreated(p *observe.Party) { d.write("created %s", p.Container) }
func (d *diary) EndpointDeleted(p *observe.Party) { d.write("deleted %s", p.Container) }

func (d *diary) EndpointRegenerated(p *observe.Party, err error) {
	d.write("regenerated %s %v", p.Container, err != nil)
}

func (d *diary) PolicyChanged(name string, revision uint64, rules int, deleted bool) {
	d.write("policy %s %d %v %v", name, rules, revision > 0, deleted)
}

// take returns what was written since it was called last, without repetitions.
func (d *diary) take() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := slices.Compact(d.entries)
	d.entries = nil
	return strings.Join(all, ", ")
}

func TestJournal(t *testing.T) {
	w := base(t)
	d := &diary{}
	w.Journal = d
	w.run(1, 3, "app=ops")
	w.settle()
	if got := d.take(); got != "created c3, regenerated c3 false" {
		t.Errorf("after a container came: %s", got)
	}
	w.apply(only("ops"))
	w.settle()
	if got := d.take(); got != "policy db 1 true false, regenerated c1 false" {
		t.Errorf("after a policy changed: %s", got)
	}
	w.apply(only("ops"))
	w.settle()
	if got := d.take(); strings.Contains(got, "deleted") || strings.Contains(got, "created") {
		t.Errorf("after the same again: %s", got)
	}
	w.kernel.set(func(int, string) bool { return true })
	if _, err := w.Regenerate(t.Context(), []string{id("ee", 1003)}); err != nil {
		t.Fatal(err)
	}
	w.kernel.set(nil)
	if got := d.take(); got != "regenerated c3 true" {
		t.Errorf("after programs that the kernel refused: %s", got)
	}
	if kind := w.PolicyKind("db"); kind != "CiliumClusterwideNetworkPolicy" {
		t.Errorf("the policy's kind is %q", kind)
	}
	_, err := w.DeletePolicies(t.Context(), []string{"db"})
	w.must(err)
	if got := d.take(); !strings.HasPrefix(got, "policy db 0 true true") {
		t.Errorf("after a policy was deleted: %s", got)
	}
	if kind := w.PolicyKind("db"); kind != "" {
		t.Errorf("the deleted policy's kind is %q", kind)
	}
	if kind := w.PolicyKind("labels"); kind != labelKind {
		t.Errorf("the kind of labels is %q", kind)
	}
	w.settle()
	d.take()
	w.must(w.stop(1, 3))
	if got := d.take(); got != "deleted c3" {
		t.Errorf("after a container went: %s", got)
	}
}
