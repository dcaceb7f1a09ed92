package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/store"
)

// TestReconcileAfterDowntime: while the daemon was down a container ended with its namespace, one was renamed, one was
// forgotten with its network.
func TestReconcileAfterDowntime(t *testing.T) {
	w := base(t)
	w.makeNetwork(2)
	w.run(2, 9, "app=gone")
	ended, _ := w.endpoint(id("ee", 1001))
	delete(w.kernel.pairs, ended.Veth.Slot)
	w.engine.detach(ended.ID)
	w.engine.attach(id("aa", 1), id("ee", 1002), Container{ID: id("cc", 2), Name: "new-name", Labels: map[string]string{"app": "web"}})
	w.engine.detach(id("ee", 2009))
	w.engine.do(func() { delete(w.engine.networks, id("aa", 2)) })
	w.engine.do(func() { w.engine.down = true })
	w.start()
	w.settle()
	w.check() // without Docker: what is certain
	if e, _ := w.endpoint(ended.ID); e.joined() {
		t.Error("the endpoint whose pair is gone is still joined")
	}
	w.engine.do(func() { w.engine.down = false })
	if _, err := w.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if _, ok := w.endpoint(id("ee", 2009)); !ok {
		t.Error("a young endpoint was removed: Docker may only just be making it")
	}
	w.converge()
	if _, ok := w.network(id("aa", 2)); ok {
		t.Error("the forgotten network is left")
	}
	if e, _ := w.endpoint(id("ee", 1002)); e.Container.Name != "new-name" {
		t.Errorf("container is called %s", e.Container.Name)
	}
	if len(w.leases.inUse) != 2+2 {
		t.Errorf("addresses in use: %v, want the gateways' and the container's", w.leases.inUse)
	}
}

// TestReconcileSparesUnknownContainer: the engine lists the endpoint before it lists the container.
func TestReconcileSparesUnknownContainer(t *testing.T) {
	w := base(t)
	e, _ := w.endpoint(id("ee", 1002))
	w.engine.attach(id("aa", 1), e.ID, Container{})
	if _, err := w.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if now, _ := w.endpoint(e.ID); !now.named() || now.Identity != e.Identity {
		t.Errorf("the endpoint became %+v", now)
	}
	w.check()
}

// TestFollow reconciles when told, and ends.
func TestFollow(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	w.engine.do(func() { w.engine.down = true })
	e := w.run(1, 1, "app=web")
	ctx, cancel := context.WithCancel(t.Context())
	changes, done := make(chan struct{}), make(chan struct{})
	go func() { w.Follow(ctx, changes); close(done) }()
	w.engine.do(func() { w.engine.down = false })
	changes <- struct{}{}
	deadline := time.Now().Add(10 * time.Second)
	for {
		if now, _ := w.endpoint(e.ID); now.named() {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not named in time")
		}
		time.Sleep(time.Millisecond)
	}
	close(changes) // the engine's events end: no reason to spin
	cancel()
	<-done
	w.settle()
	w.check()
}

// TestLookAgain: what is too young to be called forgotten is looked at again once it is not.
func TestLookAgain(t *testing.T) {
	broken := errors.New("no answer")
	for _, c := range []struct {
		name    string
		asked   bool
		settled bool
		err     error
		want    []time.Duration
	}{
		{"asked for", true, true, nil, []time.Duration{settling + time.Second}},
		{"by itself", false, true, nil, []time.Duration{round, round}},
		{"somebody is unknown", false, false, nil, []time.Duration{firstRetry, 2 * firstRetry, 4 * firstRetry}},
		{"no answer", false, true, broken, []time.Duration{firstRetry, 2 * firstRetry}},
		{"asked for again and again without an answer", true, true, broken, []time.Duration{firstRetry, firstRetry}},
	} {
		s := schedule{}
		for i, want := range c.want {
			if got := s.next(c.asked, c.settled, c.err); got != want {
				t.Errorf("%s: after look %d the next comes in %v, want %v", c.name, i+1, got, want)
			}
		}
	}
}

// TestHalfMadeNetwork: a network that Docker gave up while the daemon was away is not in the way of its next try.
func TestHalfMadeNetwork(t *testing.T) {
	again := networkRequest(1)
	again.ID = id("aa", 2)
	for _, c := range []struct {
		name   string
		before func(w *world)
		want   string
	}{
		{"given up", func(*world) {}, ""},
		{"the engine lists it", func(w *world) { w.engine.networks[networkRequest(1).ID] = "net1" }, "overlaps"},
		{"the engine does not answer", func(w *world) { w.engine.down = true }, "overlaps"},
		{"it has an endpoint", func(w *world) {
			_, err := w.CreateEndpoint(t.Context(), endpointRequest(1, 1))
			w.must(err)
		}, "overlaps"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.must(w.CreateNetwork(t.Context(), networkRequest(1)))
			c.before(w)
			err := w.CreateNetwork(t.Context(), again)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("CreateNetwork: %v, want %q", err, c.want)
			}
			if _, left := w.network(networkRequest(1).ID); left != (c.want != "") {
				t.Errorf("the old network is there: %v", left)
			}
			w.check()
		})
	}
}

// TestRestoreWithoutNetwork drops endpoints whose network has no record.
func TestRestoreWithoutNetwork(t *testing.T) {
	w := base(t)
	w.must(w.store.Apply(t.Context(), store.Remove(networkPrefix+id("aa", 1))))
	w.start()
	w.settle()
	w.check()
	if len(w.endpointsAll()) != 0 || len(w.kernel.pairs) != 0 {
		t.Error("endpoints of no network are left")
	}
}

// TestRestoreWithoutIdentities makes identities anew, and stores them.
func TestRestoreWithoutIdentities(t *testing.T) {
	w := base(t)
	stored, err := w.store.List(t.Context(), identityPrefix)
	w.must(err)
	for _, e := range stored {
		w.must(w.store.Apply(t.Context(), store.Remove(e.Key)))
	}
	for range 2 {
		w.start()
		w.settle()
		w.check()
	}
}

// TestNumbersAreNotReused: neither an identity nor a revision of what is gone comes again after a restart: flows in the
// kernel may still carry them.
func TestNumbersAreNotReused(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	seen := map[identity.ID]bool{}
	revisions := map[uint32]bool{}
	for i := range 5 {
		e := w.run(1, 1, fmt.Sprintf("n=%d", i))
		if seen[e.Identity] {
			t.Errorf("identity %s came again", e.Identity)
		}
		p, _ := w.kernel.program(e.Veth.Slot)
		if revisions[p.Revision] {
			t.Errorf("revision %d came again, for another container with the same address", p.Revision)
		}
		seen[e.Identity], revisions[p.Revision] = true, true
		w.must(w.stop(1, 1))
		w.settle()
		w.start()
	}
}

func TestCorruptRecord(t *testing.T) {
	w := base(t)
	w.must(w.store.Apply(t.Context(), store.Put(endpointPrefix+id("ee", 1001), []byte("{"))))
	if err := w.tryStart(); err == nil {
		t.Error("started with a record that cannot be read")
	}
}

// TestPlansAreAsFromNothing changes policies and identities at random: what a pass takes over from the one before is
// what it would compute.
func TestPlansAreAsFromNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	apps := []string{"db", "web", "ops", "evil"}
	var incremental plans
	lans := [][]netip.Prefix{nil, {netip.MustParsePrefix("203.0.113.0/24")}, {netip.MustParsePrefix("203.0.113.0/24")}}
	set := &policy.Set{}
	for round := range 300 {
		if random.IntN(10) == 0 {
			name := apps[random.IntN(len(apps))]
			all, err := parseSources([]api.PolicySource{{Text: only(name)}})
			if err != nil {
				t.Fatal(err)
			}
			if set, err = set.With(policiesOf(all)...); err != nil {
				t.Fatal(err)
			}
		}
		var known []policy.KnownIdentity
		for i := range 12 {
			if random.IntN(2) == 0 {
				labels := identity.Labels{"app": apps[i%len(apps)], "n": fmt.Sprint(i), identity.LabelNetwork: "net"}
				if i%3 == 0 { // its own policy, of whom the others are peers
					labels["sluice.ingress"] = fmt.Sprintf("label:app=%s:80, shop/%s", apps[(i+1)%len(apps)], apps[i%len(apps)])
					labels["sluice.egress"] = "@lan"
					labels["sluice.publish"] = "label:app=" + apps[(i+2)%len(apps)]
				}
				if i%4 == 0 {
					labels[identity.LabelProject], labels[identity.LabelService] = "shop", apps[(i+1)%len(apps)]
				}
				known = append(known, policy.KnownIdentity{ID: identity.First + identity.ID(i), Labels: labels})
			}
		}
		var fresh plans
		now := situation{policies: set, known: known, lan: lans[random.IntN(len(lans))]}
		incremental.adapt(now)
		fresh.adapt(now)
		for _, k := range known {
			j := &job{endpoint: &Endpoint{Identity: k.ID, Container: Container{ID: "c"}},
				network: &Network{Options: NetworkOptions{Policy: PolicyDefault, Isolate: round%2 == 0}}}
			got, want := incremental.resolve(j), fresh.resolve(j)
			if got.hash != want.hash || got.err != nil {
				t.Fatalf("round %d, identity %s: %v\n%s", round, k.ID, got.err, cmp.Diff(want.tables.Ingress, got.tables.Ingress))
			}
		}
	}
}

// TestRecordsReadBack: a record is what it was after a restart.
func TestRecordsReadBack(t *testing.T) {
	w := base(t)
	before := w.endpointsAll()
	w.start()
	after := w.endpointsAll()
	text := func(all []*Endpoint) string {
		slices.SortFunc(all, func(a, b *Endpoint) int { return a.Veth.Ifindex - b.Veth.Ifindex })
		out, _ := json.Marshal(all)
		return string(out)
	}
	if d := cmp.Diff(text(before), text(after)); d != "" {
		t.Error(d)
	}
}
