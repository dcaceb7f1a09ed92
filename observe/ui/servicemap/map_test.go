package servicemap

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

var begin = time.Date(2026, 11, 22, 21, 30, 0, 0, time.UTC)

var (
	web   = &observe.Party{Container: "shop-web-1", Project: "shop", Service: "web"}
	db    = &observe.Party{Container: "shop-db-1", Project: "shop", Service: "db"}
	world = &observe.Party{Entity: api.EntityWorld}
	host  = &observe.Party{Entity: api.EntityHost}
)

// told makes a flow of a connection from port 40000 of from to port 80 of to that was opened at a second.
type told struct {
	at, opened     float64 // seconds
	from, to       *observe.Party
	src, dst       string
	sent, received uint64 // bytes so far; packets are a hundredth
	kind           uint8
	reason         abi.DropReason
	reply          bool
	rule           *observe.Rule
	port           uint16
}

const boot = 1000 // seconds that the kernel's clock is ahead

func (o told) flow() *observe.Flow {
	if o.src == "" {
		o.src, o.dst = "10.0.0.2", "10.0.0.3"
	}
	if o.kind == 0 {
		o.kind = abi.EventTrace
	}
	if o.port == 0 {
		o.port = 80
	}
	e := abi.Event{
		Time: uint64((boot + o.at) * 1e9), Opened: uint64((boot + o.opened) * 1e9), Type: o.kind, Family: 4, Proto: 6, Reason: uint16(o.reason),
		Src: abi.FromAddr(netip.MustParseAddr(o.src)), Dst: abi.FromAddr(netip.MustParseAddr(o.dst)), Sport: abi.ToBE16(40000), Dport: abi.ToBE16(o.port),
		Sent: abi.Counter{Packets: o.sent / 100, Bytes: o.sent}, Received: abi.Counter{Packets: o.received / 100, Bytes: o.received},
		Side: abi.PolicyIngress,
	}
	from, to := o.from, o.to
	if o.reply {
		from, to = to, from
		e.Reply, e.Src, e.Dst, e.Sport, e.Dport = 1, e.Dst, e.Src, e.Dport, e.Sport
	}
	return &observe.Flow{Time: moment(o.at), Kernel: e, Source: from, Destination: to, Rule: o.rule}
}

func moment(seconds float64) time.Time {
	return begin.Add(time.Duration(seconds * float64(time.Second)))
}

func mapOf(all ...told) *Map {
	m := New()
	for _, o := range all {
		m.Add(o.flow())
	}
	return m
}

// edgeOf returns the only edge at a moment.
func edgeOf(t *testing.T, m *Map, seconds float64) Edge {
	t.Helper()
	edges, _ := m.Edges(0, moment(seconds))
	if len(edges) != 1 {
		t.Fatalf("%d edges, want 1: %+v", len(edges), edges)
	}
	return edges[0]
}

func TestTotalsBecomeRates(t *testing.T) {
	var all []told
	for s := 0.0; s <= 40; s += 5 { // 1000 bytes a second one way, 500 the other
		all = append(all, told{at: s, from: web, to: db, sent: uint64(s * 1000), received: uint64(s * 500)})
	}
	m := mapOf(all...)
	for _, at := range []float64{20, 25, 30, 35, 40, 44} {
		e := edgeOf(t, m, at)
		if e.Sent < 900 || e.Sent > 1100 || e.Received < 450 || e.Received > 550 || e.Packets < 13 || e.Packets > 17 {
			t.Errorf("at %v s: %v sent, %v received, %v packets in a second; want 1000, 500, 15", at, e.Sent, e.Received, e.Packets)
		}
	}
	if e := edgeOf(t, m, 80); e.Sent != 0 || e.Received != 0 {
		t.Errorf("when it is over: %v sent, %v received", e.Sent, e.Received)
	}
	if e := edgeOf(t, m, 40); e.Bytes != 60000 || e.Connections != 1 || len(e.Ports) != 1 || e.Ports[0].Port != 80 {
		t.Errorf("in all: %+v", e)
	}
}

func TestRepliesBelongToTheirConnection(t *testing.T) {
	m := mapOf(
		told{at: 1, opened: 1, from: web, to: db, sent: 100},
		told{at: 1.1, opened: 1, from: web, to: db, sent: 100, received: 100, reply: true},
		told{at: 2, opened: 1, from: web, to: db, sent: 1000, received: 5000, reply: true},
		told{at: 2, opened: 1, from: web, to: db, sent: 900, received: 4000}, // told by the other side, late
	)
	e := edgeOf(t, m, 3)
	if e.From != "shop-web-1" || e.To != "shop-db-1" || e.Bytes != 6000 || e.Connections != 1 || e.Ports[0].Port != 80 {
		t.Errorf("%+v", e)
	}
}

func TestConnectionsOfBeforeCountFromNow(t *testing.T) {
	m := mapOf(
		told{at: 100, opened: 10, from: web, to: db, sent: 1 << 40, received: 100},
		told{at: 105, opened: 10, from: web, to: db, sent: 1<<40 + 5000, received: 100},
	)
	if e := edgeOf(t, m, 106); e.Bytes != 5000 || e.Connections != 0 {
		t.Errorf("%v bytes of %d connections, want 5000 of none", e.Bytes, e.Connections)
	}
}

func TestDropsAreToldWithTheirReason(t *testing.T) {
	rule := &observe.Rule{Policy: "shop/db", Place: "default deny", Default: true}
	drop := told{at: 5, from: web, to: db, kind: abi.EventDrop, reason: abi.DropPolicyDenied, rule: rule}
	again := drop
	again.at = 6
	other := drop
	other.at, other.port = 7, 81
	m := mapOf(told{at: 5, opened: 5, from: web, to: db, sent: 74}, drop, again, other)
	e := edgeOf(t, m, 7)
	want := []Denial{
		{Reason: "policy denied", Policy: "shop/db", Rule: "default deny", Direction: "ingress", Protocol: "tcp", Port: 81, Count: 1, Last: moment(7)},
		{Reason: "policy denied", Policy: "shop/db", Rule: "default deny", Direction: "ingress", Protocol: "tcp", Port: 80, Count: 2, Last: moment(6)},
	}
	if diff := cmp.Diff(want, e.Denials); diff != "" {
		t.Errorf("denials (-want +got):\n%s", diff)
	}
	if !e.LastDrop.Equal(moment(7)) || !e.LastPass.IsZero() || e.Drops == 0 {
		t.Errorf("last drop %v, last pass %v, %v drops in a second", e.LastDrop, e.LastPass, e.Drops)
	}
	m.Add(told{at: 8, opened: 5, from: web, to: db, sent: 200, received: 100, reply: true}.flow())
	if e := edgeOf(t, m, 8); !e.LastPass.Equal(moment(8)) {
		t.Errorf("answered: last pass %v", e.LastPass)
	}
}

func TestPoliciesAuditsAndPeers(t *testing.T) {
	rule := &observe.Rule{Policy: "shop/web", Place: "ingress[0]"}
	f := told{at: 1, opened: 1, from: world, to: web, src: "192.0.2.7", dst: "10.0.0.2", sent: 500, received: 100}
	verdict, audit := f, f
	verdict.kind, verdict.rule = abi.EventVerdict, rule
	audit.kind, audit.reason, audit.rule = abi.EventAudit, abi.DropPolicyDenied, rule
	m := mapOf(f, verdict, audit)
	e := edgeOf(t, m, 2)
	if e.From != World || e.Policies == nil || e.Policies[0] != "shop/web" || e.Audited == nil || !e.LastDrop.IsZero() || !e.Denials[0].Audit {
		t.Errorf("%+v", e)
	}
	if len(e.Peers) != 1 || e.Peers[0].Address != "192.0.2.7" || e.Peers[0].Bytes != 600 {
		t.Errorf("peers %+v", e.Peers)
	}
}

func TestOutgoingPeersAreTheDestinations(t *testing.T) {
	f := told{at: 1, opened: 1, from: web, to: world, src: "10.0.0.2", dst: "198.51.100.1", sent: 100, received: 100}.flow()
	f.DestinationNames = []string{"example.org"}
	reply := told{at: 1, opened: 1, from: web, to: world, src: "10.0.0.2", dst: "198.51.100.1", sent: 100, received: 900, reply: true}.flow()
	m := New()
	m.Add(f)
	m.Add(reply)
	e := edgeOf(t, m, 2)
	if e.To != World || len(e.Peers) != 1 || e.Peers[0].Address != "198.51.100.1" || e.Peers[0].Name != "example.org" || e.Peers[0].Bytes != 1000 {
		t.Errorf("%+v", e.Peers)
	}
}

func TestWhatIsNoEdge(t *testing.T) {
	m := New()
	m.Add(&observe.Flow{Time: begin, Source: web, Destination: db, Lost: &api.Lost{Count: 7}})
	noIP := told{at: 1, from: web, to: db, kind: abi.EventDrop, reason: 1}.flow()
	noIP.Kernel.Family = 0
	m.Add(noIP)
	m.Add(told{at: 1, from: world, to: world, kind: abi.EventDrop, reason: 1}.flow())
	m.Add(told{at: 1, from: web, to: db, kind: abi.EventLearn}.flow())
	if edges, _ := m.Edges(0, begin); len(edges) != 0 || m.Lost() != 7 {
		t.Errorf("edges %v, %d lost", edges, m.Lost())
	}
}

func TestOnlyWhatChangedIsTold(t *testing.T) {
	m := mapOf(told{at: 1, opened: 1, from: web, to: db, sent: 100}, told{at: 1, opened: 1, from: host, to: web, sent: 100, src: "10.0.0.1", dst: "10.0.0.2"})
	_, version := m.Edges(0, moment(100))
	if edges, _ := m.Edges(version, moment(100)); len(edges) != 0 {
		t.Errorf("nothing changed, and there are %v", edges)
	}
	m.Add(told{at: 101, opened: 101, from: web, to: db, sent: 100}.flow())
	if edges, _ := m.Edges(version, moment(101)); len(edges) != 1 || edges[0].From != "shop-web-1" {
		t.Errorf("one changed, and there are %v", edges)
	}
}

func TestDropsAndEdgesAreUrgent(t *testing.T) {
	m := New()
	expect := func(about string, o told, want bool) {
		t.Helper()
		urgent := m.Urgent()
		m.Add(o.flow())
		select {
		case <-urgent:
			if !want {
				t.Errorf("%s: urgent", about)
			}
		default:
			if want {
				t.Errorf("%s: not urgent", about)
			}
		}
	}
	drop := func(at float64) told {
		return told{at: at, from: web, to: db, kind: abi.EventDrop, reason: abi.DropPolicyDenied}
	}
	expect("an edge", told{at: 1, opened: 1, from: web, to: db}, true)
	expect("more of it", told{at: 2, opened: 2, from: web, to: db}, false)
	expect("a drop", drop(3), true)
	expect("another at once", drop(3.5), false)
	expect("another later", drop(5), true)
}

func TestBounds(t *testing.T) {
	m := New()
	for i := range maxEdges + 10 {
		p := &observe.Party{Container: fmt.Sprint("c", i)}
		m.Add(told{at: float64(i), opened: float64(i), from: p, to: db, sent: 100}.flow())
	}
	edges, _ := m.Edges(0, moment(0))
	if len(edges) != maxEdges || len(m.Nodes()) != maxEdges+1 {
		t.Errorf("%d edges, %d nodes", len(edges), len(m.Nodes()))
	}
	m = New()
	for i := range uint16(200) {
		m.Add(told{at: 1, opened: float64(i) / 1000, from: world, to: web, src: fmt.Sprint("192.0.2.", i), dst: "10.0.0.2", port: 1000 + i, sent: 100}.flow())
		m.Add(told{at: 1, from: world, to: web, kind: abi.EventDrop, reason: abi.DropPolicyDenied, port: 1000 + i}.flow())
	}
	e := edgeOf(t, m, 2)
	if len(e.Ports) != maxPorts+1 || len(e.Denials) != maxDenials || len(e.Peers) != maxPeers || e.Connections != 200 {
		t.Errorf("%d ports, %d denials, %d peers, %d connections", len(e.Ports), len(e.Denials), len(e.Peers), e.Connections)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	var c connections
	for i := range maxConnections + 5000 {
		f := told{at: float64(i) / 1000, opened: float64(i) / 1000, from: web, to: db, sent: 100}.flow()
		f.Kernel.Sport = abi.ToBE16(uint16(i))
		if _, _, first := c.since(f); !first {
			t.Fatalf("connection %d is not new", i)
		}
	}
	if len(c.known) > maxConnections {
		t.Errorf("%d are remembered", len(c.known))
	}
}

func TestHistoryAddsUp(t *testing.T) {
	m := mapOf(
		told{at: 10, opened: 10, from: web, to: db, sent: 4000, received: 200},
		told{at: 10, opened: 9.9, from: world, to: db, src: "192.0.2.1", dst: "10.0.0.3", sent: 2000},
		told{at: 12, from: web, to: db, kind: abi.EventDrop, reason: abi.DropPolicyDenied},
	)
	h := m.History(moment(20), func(from, _ string) bool { return from == "shop-web-1" })
	var sent, received, opened, drops float64
	for i := range h.Times {
		sent, received, opened, drops = sent+2*h.Sent[i], received+2*h.Received[i], opened+2*h.Opened[i], drops+2*h.Drops[i]
	}
	if len(h.Times) != Buckets || math.Abs(sent-4000) > 1e-6 || math.Abs(received-200) > 1e-6 || opened != 1 || drops != 1 {
		t.Errorf("%d buckets, %v sent, %v received, %v opened, %v drops", len(h.Times), sent, received, opened, drops)
	}
	if last := h.Times[Buckets-1]; last > moment(20).Unix() || last < moment(18).Unix() {
		t.Errorf("the newest bucket is of %d, now is %d", last, moment(20).Unix())
	}
}

func TestSeriesSurvivesSetClocks(t *testing.T) {
	var s series
	s.add(begin, begin, amount{sent: 1})
	s.add(begin.Add(-time.Hour), begin.Add(-time.Hour), amount{sent: 1}) // too old
	s.add(begin.Add(24*time.Hour), begin.Add(24*time.Hour), amount{sent: 2})
	if got := s.sum(bucketOf(begin.Add(24*time.Hour)), Buckets); got.sent != 2 {
		t.Errorf("after a day %v are left", got.sent)
	}
	s.add(time.Unix(-10, 0), time.Unix(-5, 0), amount{sent: 1})
}

func BenchmarkAdd(b *testing.B) {
	m := New()
	f := told{at: 1, opened: 1, from: web, to: db, sent: 100, received: 100}.flow()
	for b.Loop() {
		f.Kernel.Sent.Bytes++
		m.Add(f)
	}
}
