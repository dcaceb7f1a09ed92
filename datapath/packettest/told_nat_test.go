package packettest

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/sluice-net/sluice/internal/abi"
)

// wantOne expects one event and returns it.
func (r reader) wantOne(about string, word string) abi.Event {
	r.t.Helper()
	if events := r.wantTold(about, word); len(events) == 1 {
		return events[0]
	}
	return abi.Event{}
}

// checkEvent compares the ends of an event, and those of its translation.
func checkEvent(t *testing.T, about string, e abi.Event, src, dst, dnat, snat netip.AddrPort) {
	t.Helper()
	port := func(a abi.IP, p abi.BE16) netip.AddrPort {
		if a == (abi.IP{}) {
			return netip.AddrPort{}
		}
		return netip.AddrPortFrom(a.Addr(), p.Host())
	}
	for name, c := range map[string][2]netip.AddrPort{"source": {port(e.Src, e.Sport), src}, "destination": {port(e.Dst, e.Dport), dst},
		"destination before": {port(e.DNATAddr, e.DNATPort), dnat}, "source after": {port(e.SNATAddr, e.SNATPort), snat}} {
		if c[0] != c[1] {
			t.Errorf("%s: %s %v, want %v", about, name, c[0], c[1])
		}
	}
}

// A masqueraded flow is told with the container's own address, and with the uplink's that it has outside; its answers too.
// Each packet is counted once.
func TestPrivilegedToldOfMasqueraded(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		for _, proto := range protocols(family) {
			o := newOutside(t, "MASQUERADE", "SERVICES")
			r := o.reader()
			about := fmt.Sprintf("protocol %d", proto)
			_, far := outsideOf(family)
			sent := alice.to(far).transport(proto)
			s := o.masquerade(t, family, proto)
			a, b := alice.to(far).ports(proto)
			dst := b
			if proto != tcp && proto != udp {
				dst = netip.AddrPortFrom(b.Addr(), a.Port()) // the identifier is both
			}
			e := r.wantOne(about, "alice>,new")
			checkEvent(t, about, e, a, dst, netip.AddrPort{}, s.src)
			if e.Point != abi.PointEgress || e.Identity != abi.IdentityWorld || e.Sent != (abi.Counter{Packets: 1, Bytes: uint64(len(sent))}) {
				t.Errorf("%s: %+v", about, e)
			}
			answer := o.answer(s, proto)
			o.enter(answer)
			e = r.wantOne(about+", answered", "alice<,state")
			checkEvent(t, about+", answered", e, dst, a, netip.AddrPort{}, s.src)
			if e.Point != abi.PointIngress || e.Received != (abi.Counter{Packets: 1, Bytes: uint64(len(answer))}) {
				t.Errorf("%s: the answer: %+v", about, e)
			}
			for range 3 {
				o.masquerade(t, family, proto)
				o.enter(answer)
			}
			r.wantTold(about + ", again")
			if f := o.flow(a, dst, proto); f.Sent.Packets != 4 || f.Received.Packets != 4 || f.Received.Bytes != 4*uint64(len(answer)) {
				t.Errorf("%s: the flow has %+v, %+v", about, f.Sent, f.Received)
			}
			o.removeDevices(t)
		}
	})
}

// A connection to a published port is told by the container, with the frontend that the client named; by containers that come
// by it, and by one that reaches itself, too.
func TestPrivilegedToldOfPublished(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		for _, proto := range []uint8{tcp, udp} {
			o := newOutside(t, "MASQUERADE", "SERVICES")
			r := o.reader()
			host, far := outsideOf(family)
			o.publish(wildcard(family), 80, proto, bob.addr(family), 8000)
			frontend, backend := netip.AddrPortFrom(netip.MustParseAddr(host), 80), netip.AddrPortFrom(bob.addr(family), 8000)
			client := netip.AddrPortFrom(netip.MustParseAddr(far), 5000)
			in := o.inbound(far, host).transport(proto)
			about := fmt.Sprintf("protocol %d", proto)
			o.enter(in)
			e := r.wantOne(about, "bob>,new")
			checkEvent(t, about, e, client, backend, frontend, netip.AddrPort{})
			if e.Point != abi.PointIngress || e.Identity != abi.IdentityWorld || e.Sent != (abi.Counter{Packets: 1, Bytes: uint64(len(in))}) {
				t.Errorf("%s: %+v", about, e)
			}
			out := bob.to(far).udp(8000, 5000)
			if proto == tcp {
				out = bob.to(far).tcp(8000, 5000, "SA")
			}
			o.leave(o.bob, out)
			checkEvent(t, about+", answered", r.wantOne(about+", answered", "bob<,state"), backend, client, frontend, netip.AddrPort{})
			again := o.inbound(far, host).udp(5000, 80)
			if proto == tcp {
				again = o.inbound(far, host).tcp(5000, 80, "A")
			}
			for range 3 {
				o.enter(again)
			}
			r.wantTold(about + ", again")
			if f := o.flow(client, backend, proto); f.Sent.Packets != 4 || f.Received.Packets != 1 {
				t.Errorf("%s: the flow has %+v, %+v", about, f.Sent, f.Received)
			}
			if proto == tcp {
				o.enter(o.inbound(far, host).tcp(5000, 80, "FA"))
				r.wantOne(about+", the client closes", "bob>,state")
				o.leave(o.bob, bob.to(far).tcp(8000, 5000, "FA"))
				if e := r.wantOne(about+", closed", "bob<,closed"); e.Sent.Packets != 5 || e.Received.Packets != 2 {
					t.Errorf("%s: closed with %+v, %+v", about, e.Sent, e.Received)
				}
			}
			o.leave(o.alice, alice.to(host).transport(proto))
			checkEvent(t, about+", a neighbour", r.wantOne(about+", a neighbour", "alice>,new"),
				netip.AddrPortFrom(alice.addr(family), 5000), backend, frontend, netip.AddrPort{})
			o.leave(o.bob, bob.to(host).transport(proto))
			checkEvent(t, about+", itself", r.wantOne(about+", itself", "bob>,new"),
				netip.AddrPortFrom(bob.gateway(family), 5000), backend, frontend, netip.AddrPort{})
			if f := o.flow(netip.AddrPortFrom(alice.addr(family), 5000), backend, proto); f.Sent.Packets != 1 {
				t.Errorf("%s: the neighbour's flow has %+v", about, f.Sent)
			}
			o.removeDevices(t)
		}
	})
}

// A container of level none or drops that is reached from outside tells nothing, but counts.
func TestPrivilegedUntoldOutside(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE", "SERVICES")
		host, far := outsideOf(family)
		o.publish(wildcard(family), 80, udp, bob.addr(family), 8000)
		o.bob = o.load(bob, options{features: open.with("MASQUERADE", "SERVICES"), level: "drops"})
		r := o.reader()
		for range 2 {
			o.enter(o.inbound(far, host).udp(5000, 80))
			o.leave(o.bob, bob.to(far).udp(8000, 5000))
		}
		r.wantTold("level drops")
		f := o.flow(netip.AddrPortFrom(netip.MustParseAddr(far), 5000), netip.AddrPortFrom(bob.addr(family), 8000), udp)
		if f == nil || f.Sent.Packets != 2 || f.Received.Packets != 2 {
			t.Errorf("the flow is %+v", f)
		}
	})
}
