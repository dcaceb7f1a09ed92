package endpoint

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/identity"
)

func TestLifeOfAContainer(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.makeNetwork(1)
	w.check()
	e := w.run(1, 1, "app=web")
	if e.Container.Name != "c1" || e.Identity.Reserved() {
		t.Errorf("after Join: %+v", e)
	}
	if p, _ := w.kernel.program(e.Veth.Slot); p.Closed || p.Identity != uint32(e.Identity) {
		t.Errorf("runs %+v", p)
	}
	w.must(w.Program(ctx, portsRequest(1, 1, 8080)))
	w.check()
	if len(w.kernel.frontends) != 2 {
		t.Errorf("frontends %v, want one of each family", w.kernel.frontends)
	}
	w.must(w.stop(1, 1))
	w.settle()
	w.check()
	if len(w.kernel.pairs)+len(w.kernel.slots)+len(w.kernel.addresses)+len(w.kernel.frontends) != 0 {
		t.Errorf("left in the kernel: %+v", w.kernel)
	}
	w.must(w.DeleteNetwork(ctx, id("aa", 1)))
	w.check()
	if stored, _ := w.store.List(ctx, ""); len(stored) != 2 {
		t.Errorf("left in the store: %v, want the two counters", stored)
	}
}

// TestRepeats: every call again, out of order, or for what is unknown.
func TestRepeats(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	n, e := id("aa", 1), id("ee", 1001)
	for name, call := range map[string]func() error{
		"delete network":  func() error { return w.DeleteNetwork(ctx, n) },
		"delete endpoint": func() error { return w.DeleteEndpoint(ctx, n, e) },
		"leave":           func() error { return w.Leave(ctx, n, e) },
		"revoke":          func() error { return w.Revoke(ctx, n, e) },
	} {
		if err := call(); err != nil {
			t.Errorf("%s of what is unknown: %v", name, err)
		}
	}
	if _, err := w.CreateEndpoint(ctx, endpointRequest(1, 1)); err == nil {
		t.Error("endpoint made on an unknown network")
	}
	if _, err := w.Join(ctx, joinRequest(1, 1)); err == nil {
		t.Error("unknown endpoint joined")
	}
	w.makeNetwork(1)
	w.makeNetwork(1)
	if err := w.Program(ctx, portsRequest(1, 1, 80)); err == nil {
		t.Error("ports of an unknown endpoint published")
	}
	first, err := w.CreateEndpoint(ctx, endpointRequest(1, 1))
	w.must(err)
	if err := w.Program(ctx, portsRequest(1, 1, 80)); err == nil || !strings.Contains(err.Error(), "not joined") {
		t.Errorf("ports published before Join: %v", err)
	}
	w.must(w.Leave(ctx, n, e))
	for range 2 {
		again, err := w.CreateEndpoint(ctx, endpointRequest(1, 1))
		w.must(err)
		if again.MAC.String() != first.MAC.String() {
			t.Errorf("MAC %s, was %s", again.MAC, first.MAC)
		}
	}
	other := endpointRequest(1, 1)
	other.IPv4 = netip.MustParsePrefix("10.1.1.99/16")
	if _, err := w.CreateEndpoint(ctx, other); err == nil {
		t.Error("endpoint made again with another address")
	}
	w.engine.attach(n, e, container(1))
	var answers []JoinAnswer
	for range 3 {
		a, err := w.Join(ctx, joinRequest(1, 1))
		w.must(err)
		answers = append(answers, a)
	}
	if answers[0].SrcName != answers[2].SrcName || len(w.kernel.pairs) != 1 || w.kernel.loads != 1 {
		t.Errorf("joins answered %+v, with %d pairs and %d loads", answers, len(w.kernel.pairs), w.kernel.loads)
	}
	for range 2 {
		w.must(w.Program(ctx, portsRequest(1, 1, 80)))
	}
	w.check()
	elsewhere := joinRequest(1, 1)
	elsewhere.SandboxKey = "/run/docker/netns/other"
	_, err = w.Join(ctx, elsewhere)
	w.must(err)
	w.check()
	for range 2 {
		w.must(w.Revoke(ctx, n, e))
	}
	for range 2 {
		w.must(w.Leave(ctx, n, e))
		w.check()
	}
	_, err = w.Join(ctx, joinRequest(1, 1)) // joined again without a new endpoint
	w.must(err)
	w.check()
	for range 2 {
		w.must(w.DeleteEndpoint(ctx, n, e))
	}
	for range 2 {
		w.must(w.DeleteNetwork(ctx, n))
	}
	w.settle()
	w.check()
}

// TestRejoinWithoutPair: the pair died with its namespace, Docker joins the same sandbox again.
func TestRejoinWithoutPair(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	e := w.run(1, 1)
	w.kernel.mu.Lock()
	delete(w.kernel.pairs, e.Veth.Slot)
	w.kernel.mu.Unlock()
	_, err := w.Join(t.Context(), joinRequest(1, 1))
	w.must(err)
	w.settle()
	w.check()
}

func TestCreateEndpointRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.makeNetwork(1)
	w.run(1, 1)
	for name, c := range map[string]struct {
		change func(*EndpointRequest)
		want   string
	}{
		"address in use":    {func(r *EndpointRequest) { r.IPv4 = netip.MustParsePrefix("10.1.1.1/16") }, "in use by endpoint"},
		"outside":           {func(r *EndpointRequest) { r.IPv4 = netip.MustParsePrefix("10.2.1.1/16") }, "in no subnet"},
		"the gateway":       {func(r *EndpointRequest) { r.IPv4 = netip.MustParsePrefix("10.1.0.1/16") }, "is the gateway"},
		"no address":        {func(r *EndpointRequest) { r.IPv4, r.IPv6 = netip.Prefix{}, netip.Prefix{} }, "no address"},
		"multicast MAC":     {func(r *EndpointRequest) { r.MAC = []byte{1, 0, 0, 0, 0, 0} }, "MAC"},
		"address, IPv6":     {func(r *EndpointRequest) { r.IPv6 = netip.MustParsePrefix("fd00:1::101/64") }, "in use by endpoint"},
		"the gateway, IPv6": {func(r *EndpointRequest) { r.IPv6 = netip.MustParsePrefix("fd00:1::1/64") }, "is the gateway"},
	} {
		r := endpointRequest(1, 2)
		c.change(&r)
		if _, err := w.CreateEndpoint(t.Context(), r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.check()
}

// TestAddressOfForgottenEndpoint: an engine that was killed forgets endpoints without a word, and gives their addresses
// to others.
func TestAddressOfForgottenEndpoint(t *testing.T) {
	t.Parallel()
	again := func(w *world) error {
		r := endpointRequest(1, 2)
		r.IPv4, r.IPv6 = endpointRequest(1, 1).IPv4, endpointRequest(1, 1).IPv6
		_, err := w.CreateEndpoint(t.Context(), r)
		return err
	}
	t.Run("alive", func(t *testing.T) {
		w := newWorld(t)
		w.makeNetwork(1)
		w.run(1, 1)
		if err := again(w); err == nil {
			t.Error("the address of a running container was given away")
		}
		w.check()
	})
	t.Run("its pair is gone", func(t *testing.T) {
		w := newWorld(t)
		w.makeNetwork(1)
		e := w.run(1, 1)
		w.kernel.mu.Lock()
		delete(w.kernel.pairs, e.Veth.Slot)
		w.kernel.mu.Unlock()
		w.must(again(w))
		w.settle()
		w.check()
	})
	t.Run("it has left", func(t *testing.T) {
		w := newWorld(t)
		w.makeNetwork(1)
		w.run(1, 1)
		w.must(w.Leave(t.Context(), id("aa", 1), id("ee", 1001)))
		w.must(again(w))
		w.settle()
		w.check()
	})
	t.Run("never joined", func(t *testing.T) {
		w := newWorld(t)
		w.makeNetwork(1)
		_, err := w.CreateEndpoint(t.Context(), endpointRequest(1, 1))
		w.must(err)
		if err := again(w); err == nil {
			t.Error("the address of an endpoint that is being made was given away")
		}
		w.later(time.Minute)
		w.must(again(w))
		w.check()
	})
}

func TestJoinAnswers(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	internal := networkRequest(2)
	internal.Internal = true
	w.must(w.CreateNetwork(t.Context(), internal))
	two := networkRequest(3)
	two.IPv4 = append(two.IPv4, Subnet{Pool: netip.MustParsePrefix("10.200.0.0/16"), Gateway: netip.MustParseAddr("10.200.0.1")})
	w.must(w.CreateNetwork(t.Context(), two))

	w.run(1, 1)
	w.run(2, 1)
	r := endpointRequest(3, 1)
	r.IPv4, r.IPv6 = netip.MustParsePrefix("10.200.1.1/16"), netip.Prefix{}
	_, err := w.CreateEndpoint(t.Context(), r)
	w.must(err)
	for _, c := range []struct {
		network   int
		gateways  [2]string
		noGateway bool
	}{
		{1, [2]string{"10.1.0.1", "fd00:1::1"}, false},
		{2, [2]string{"invalid IP", "invalid IP"}, false},
		{3, [2]string{"10.200.0.1", "invalid IP"}, false},
	} {
		a, err := w.Join(t.Context(), joinRequest(c.network, 1))
		w.must(err)
		if got := [2]string{a.Gateway.String(), a.Gateway6.String()}; got != c.gateways {
			t.Errorf("network %d: gateways %v, want %v", c.network, got, c.gateways)
		}
	}
	e, _ := w.endpoint(r.ID)
	if p, _ := w.kernel.program(e.Veth.Slot); p.Gateway4.String() != "10.200.0.1" {
		t.Errorf("program of the second subnet has gateway %s", p.Gateway4)
	}
	if err := w.Program(t.Context(), portsRequest(2, 1, 80)); err != nil || len(w.kernel.frontends) != 0 {
		t.Errorf("ports on an internal network: %v, %v", err, w.kernel.frontends)
	}
	w.check()
}

// TestUnknownLabelsStayClosed: a container is closed until Docker tells its labels.
func TestUnknownLabelsStayClosed(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	w.kernel.mayOpen = func(datapath.Program) bool { return !w.engine.down }
	w.engine.do(func() { w.engine.down = true })
	e := w.run(1, 1, "app=web")
	p, _ := w.kernel.program(e.Veth.Slot)
	if !p.Closed || p.Identity != uint32(identity.Init) {
		t.Errorf("runs %+v, want it closed", p)
	}
	w.check()
	if _, err := w.Reconcile(t.Context()); err == nil {
		t.Error("reconciled without an answer")
	}
	w.engine.do(func() { w.engine.down = false })
	settled, err := w.Reconcile(t.Context())
	if err != nil || !settled {
		t.Fatalf("reconciled: %v, %v", settled, err)
	}
	w.settle()
	w.check()
	if p, _ := w.kernel.program(e.Veth.Slot); p.Closed || p.Identity < uint32(identity.First) {
		t.Errorf("runs %+v, want it open", p)
	}
}

func TestJoinRefusesLabels(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	for name, c := range map[string]struct {
		label string
		want  string
		err   error
	}{
		"value too long": {"big=" + strings.Repeat("x", identity.MaxValueBytes+1), `"big"`, identity.ErrTooLong},
		"no port":        {"sluice.port.http=eighty", "sluice.port.http", errLabels},
	} {
		err := w.tryRun(1, 1, c.label)
		if err == nil || !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "c1") {
			t.Errorf("%s: %v", name, err)
		}
		w.must(w.stop(1, 1))
		w.settle()
		w.check()
	}
}

// TestSeveralNetworks: a container has an endpoint, an identity and programs on each of its networks.
func TestSeveralNetworks(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	w.makeNetwork(2)
	a, b := w.run(1, 7, "app=web"), w.run(2, 7, "app=web")
	if a.Identity == b.Identity || a.Container.ID != b.Container.ID {
		t.Errorf("%+v and %+v", a, b)
	}
	w.must(w.stop(1, 7))
	w.settle()
	w.check()
}

// TestFailedLoad keeps what runs, and tells; that the wait for the kernel fails as well does not hide it.
func TestFailedLoad(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	db := w.run(1, 1, "app=db")
	before, _ := w.kernel.program(db.Veth.Slot)
	w.kernel.set(func(_ int, name string) bool { return name == "replace" || name == "settle" })
	revision := w.apply(only("web"))
	w.settle()
	results, err := w.Wait(t.Context(), revision)
	w.must(err)
	if len(results) != 1 || results[0].Error == "" {
		t.Errorf("results %+v, want the failure", results)
	}
	if now, _ := w.kernel.program(db.Veth.Slot); now.Revision != before.Revision {
		t.Error("the old program does not run any more")
	}
	if all, _ := w.Endpoints(t.Context()); all[0].State != "failed" || all[0].LastError == "" {
		t.Errorf("shown as %+v", all[0])
	}
	if err := w.tryRun(1, 2); err == nil {
		t.Error("joined without programs")
	}
	w.kernel.set(nil)
	w.must(w.stop(1, 2))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() { w.Run(ctx); close(done) }() // tries again by itself
	deadline := time.Now().Add(10 * time.Second)
	for w.failing() && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
	w.settle()
	w.check()
}
