package datapath

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/policy"
)

// TestPrivilegedPaceSockets: sockets of the host are bothered only while a container has a limit, also one that a former
// daemon gave.
func TestPrivilegedPaceSockets(t *testing.T) {
	testutil.Privileged(t)
	dir, group := pinDir(t), testCgroup(t)
	attached := func() bool {
		t.Helper()
		_, err := os.Stat(filepath.Join(dir, "cgroup", paceHook))
		return err == nil
	}
	start := func() *Loader {
		t.Helper()
		l := openLoader(t, dir)
		if err := AttachSockets(group, dir, l); err != nil {
			t.Fatal(err)
		}
		if err := l.PaceSockets(group, dir); err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := start()
	limit := func(slot uint32, rate policy.Rate) {
		t.Helper()
		p := sample(slot)
		p.EgressRate = rate
		mustReplace(t, l, p)
	}
	clear := func(slot uint32) {
		t.Helper()
		if err := l.Clear(slot); err != nil {
			t.Fatal(err)
		}
	}
	some := policy.Rate{BitsPerSecond: 20_000_000}
	for _, step := range []struct {
		about string
		do    func()
		want  bool
	}{
		{"nobody has a limit", func() {}, false},
		{"a container without one", func() { limit(4, policy.Rate{}) }, false},
		{"one has", func() { limit(5, some) }, true},
		{"two have", func() { limit(6, some) }, true},
		{"one lost it", func() { limit(5, policy.Rate{}) }, true},
		{"the daemon was started anew", func() { l = start() }, true},
		{"the other is gone", func() { clear(6) }, false},
		{"again", func() { limit(5, some) }, true},
		{"gone", func() { clear(5) }, false},
		{"gone twice", func() { clear(5) }, false},
	} {
		step.do()
		if attached() != step.want {
			t.Errorf("%s: attached: %t", step.about, attached())
		}
	}
}
