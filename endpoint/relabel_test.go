package endpoint

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/store"
)

func relabel(add string) api.LabelChange {
	k, v, _ := strings.Cut(add, "=")
	return api.LabelChange{Add: map[string]string{k: v}}
}

// TestPeersKnowIdentitiesFirst: whatever changes, no packet carries an identity that a running table does not know. The
// policy denies by label in an open direction, which a table that does not list the identity would let pass.
func TestPeersKnowIdentitiesFirst(t *testing.T) {
	const deny = `apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: no-evil}
spec:
  endpointSelector: {}
  enableDefaultDeny: {ingress: false}
  ingressDeny:
  - fromEndpoints: [{matchLabels: {app: evil}}]
`
	w := newWorld(t)
	w.makeNetwork(1)
	w.apply(deny)
	good, bad := w.run(1, 1, "app=good"), w.run(1, 2, "app=nice")
	w.run(1, 3)
	evil := map[uint32]bool{}
	w.kernel.onReplace = func(p datapath.Program) {
		if labels, ok := w.identities.Labels(identity.ID(p.Identity)); ok && labels["app"] == "evil" {
			evil[p.Identity] = true
		}
		if !evil[p.Identity] || p.Closed {
			return
		}
		for slot, other := range w.kernel.slots {
			if slot != p.Slot && !other.Closed && verdict(other, p.Identity, 80) == policy.Allow {
				t.Errorf("slot %d sends as %d, slot %d does not know that it is evil", p.Slot, p.Identity, slot)
			}
		}
	}
	for _, ids := range [][]string{{bad.ID}, {good.ID}} { // one, then a second one
		for _, id := range ids {
			_, err := w.Relabel(t.Context(), id, relabel("app=evil"))
			w.must(err)
		}
		w.settle()
		w.check()
	}
	for _, id := range []string{good.ID, bad.ID} { // both at the same time
		_, err := w.Relabel(t.Context(), id, relabel("app=good"))
		w.must(err)
	}
	w.settle()
	for _, id := range []string{good.ID, bad.ID} {
		_, err := w.Relabel(t.Context(), id, api.LabelChange{Add: map[string]string{"app": "evil", "of": id[:20]}})
		w.must(err)
	}
	w.settle()
	w.run(1, 4, "app=evil", "x=new")
	w.check()
	if len(evil) < 3 {
		t.Errorf("evil identities seen: %v", evil)
	}
	w.engine.do(func() { w.engine.down = true })
	w.run(1, 5, "app=evil", "x=late")
	w.engine.do(func() { w.engine.down = false })
	_, err := w.Reconcile(t.Context())
	w.must(err)
	w.settle()
	w.check()
}

func TestRelabelLivesAsLongAsTheContainer(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	e := w.run(1, 1, "app=web", "tier=front")
	_, err := w.Relabel(t.Context(), e.ID, api.LabelChange{Add: map[string]string{"app": "db"}, Remove: []string{"tier"}})
	w.must(err)
	w.settle()
	labels := func() identity.Labels {
		e, _ := w.endpoint(id("ee", 1001))
		l, _ := w.identities.Labels(e.Identity)
		return l
	}
	check := func(when string) {
		t.Helper()
		if l := labels(); l["app"] != "db" || l["tier"] != "" {
			t.Errorf("%s: labels are %v", when, l)
		}
		w.check()
	}
	check("after the change")
	w.must(w.stop(1, 1))
	w.settle()
	w.run(1, 1, "app=web", "tier=front")
	check("after the container's restart")
	w.start()
	check("after the daemon's restart")
	w.must(w.stop(1, 1))
	w.engine.do(func() { delete(w.engine.containers, id("cc", 1)) })
	_, err = w.Reconcile(t.Context())
	w.must(err)
	w.settle()
	if len(w.changes) != 0 {
		t.Errorf("changes of a removed container: %v", w.changes)
	}
	if left, _ := w.store.List(t.Context(), changePrefix); len(left) != 0 {
		t.Errorf("in the store: %v", left)
	}
}

func TestRelabelRefuses(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	e := w.run(1, 1, "app=web")
	for name, c := range map[string]struct {
		id     string
		change api.LabelChange
		want   api.Code
	}{
		"unknown endpoint": {"nobody", relabel("a=b"), api.CodeNotFound},
		"Sluice's own":     {e.ID, api.LabelChange{Remove: []string{identity.LabelNetwork}}, api.CodeInvalid},
		"too long":         {e.ID, relabel("a=" + strings.Repeat("x", identity.MaxValueBytes+1)), api.CodeInvalid},
		"no port":          {e.ID, relabel("sluice.port.web=many"), api.CodeInvalid},
	} {
		if _, err := w.Relabel(t.Context(), c.id, c.change); api.CodeOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.check()
}

// TestConcurrentChanges lets containers come and go, labels and policies change all at the same time, with the daemon's
// background passes; the race detector watches.
func TestConcurrentChanges(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	w.makeNetwork(2)
	fixed := w.run(1, 200, "app=db")
	ctx, stop := context.WithCancel(t.Context())
	var background, work sync.WaitGroup
	background.Go(func() { w.Run(ctx) })
	for i := range 8 {
		work.Go(func() {
			for round := range 6 {
				if err := w.tryRun(1+i%2, i+1, "app=web", fmt.Sprintf("n=%d", round%2)); err != nil {
					t.Error(err)
				}
				if err := w.stop(1+i%2, i+1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Go(func() {
		for i := range 12 {
			revision, err := w.Relabel(ctx, fixed.ID, relabel(fmt.Sprintf("round=%d", i%3)))
			if err == nil {
				_, err = w.Wait(ctx, revision)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	work.Go(func() {
		for i := range 12 {
			change, err := w.ApplyPolicies(ctx, []api.PolicySource{{Text: only([]string{"web", "ops"}[i%2])}})
			if err == nil {
				_, err = w.Wait(ctx, change.Revision)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	work.Go(func() {
		for range 6 {
			if _, err := w.Reconcile(ctx); err != nil {
				t.Error(err)
			}
			w.Endpoints(ctx)
			w.Count(&api.Status{})
		}
	})
	work.Wait()
	stop()
	background.Wait()
	w.requestRegeneration()
	w.settle()
	w.check()
}

func TestWait(t *testing.T) {
	w := base(t)
	if _, err := w.Wait(t.Context(), 1); err != nil {
		t.Errorf("an old revision: %v", err)
	}
	if _, err := w.Wait(t.Context(), w.Generation()+1); api.CodeOf(err) != api.CodeInvalid {
		t.Errorf("a revision that does not exist: %v", err)
	}
	revision := w.apply(only("ops"))
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := w.Wait(short, revision); api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("nobody makes a pass: %v", err)
	}
	w.settle()
	results, err := w.Wait(t.Context(), revision)
	if err != nil || len(results) != 1 || results[0].Container != "c1" {
		t.Errorf("results %+v, %v, want the database's regeneration", results, err)
	}
}

// TestUnreadablePolicy: a stored policy that this version cannot read closes whom it selects, and nobody else.
func TestUnreadablePolicy(t *testing.T) {
	w := base(t)
	entries, err := w.store.List(t.Context(), policyPrefix)
	w.must(err)
	broken := strings.ReplaceAll(string(entries[0].Value), "endpointSelector", "formerSelector")
	w.must(w.store.Apply(t.Context(), store.Put(entries[0].Key, []byte(broken))))
	w.start()
	w.settle()
	w.check()
	web, _ := w.endpoint(id("ee", 1002))
	db, _ := w.endpoint(id("ee", 1001))
	p, _ := w.kernel.program(db.Veth.Slot)
	if verdict(p, uint32(web.Identity), 5432) != policy.Deny || p.Egress == nil {
		t.Error("the database is open")
	}
	if p, _ := w.kernel.program(web.Veth.Slot); p.Ingress != nil || p.Egress != nil {
		t.Error("a container that the policy does not select is closed")
	}
	if all, _ := w.Policies(t.Context()); len(all) != 1 || !strings.Contains(all[0].Text, "formerSelector") {
		t.Errorf("the document is not kept: %+v", all)
	}
	if names := w.UnreadablePolicies(); len(names) != 1 || names[0] != "db" {
		t.Errorf("unreadable are %v", names)
	}
	w.apply(only("web"))
	w.settle()
	if names := w.UnreadablePolicies(); len(names) != 0 {
		t.Errorf("unreadable are %v", names)
	}
	if p, _ := w.kernel.program(db.Veth.Slot); verdict(p, uint32(web.Identity), 5432) != policy.Allow {
		t.Error("the policy that was applied again is not enforced")
	}
	w.check()
}
