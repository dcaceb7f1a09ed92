package maps

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/abi"
)

// enterFlow puts a flow as it is.
func enterFlow(t *testing.T, f *Flows, proto uint8, a, b string, value abi.Flow, idle time.Duration) {
	t.Helper()
	key, aIsLo := abi.NewTuple(addrPort(a), addrPort(b), proto)
	if aIsLo {
		value.Flags |= abi.FlowInitiatorLo
	}
	value.Last = at - uint32(idle/tick)
	if err := f.of(proto).Put(&key, &value); err != nil {
		t.Fatal(err)
	}
}

// TestPrivilegedClosingTotals: of flows that end in silence the totals are told, by whoever told that they began.
func TestPrivilegedClosingTotals(t *testing.T) {
	f := newFlows(t)
	var got []abi.Event
	f.OnOver(func(e ...abi.Event) { got = append(got, e...) })
	sent, received := abi.Counter{Packets: 3, Bytes: 300}, abi.Counter{Packets: 2, Bytes: 999}
	ip := func(s string) abi.IP { return abi.FromAddr(addr(s)) }
	for _, c := range []struct {
		about string
		proto uint8
		a, b  string
		flow  abi.Flow
		want  *abi.Event
	}{
		{"UDP, told by its initiator", udp, "10.0.0.9:5000", "10.0.0.2:53",
			abi.Flow{Flags: abi.FlowReplied, Teller: 8, TellerOpened: 1, EgressRevision: 4 | abi.RevisionAudited, EgressPeer: 300, IngressRevision: 6, IngressPeer: 301},
			&abi.Event{Src: ip("10.0.0.9"), Dst: ip("10.0.0.2"), Sport: abi.ToBE16(5000), Dport: abi.ToBE16(53), Family: 4,
				Point: abi.PointEgress, Slot: 7, Revision: 4, Identity: 300}},
		{"UDP, told by its responder", udp, "[fd00::9]:5000", "[fd00::2]:53",
			abi.Flow{Teller: 1, EgressRevision: 4, EgressPeer: 300, IngressRevision: 6 | abi.RevisionLearned, IngressPeer: 2},
			&abi.Event{Src: ip("fd00::9"), Dst: ip("fd00::2"), Sport: abi.ToBE16(5000), Dport: abi.ToBE16(53), Family: 6,
				Point: abi.PointIngress, Slot: 0, Revision: 6, Identity: 2}},
		{"silent TCP, translated both ways", tcp, "10.0.0.2:1000", "10.0.0.9:80",
			abi.Flow{Flags: abi.FlowReplied | abi.FlowEstablished | abi.FlowDNAT | abi.FlowSNAT, Teller: 3, TellerOpened: 1,
				DNATAddr: ip("192.0.2.1"), DNATPort: abi.ToBE16(8080), SNATAddr: ip("192.0.2.2"), SNATPort: abi.ToBE16(40000)},
			&abi.Event{Src: ip("10.0.0.2"), Dst: ip("10.0.0.9"), Sport: abi.ToBE16(1000), Dport: abi.ToBE16(80), Family: 4,
				Point: abi.PointEgress, Slot: 2, DNATAddr: ip("192.0.2.1"), DNATPort: abi.ToBE16(8080), SNATAddr: ip("192.0.2.2"), SNATPort: abi.ToBE16(40000)}},
		{"ping", icmp, "10.0.0.2:7", "10.0.0.9:7", abi.Flow{Teller: 3, TellerOpened: 1},
			&abi.Event{Src: ip("10.0.0.2"), Dst: ip("10.0.0.9"), Sport: abi.ToBE16(7), Dport: abi.ToBE16(7), Family: 4, Point: abi.PointEgress,
				Slot: 2, ICMPType: 8}},
		{"half closed", tcp, "10.0.0.2:1000", "10.0.0.9:80", abi.Flow{Flags: abi.FlowFINInitiator, Teller: 3},
			&abi.Event{Src: ip("10.0.0.2"), Dst: ip("10.0.0.9"), Sport: abi.ToBE16(1000), Dport: abi.ToBE16(80), Family: 4, Point: abi.PointIngress, Slot: 2}},
		{"never told", udp, "10.0.0.9:5000", "10.0.0.2:53", abi.Flow{}, nil},
		{"told as closed", tcp, "10.0.0.2:1000", "10.0.0.9:80", abi.Flow{Flags: abi.FlowFINInitiator | abi.FlowFINResponder, Teller: 3}, nil},
		{"told as reset", tcp, "10.0.0.2:1000", "10.0.0.9:80", abi.Flow{Flags: abi.FlowReset, Teller: 3}, nil},
	} {
		c.flow.Sent, c.flow.Received, c.flow.Opened = sent, received, 12345
		enterFlow(t, f, c.proto, c.a, c.b, c.flow, 3*time.Hour)
		enterFlow(t, f, udp, "10.0.0.77:1", "10.0.0.78:2", abi.Flow{Teller: 1}, 0) // goes on
		got = nil
		if _, n, err := f.deleteIf(Flow.Expired); err != nil || n != 1 {
			t.Fatalf("%s: %d expired, %v", c.about, n, err)
		}
		if c.want == nil {
			if len(got) != 0 {
				t.Errorf("%s: told %+v", c.about, got)
			}
			continue
		}
		c.want.Sent, c.want.Received, c.want.Opened, c.want.Proto = sent, received, 12345, c.proto
		c.want.Type, c.want.Cause = abi.EventTrace, abi.CauseClosed
		if len(got) != 1 || got[0] != *c.want {
			t.Errorf("%s: told\n%+v, want\n%+v", c.about, got, *c.want)
		}
	}
}

// TestPrivilegedClosingOnce: a flow that is removed twice is over once.
func TestPrivilegedClosingOnce(t *testing.T) {
	f := newFlows(t)
	over := 0
	f.OnOver(func(e ...abi.Event) { over += len(e) })
	enterFlow(t, f, udp, "10.0.0.9:5000", "10.0.0.2:53", abi.Flow{Teller: 1}, 0)
	for flow := range f.All() {
		for range 2 {
			if err := f.Delete(flow); err != nil {
				t.Fatal(err)
			}
		}
	}
	if over != 1 {
		t.Errorf("it was over %d times", over)
	}
}

// TestPrivilegedManyClosings: many flows that end together are told in parts, none twice.
func TestPrivilegedManyClosings(t *testing.T) {
	f := newFlows(t)
	seen := map[uint16]bool{}
	f.OnOver(func(events ...abi.Event) {
		if len(events) > mostClosings {
			t.Errorf("%d told together", len(events))
		}
		for _, e := range events {
			seen[e.Sport.Host()] = true
		}
	})
	const n = 2*mostClosings + 7
	for i := range n {
		enterFlow(t, f, udp, fmt.Sprintf("10.0.0.9:%d", i+1), "10.0.0.2:53", abi.Flow{Teller: 1}, time.Hour)
	}
	if _, ended, err := f.deleteIf(Flow.Expired); err != nil || ended != n || len(seen) != n {
		t.Errorf("%d of %d ended and %d were told, %v", ended, n, len(seen), err)
	}
}
