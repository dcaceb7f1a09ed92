package endpoint

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// at returns what flows call an address.
func (w *world) at(addr string) observe.Party {
	w.t.Helper()
	p := w.Addr(netip.MustParseAddr(addr))
	if p == nil {
		return observe.Party{}
	}
	return *p
}

func TestNamesOfContainers(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	e := w.run(1, 1, "com.docker.compose.project=shop", "com.docker.compose.service=web", "com.docker.compose.container-number=2", "app=web")
	want := observe.Party{
		Number: e.Veth.Slot + 1, EndpointID: e.ID, Container: "c1", ContainerID: id("cc", 1), Image: "probe", Project: "shop", Service: "web",
		Network: "net1", Identity: uint32(e.Identity),
		Labels: map[string]string{"compose.project": "shop", "compose.service": "web", "app": "web", "sluice.network": "net1"},
		DockerLabels: map[string]string{"com.docker.compose.project": "shop", "com.docker.compose.service": "web",
			"com.docker.compose.container-number": "2", "app": "web"},
	}
	for what, got := range map[string]*observe.Party{"slot": w.Slot(e.Veth.Slot), "IPv4": w.Addr(e.IPv4.Addr()), "IPv6": w.Addr(e.IPv6.Addr())} {
		if got == nil {
			t.Errorf("by its %s it is nobody", what)
		} else if diff := cmp.Diff(want, *got); diff != "" {
			t.Errorf("by its %s (-want +got):\n%s", what, diff)
		}
	}
	if a, b := w.Slot(e.Veth.Slot), w.Addr(e.IPv6.Addr()); a != b {
		t.Errorf("two parties of one container: %p, %p", a, b)
	}
	if p := w.Identity(uint32(e.Identity)); p == nil || p.Labels["app"] != "web" || p.Service != "web" || p.Container != "" {
		t.Errorf("identity: %+v", p)
	}
}

func TestNamesOfSwarm(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	w.run(1, 1, "com.docker.stack.namespace=shop", "com.docker.swarm.service.name=shop_web", "com.docker.swarm.task.name=shop_web.1.x")
	w.run(1, 2, "com.docker.swarm.service.name=cache")
	w.run(1, 3)
	for addr, want := range map[string][3]string{"10.1.1.1": {"shop", "web", "shop"}, "10.1.1.2": {"", "cache", "default"}, "10.1.1.3": {"", "", "default"}} {
		p := w.at(addr)
		if got := [3]string{p.Project, p.Service, p.Namespace()}; got != want {
			t.Errorf("%s is %v, want %v", addr, got, want)
		}
	}
	if p := w.at("10.1.1.3"); p.Workload() != "c3" {
		t.Errorf("a container alone is workload %q", p.Workload())
	}
}

func TestNamesOfHostAndWorld(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	w.run(1, 1) // Docker tells the network's name with it
	w.SetHostNetwork(datapath.HostNetwork{Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}})
	for addr, network := range map[string]string{"10.1.0.1": "net1", "fd00:1::1": "net1", "192.0.2.1": "", "2001:db8::1": ""} {
		if p := w.at(addr); p.Entity != api.EntityHost || p.Network != network || p.Identity != uint32(identity.Host) {
			t.Errorf("%s is %+v", addr, p)
		}
	}
	if p := w.Addr(netip.MustParseAddr("198.51.100.1")); p != nil {
		t.Errorf("an address of the world is %+v", p)
	}
	if p := w.Identity(uint32(identity.World)); p == nil || p.Entity != api.EntityWorld {
		t.Errorf("the world is %+v", p)
	}
	if w.Identity(9999) != nil || w.Slot(77) != nil || w.Rule(77, 1, abi.PolicyEgress, 1) != nil {
		t.Error("what nobody has is known")
	}
	w.SetHostNetwork(datapath.HostNetwork{})
	if p := w.Addr(netip.MustParseAddr("192.0.2.1")); p != nil {
		t.Errorf("an address that the host lost is %+v", p)
	}
	w.must(w.DeleteNetwork(context.Background(), id("aa", 1)))
	if p := w.Addr(netip.MustParseAddr("10.1.0.1")); p != nil {
		t.Errorf("a gateway that is gone is %+v", p)
	}
}

// TestNamesFollow: renames, new labels, new networks and new containers are known at once, and flows of before keep what
// they were given.
func TestNamesFollow(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	e := w.run(1, 1, "app=web")
	before := w.Slot(e.Veth.Slot)

	if _, err := w.Relabel(context.Background(), e.ID, api.LabelChange{Add: map[string]string{"app": "api"}}); err != nil {
		t.Fatal(err)
	}
	relabelled := w.Slot(e.Veth.Slot)
	if relabelled.Labels["app"] != "api" || relabelled.Identity == before.Identity {
		t.Errorf("after new labels it is %+v", relabelled)
	}
	if before.Labels["app"] != "web" {
		t.Errorf("flows of before have label %q now", before.Labels["app"])
	}

	w.engine.do(func() { // Docker renames container and network
		c := w.engine.endpoints[e.ID]
		c.Name = "renamed"
		w.engine.endpoints[e.ID], w.engine.networks[id("aa", 1)] = c, "front"
	})
	if _, err := w.Reconcile(context.Background()); err != nil {
		t.Fatal(err)
	}
	if p := w.at("10.1.1.1"); p.Container != "renamed" || p.Network != "front" || p.Labels["app"] != "api" {
		t.Errorf("after renames it is %+v", p)
	}
	if p := w.at("10.1.0.1"); p.Network != "front" {
		t.Errorf("after the network's new name its gateway is %+v", p)
	}

	w.makeNetwork(2)
	w.run(2, 1, "app=web")
	if p := w.at("10.2.1.1"); p.Network != "net2" || p.Container != "c1" {
		t.Errorf("on a new network it is %+v", p)
	}
}

// TestDomainsOfContainers: Docker is asked for them once, again after a rename, and again if it did not answer.
func TestDomainsOfContainers(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	w.makeNetwork(2)
	e := w.run(1, 1, "app=web")
	w.run(2, 1, "app=web")
	w.engine.do(func() { w.engine.down = true })
	if w.learnDomains(context.Background()) || w.at("10.1.1.1").Domains != nil {
		t.Errorf("while Docker does not answer it is %+v", w.at("10.1.1.1"))
	}
	w.engine.do(func() { w.engine.down = false })
	if !w.learnDomains(context.Background()) || len(w.parties.unasked()) > 0 {
		t.Errorf("not known are %v", w.parties.unasked())
	}
	check := func(when, addr string, want ...string) {
		t.Helper()
		if got := w.at(addr).Domains; !slices.Equal(got, want) {
			t.Errorf("%s %s is %v, want %v", when, addr, got, want)
		}
	}
	check("at first", "10.1.1.1", "c1", "alias-on-net1")
	check("at first", "10.2.1.1", "c1", "alias-on-net2")
	if _, err := w.Relabel(context.Background(), e.ID, api.LabelChange{Add: map[string]string{"app": "api"}}); err != nil {
		t.Fatal(err)
	}
	check("with new labels", "fd00:1::101", "c1", "alias-on-net1")
	w.engine.do(func() {
		for ep, c := range w.engine.endpoints {
			c.Name = "renamed"
			w.engine.endpoints[ep] = c
		}
	})
	if _, err := w.Reconcile(context.Background()); err != nil {
		t.Fatal(err)
	}
	check("just renamed", "10.1.1.1")
	w.learnDomains(context.Background())
	check("renamed", "10.1.1.1", "renamed", "alias-on-net1")
}

// TestNamesLinger: what a container was is known for a while after it went, but not once somebody else is there.
func TestNamesLinger(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	e := w.run(1, 1)
	w.must(w.stop(1, 1))
	if p := w.at("10.1.1.1"); p.Container != "c1" {
		t.Errorf("just gone it is %+v", p)
	}
	if p := w.Slot(e.Veth.Slot); p == nil || p.Container != "c1" {
		t.Errorf("just gone its slot is of %+v", p)
	}
	w.later(lingerTime + time.Second)
	if p := w.Addr(netip.MustParseAddr("10.1.1.1")); p != nil {
		t.Errorf("long gone it is %+v", p)
	}
	w.run(1, 2)
	w.must(w.stop(1, 2))
	again := endpointRequest(1, 3)
	again.IPv4 = netip.MustParsePrefix("10.1.1.2/16")
	if _, err := w.CreateEndpoint(context.Background(), again); err != nil {
		t.Fatal(err)
	}
	w.engine.attach(id("aa", 1), again.ID, container(3))
	if _, err := w.Join(context.Background(), joinRequest(1, 3)); err != nil {
		t.Fatal(err)
	}
	if p := w.at("10.1.1.2"); p.Container != "c3" {
		t.Errorf("the address is %+v, who has it now is c3", p)
	}
}

func TestNamesSurviveARestart(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	w.apply(only("web"))
	e := w.run(1, 1, "app=db")
	w.settle()
	party, revision := *w.Slot(e.Veth.Slot), w.running[e.ID].program.Revision
	rule := w.Rule(e.Veth.Slot, revision, abi.PolicyIngress, 1)
	w.start()
	if diff := cmp.Diff(party, *w.Slot(e.Veth.Slot)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	if got := w.Rule(e.Veth.Slot, revision, abi.PolicyIngress, 1); rule == nil || got == nil || *got != *rule {
		t.Errorf("rule %+v, before %+v", got, rule)
	}
}

func TestNamesOfRules(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	w.apply(only("web"))
	e := w.run(1, 1, "app=db")
	w.run(1, 2, "app=web")
	w.settle()
	r := w.running[e.ID]
	found := map[string]bool{}
	for n := range uint16(len(r.program.Ingress.Rules)) {
		rule := w.Rule(e.Veth.Slot, r.program.Revision, abi.PolicyIngress, n+1)
		if rule == nil || rule != w.Rule(e.Veth.Slot, r.program.Revision, abi.PolicyIngress, n+1) {
			t.Fatalf("rule %d is %+v, and another the next time", n+1, rule)
		}
		found[fmt.Sprintf("%s %t", rule, rule.Default)] = true
	}
	if !found["db: ingress[0].toPorts[0] false"] && !found["db: ingress[0] false"] || len(found) < 2 {
		t.Errorf("rules %v", found)
	}
	if got := w.Rule(e.Veth.Slot, r.program.Revision+1, abi.PolicyIngress, 1); got != nil {
		t.Errorf("rule of a revision to come: %+v", got)
	}
	old := r.program.Revision
	w.apply(only("api"))
	w.settle()
	if got := w.Rule(e.Veth.Slot, old, abi.PolicyIngress, 1); got == nil || got.Policy != "db" {
		t.Errorf("rule of the revision before: %+v", got)
	}
}

// TestNamesWhileTheyChange: names are asked for by the thousand while containers come, go and get other labels.
func TestNamesWhileTheyChange(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	o := observe.New(observe.Options{Names: w.Manager, Size: 4096, Log: w.Log})
	for i := 1; i <= 8; i++ {
		w.run(1, i, "app=web")
	}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				o.Publish(eventBetween(uint32(i%10), "10.1.1.1", fmt.Sprintf("10.1.1.%d", 1+i%8)))
			}
		})
	}
	for round := range 10 {
		for i := 1; i <= 8; i++ {
			_, err := w.Relabel(context.Background(), id("ee", 1000+i), api.LabelChange{Add: map[string]string{"round": fmt.Sprint(round)}})
			w.must(err)
		}
		w.must(w.stop(1, 8))
		w.run(1, 8, "app=web")
		w.settle()
	}
	close(stop)
	writers.Wait()
	o.Publish(eventBetween(0, "10.1.1.1", "10.1.1.2"))
	_, next := o.Flows().Bounds()
	if f := o.Flows().Get(next - 1); f.Destination.Container != "c2" || f.Destination.Labels["round"] != "9" {
		t.Errorf("in the end the destination is %+v", f.Destination)
	}
}

// eventBetween is what a container's egress program tells of a packet.
func eventBetween(slot uint32, src, dst string) abi.Event {
	return abi.Event{Type: abi.EventTrace, Point: abi.PointEgress, Judged: abi.JudgedAllowed, Side: abi.PolicyEgress, Rule: 1, Revision: 1,
		Slot: slot, Family: 4, Proto: 6, Src: abi.FromAddr(netip.MustParseAddr(src)), Dst: abi.FromAddr(netip.MustParseAddr(dst)),
		Sport: abi.ToBE16(40000), Dport: abi.ToBE16(80), Cause: abi.CauseNew}
}

// TestIdentitiesAreForgotten: numbers of identities that nobody has any more do not pile up.
func TestIdentitiesAreForgotten(t *testing.T) {
	x := newParties(time.Now)
	e := &Endpoint{ID: "e", IPv4: netip.MustParsePrefix("10.0.0.2/24")}
	const many = 3 * mostIdle
	for i := range many {
		changed := *e
		changed.Identity = identity.First + identity.ID(i)
		x.put(&Network{}, &changed, identity.Labels{"n": fmt.Sprint(i)})
	}
	if n := len(x.identities); n > mostIdle+1 {
		t.Errorf("%d identities are remembered", n)
	}
	if p := x.identities[identity.First+many-1]; p == nil || p.Labels["n"] != fmt.Sprint(many-1) {
		t.Errorf("the one in use is %+v", p)
	}
}
