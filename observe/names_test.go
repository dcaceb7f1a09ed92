package observe

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
)

// boot is when the test's monotonic clock showed 0.
var boot = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func testClock() (time.Time, uint64) { return boot.Add(100 * time.Second), uint64(100 * time.Second) }

// testNames knows the containers web (slot 3) and db (slot 4), and an address of the host.
type testNames struct{}

var (
	web = api.Party{Endpoint: "aa0123456789", Container: "web", ContainerID: "c10123456789", Project: "shop", Service: "front", Network: "net", Identity: 257}
	db  = api.Party{Endpoint: "bb0123456789", Container: "db", ContainerID: "c20123456789", Network: "net", Identity: 258}

	webParty = &Party{Number: 4, EndpointID: "aa0123456789", Container: "web", ContainerID: "c10123456789", Image: "nginx:1", Project: "shop",
		Service: "front", Network: "net", Identity: 257, Labels: map[string]string{"app": "web"}, Domains: []string{"web", "front"}}
	dbParty = &Party{Number: 5, EndpointID: "bb0123456789", Container: "db", ContainerID: "c20123456789", Network: "net", Identity: 258,
		Labels: map[string]string{"app": "db"}}
	hostParty  = &Party{Entity: api.EntityHost, Identity: 1}
	worldParty = &Party{Entity: api.EntityWorld, Identity: 2}
	goneParty  = &Party{Identity: 300, Labels: map[string]string{"app": "gone"}}

	testAddrs = map[netip.Addr]*Party{
		netip.MustParseAddr("172.30.0.2"): webParty, netip.MustParseAddr("fd00::2"): webParty,
		netip.MustParseAddr("172.30.0.3"): dbParty, netip.MustParseAddr("fd00::3"): dbParty,
		netip.MustParseAddr("172.30.0.1"): hostParty,
	}
	testRules = map[uint8]*Rule{abi.PolicyEgress: {Policy: "allow-web", Place: "egress[0]"}, abi.PolicyIngress: {Policy: "allow-web", Place: "ingress[1]"},
		abi.PolicyPublish: {Policy: "allow-web", Place: "publish[2]"}}
	optionRule = &Rule{Place: "network option sluice.policy=always", Default: true}
)

func (testNames) Slot(slot uint32) *Party {
	switch slot {
	case 3:
		return webParty
	case 4:
		return dbParty
	}
	return nil
}

func (testNames) Addr(a netip.Addr) *Party { return testAddrs[a] }

func (testNames) Identity(id uint32) *Party {
	switch id {
	case abi.IdentityHost:
		return hostParty
	case abi.IdentityWorld:
		return worldParty
	case 300:
		return goneParty
	}
	return nil
}

func (testNames) Rule(slot, revision uint32, side uint8, rule uint16) *Rule {
	if rule == 7 {
		return optionRule
	}
	if slot != 3 || revision != 9 {
		return nil
	}
	return testRules[side]
}

// flowsOf names a record.
func flowsOf(e abi.Event) []*Flow {
	n := namer{names: testNames{}}
	n.wall, n.monotonic = testClock()
	return n.name(nil, &e)
}

// flowOf names a record that tells of one thing.
func flowOf(t testing.TB, e abi.Event) *Flow {
	t.Helper()
	all := flowsOf(e)
	if len(all) != 1 {
		t.Fatalf("%+v became %d flows", e, len(all))
	}
	return all[0]
}

func at(p api.Party, addr string, port uint16) api.Party {
	p.Addr, p.Port = netip.MustParseAddr(addr), port
	return p
}

// with changes a copy of denied.
func with(change func(*abi.Event)) abi.Event {
	e := denied()
	change(&e)
	return e
}

func ip(s string) abi.IP { return abi.FromAddr(netip.MustParseAddr(s)) }

// eventCase is a record and the event that it becomes.
type eventCase struct {
	name string
	in   abi.Event
	want api.Event
}

func eventCases() []eventCase {
	drop := api.Event{
		Type: api.EventDrop, Time: boot.Add(90 * time.Second), Verdict: api.VerdictDropped, Point: api.Egress, Endpoint: web,
		Source: at(web, "172.30.0.2", 40212), Destination: at(db, "172.30.0.3", 5432), Protocol: "tcp", TCPFlags: "SYN", Length: 74,
		Reason: api.ReasonPolicyDenied, Direction: api.Egress, Policy: "allow-web", Rule: "egress[0]", Revision: 9, Ifindex: 11,
	}
	expect := func(change func(*api.Event)) api.Event {
		e := drop
		change(&e)
		return e
	}
	return []eventCase{
		{"policy drop", denied(), drop},
		{"reply is judged by the other direction", with(func(e *abi.Event) { e.Reply, e.TCPFlags, e.Side = 1, 0x12, abi.PolicyIngress }),
			expect(func(e *api.Event) {
				e.Reply, e.TCPFlags, e.Direction, e.Rule = true, "SYN,ACK", api.Ingress, "ingress[1]"
			})},
		{"no rule", with(func(e *abi.Event) { e.Rule = 0 }), expect(func(e *api.Event) { e.Policy, e.Rule = "", "" })},
		{"network's option", with(func(e *abi.Event) { e.Rule = 7 }),
			expect(func(e *api.Event) { e.Policy, e.Rule = "", "network option sluice.policy=always" })},
		{"rule of a revision that is forgotten", with(func(e *abi.Event) { e.Revision = 8 }),
			expect(func(e *api.Event) { e.Revision, e.Policy, e.Rule = 8, "", "rule 2 of revision 8" })},
		{"allowed verdict, IPv6, at ingress",
			with(func(e *abi.Event) {
				e.Type, e.Reason, e.Point, e.Slot, e.Family = abi.EventVerdict, 0, abi.PointIngress, 4, 6
				e.Src, e.Dst, e.Identity, e.Rule, e.Proto, e.Side = ip("fd00::2"), ip("fd00::3"), 257, 0, 17, abi.PolicyIngress
			}),
			expect(func(e *api.Event) {
				e.Type, e.Verdict, e.Reason, e.Point, e.Direction = api.EventVerdict, api.VerdictAllowed, "", api.Ingress, api.Ingress
				e.Endpoint, e.Source, e.Destination = db, at(web, "fd00::2", 40212), at(db, "fd00::3", 5432)
				e.Protocol, e.TCPFlags, e.Policy, e.Rule = "udp", "", "", ""
			})},
		{"list of a published port",
			with(func(e *abi.Event) {
				e.Reason, e.Side, e.Frontend = uint16(abi.DropPublishDenied), abi.PolicyPublish, abi.ToBE16(8080)
			}),
			expect(func(e *api.Event) {
				e.Reason, e.Direction, e.HostPort, e.Rule = "publish denied", api.Publish, 8080, "publish[2]"
			})},
		{"ingress of a published port",
			with(func(e *abi.Event) { e.Side, e.Frontend = abi.PolicyIngress, abi.ToBE16(8080) }),
			expect(func(e *api.Event) { e.Direction, e.HostPort, e.Rule = api.Ingress, 8080, "ingress[1]" })},
		{"audit", with(func(e *abi.Event) { e.Type = abi.EventAudit }),
			expect(func(e *api.Event) { e.Type, e.Verdict = api.EventAudit, api.VerdictAudit })},
		{"learnt, and allowed", with(func(e *abi.Event) { e.Type, e.Reason = abi.EventLearn, 0 }),
			expect(func(e *api.Event) { e.Type, e.Verdict, e.Reason = api.EventLearn, api.VerdictLearned, "" })},
		{"learnt, though denied", with(func(e *abi.Event) { e.Type = abi.EventLearn }),
			expect(func(e *api.Event) { e.Type, e.Verdict = api.EventLearn, api.VerdictLearned })},
		{"denied verdict", with(func(e *abi.Event) { e.Type = abi.EventVerdict }),
			expect(func(e *api.Event) { e.Type, e.Verdict = api.EventVerdict, api.VerdictDenied })},
		{"spoofed source keeps the container's name",
			with(func(e *abi.Event) { e.Src, e.Reason = ip("172.30.0.3"), uint16(abi.DropSpoofedIP) }),
			expect(func(e *api.Event) {
				e.Source, e.Reason = at(web, "172.30.0.3", 40212), "spoofed address"
				e.Direction, e.Policy, e.Rule = "", "", ""
			})},
		{"to the world", with(func(e *abi.Event) { e.Dst, e.Identity = ip("192.0.2.1"), abi.IdentityWorld }),
			expect(func(e *api.Event) {
				e.Destination = at(api.Party{Identity: 2, Entity: api.EntityWorld}, "192.0.2.1", 5432)
			})},
		{"to the host", with(func(e *abi.Event) { e.Dst, e.Identity = ip("172.30.0.1"), abi.IdentityHost }),
			expect(func(e *api.Event) {
				e.Destination = at(api.Party{Identity: 1, Entity: api.EntityHost}, "172.30.0.1", 5432)
			})},
		{"to a container that went", with(func(e *abi.Event) { e.Dst, e.Identity = ip("172.30.0.9"), 300 }),
			expect(func(e *api.Event) {
				e.Destination = at(api.Party{Identity: 300, Labels: map[string]string{"app": "gone"}}, "172.30.0.9", 5432)
			})},
		{"ICMP has no ports", with(func(e *abi.Event) { e.Proto, e.ICMPType, e.Sport, e.Dport = 1, 8, abi.ToBE16(7), abi.ToBE16(7) }),
			expect(func(e *api.Event) {
				e.Protocol, e.TCPFlags, e.ICMPType, e.Source.Port, e.Destination.Port = "icmp", "", 8, 0, 0
			})},
		{"not IP", with(func(e *abi.Event) {
			*e = abi.Event{Time: e.Time, Type: abi.EventDrop, Point: abi.PointEgress, Reason: uint16(abi.DropNotIP), Slot: 3, Revision: 9, Length: 60}
		}), api.Event{Type: api.EventDrop, Time: drop.Time, Verdict: api.VerdictDropped, Point: api.Egress, Endpoint: web, Source: web,
			Reason: "not IP", Revision: 9, Length: 60}},
		{"nothing is known of the peer", with(func(e *abi.Event) { e.Dst, e.Identity = ip("172.30.0.9"), 0 }),
			expect(func(e *api.Event) { e.Destination = at(api.Party{}, "172.30.0.9", 5432) })},
		{"from the world, by the uplink", with(func(e *abi.Event) {
			e.Point, e.Reason, e.Rule, e.Slot, e.Src, e.Identity = abi.PointUplink, uint16(abi.DropNotPublished), 0, 0, ip("192.0.2.1"), 0
		}), expect(func(e *api.Event) {
			e.Point, e.Reason, e.Endpoint, e.Direction, e.Policy, e.Rule = "uplink", "not published", api.Party{}, "", "", ""
			e.Source = at(api.Party{Identity: 2, Entity: api.EntityWorld}, "192.0.2.1", 40212)
		})},
		{"uplink belongs to no slot", with(func(e *abi.Event) {
			e.Point, e.Reason, e.Rule, e.Slot, e.Src = abi.PointUplink, uint16(abi.DropSpoofedUplink), 0, 3, ip("172.30.0.2")
		}), expect(func(e *api.Event) {
			e.Point, e.Reason, e.Endpoint, e.Direction, e.Policy, e.Rule = "uplink", "spoofed on uplink", api.Party{}, "", "", ""
		})},
		{"trace of an unknown protocol", with(func(e *abi.Event) { e.Type, e.Reason, e.Proto = abi.EventTrace, 0, 47 }),
			expect(func(e *api.Event) {
				e.Type, e.Verdict, e.Reason, e.Protocol, e.TCPFlags = api.EventTrace, api.VerdictForwarded, "", "47", ""
				e.Source.Port, e.Destination.Port, e.Direction, e.Policy, e.Rule = 0, 0, "", "", ""
			})},
	}
}

func TestEvent(t *testing.T) {
	for _, c := range eventCases() {
		t.Run(c.name, func(t *testing.T) {
			got := flowOf(t, c.in).Event()
			if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestKernelClockIsTheOneOfEvents(t *testing.T) {
	wall, monotonic := kernelClock()
	if d := time.Since(wall); d < 0 || d > time.Minute || monotonic == 0 {
		t.Errorf("wall %v, monotonic %d", wall, monotonic)
	}
}

// TestReasonNames keeps the names that package api knows equal to the programs'.
func TestReasonNames(t *testing.T) {
	if got := abi.DropPolicyDenied.String(); got != api.ReasonPolicyDenied {
		t.Errorf("the programs call it %q, api %q", got, api.ReasonPolicyDenied)
	}
}
