package endpoint

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sluice-net/sluice/api"
)

// act is one request, and what the engine does when it fails.
type act struct {
	name    string
	prepare func(w *world)
	do      func(w *world) error
	failed  func(w *world) // the engine's answer to an error
}

// base is a network with a database, a client that may reach it, and a published port.
func base(t *testing.T) *world {
	w := newWorld(t)
	w.makeNetwork(1)
	w.run(1, 1, "app=db")
	w.run(1, 2, "app=web")
	w.apply(only("web"))
	w.settle()
	w.must(w.Program(t.Context(), portsRequest(1, 1, 8080)))
	w.check()
	return w
}

func acts() []act {
	ctx := context.Background()
	nothing := func(*world) {}
	giveUp := func(network, n int) func(w *world) { return func(w *world) { _ = w.stop(network, n) } }
	network := networkRequest(2)
	return []act{
		{"create network", nothing, func(w *world) error { return w.CreateNetwork(ctx, network) }, nothing},
		{"delete network", nothing, func(w *world) error {
			w.engine.do(func() { delete(w.engine.networks, id("aa", 1)) })
			w.engine.detach(id("ee", 1001))
			w.engine.detach(id("ee", 1002))
			return w.DeleteNetwork(ctx, id("aa", 1))
		}, nothing},
		{"join", nothing, func(w *world) error { return w.tryRun(1, 3, "app=ops") }, giveUp(1, 3)},
		{"join of known labels", nothing, func(w *world) error { return w.tryRun(1, 3, "app=web") }, giveUp(1, 3)},
		{"join without labels", func(w *world) { w.engine.do(func() { w.engine.down = true }) }, func(w *world) error {
			err := w.tryRun(1, 3, "app=web")
			w.engine.do(func() { w.engine.down = false })
			return err
		}, giveUp(1, 3)},
		{"stop", nothing, func(w *world) error { return w.stop(1, 1) }, nothing},
		{"leave and join again", nothing, func(w *world) error {
			err := w.Leave(ctx, id("aa", 1), id("ee", 1001))
			if err == nil {
				_, err = w.Join(ctx, joinRequest(1, 1))
			}
			return err
		}, giveUp(1, 1)},
		{"publish", nothing, func(w *world) error { return w.Program(ctx, portsRequest(1, 2, 9090)) }, giveUp(1, 2)},
		{"publish others", nothing, func(w *world) error { return w.Program(ctx, portsRequest(1, 1, 9090)) }, giveUp(1, 1)},
		{"publish on another network", func(w *world) { w.connectIPv4() }, func(w *world) error { return w.takeIPv4() }, func(w *world) {
			_ = w.stop(2, 1)
			_ = w.Program(ctx, portsRequest(1, 1, 8080))
		}},
		{"revoke", nothing, func(w *world) error { return w.Revoke(ctx, id("aa", 1), id("ee", 1001)) }, nothing},
		{"apply policy", nothing, func(w *world) error {
			_, err := w.ApplyPolicies(ctx, []api.PolicySource{{Text: only("ops")}})
			w.Manager.regenerate(ctx, "")
			return err
		}, nothing},
		{"delete policy", nothing, func(w *world) error {
			_, err := w.DeletePolicies(ctx, []string{"db"})
			w.Manager.regenerate(ctx, "")
			return err
		}, nothing},
		{"relabel", nothing, func(w *world) error {
			_, err := w.Relabel(ctx, id("ee", 1002), api.LabelChange{Add: map[string]string{"app": "ops"}})
			w.Manager.regenerate(ctx, "")
			w.Manager.regenerate(ctx, "")
			return err
		}, nothing},
		{"reconcile", func(w *world) {
			w.engine.detach(id("ee", 1001))
			w.engine.attach(id("aa", 1), id("ee", 1002), Container{ID: id("cc", 2), Name: "renamed", Labels: map[string]string{"app": "web"}})
			w.later(time.Hour)
		}, func(w *world) error { _, err := w.Reconcile(ctx); return err }, nothing},
		{"restore", func(w *world) { clear(w.kernel.slots); clear(w.kernel.frontends) }, func(w *world) error { return w.tryStart() }, nothing},
	}
}

// converge is what happens in the hour after: the engine answers, and what it forgot is removed.
func (w *world) converge() {
	w.t.Helper()
	w.later(time.Hour)
	for range 2 {
		if _, err := w.Reconcile(context.Background()); err != nil {
			w.t.Fatal(err)
		}
		w.settle()
	}
	w.check()
	w.engine.mu.Lock()
	defer w.engine.mu.Unlock()
	for ep, c := range w.engine.endpoints {
		e, ok := w.endpoint(ep)
		if !ok || !e.joined() || e.Container.Name != c.Name || e.Identity.Reserved() {
			w.t.Errorf("the engine's endpoint of %s is %+v", c.Name, e)
		}
	}
	for _, e := range w.endpointsAll() {
		if _, ok := w.engine.endpoints[e.ID]; !ok {
			w.t.Errorf("endpoint of %s is left, the engine has forgotten it", e.Container.Name)
		}
	}
}

// TestCrashPoints ends the daemon after every single operation on kernel and store of every request, and starts it
// again: it must come to the right state from wherever it was.
func TestCrashPoints(t *testing.T) {
	for _, a := range acts() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			for n := 0; ; n++ {
				w := base(t)
				a.prepare(w)
				w.kernel.set(func(i int, _ string) bool { return i > n })
				err := a.do(w)
				total, names := w.kernel.done()
				if err != nil {
					a.failed(w)
				}
				w.kernel.set(nil)
				if err := w.tryStart(); err != nil {
					t.Fatalf("start after a crash after operation %d of %v: %v", n, names, err)
				}
				w.settle()
				w.converge()
				if t.Failed() {
					t.Fatalf("after a crash after operation %d of %v (%v)", n, names, err)
				}
				if total <= n {
					break
				}
			}
		})
	}
}

// TestFailures lets every single operation of every request fail once: the engine is told, nothing is lost and nothing
// left.
func TestFailures(t *testing.T) {
	for _, a := range acts() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				w := base(t)
				a.prepare(w)
				w.kernel.set(func(i int, _ string) bool { return i == n })
				err := a.do(w)
				total, names := w.kernel.done()
				w.kernel.set(nil)
				if a.name == "restore" && err != nil {
					w.start()
				} else if err != nil {
					a.failed(w)
				}
				_ = w.regenerate(t.Context(), "")
				w.settle()
				w.converge()
				if t.Failed() {
					t.Fatalf("after the failure of operation %d of %v (%v)", n, names, err)
				}
				if total < n {
					break
				}
			}
		})
	}
}

// TestRestartInTheMiddle restarts the daemon between requests that succeeded, many times.
func TestRestartInTheMiddle(t *testing.T) {
	w := base(t)
	loads := w.kernel.loads
	for range 3 {
		w.start()
		w.settle()
		w.check()
	}
	if w.kernel.loads != loads {
		t.Errorf("%d programs were loaded anew by restarts, all run what they should", w.kernel.loads-loads)
	}
	for i := range 5 {
		w.must(w.stop(1, 2))
		w.start()
		w.run(1, 2, "app=web", fmt.Sprintf("round=%d", i))
		w.start()
		w.settle()
		w.check()
	}
}
