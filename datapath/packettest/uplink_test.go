package packettest

import (
	"net/netip"
	"testing"

	"github.com/sluice-net/sluice/internal/abi"
)

// wildcard is every address of a family.
func wildcard(family int) string {
	if family == 4 {
		return "0.0.0.0"
	}
	return "::"
}

// A published port: the client keeps its address, the container sees its own port, the answer comes from the frontend.
func TestPrivilegedPublished(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE", "SERVICES")
		host, far := outsideOf(family)
		for _, proto := range []uint8{tcp, udp} {
			o.publish(wildcard(family), 80, proto, bob.addr(family), 8000)
			client := netip.AddrPortFrom(netip.MustParseAddr(far), 5000)
			for range 2 {
				verdict, out := o.enter(o.inbound(far, host).transport(proto))
				s := read(t, out)
				if verdict != tcRedirect || s.src != client || s.dst != netip.AddrPortFrom(bob.addr(family), 8000) || s.ttl != 64 {
					t.Fatalf("protocol %d: verdict %d, came as %+v", proto, verdict, s)
				}
			}
			reply := bob.to(far).udp(8000, 5000)
			if proto == tcp {
				reply = bob.to(far).tcp(8000, 5000, "SA")
			}
			verdict, out := o.leave(o.bob, reply)
			s := read(t, out)
			if verdict != tcRedirect || s.src != netip.AddrPortFrom(netip.MustParseAddr(host), 80) || s.dst != client || s.ttl != 63 {
				t.Errorf("protocol %d: verdict %d, the answer left as %+v", proto, verdict, s)
			}
			f := o.flow(client, netip.AddrPortFrom(bob.addr(family), 8000), proto)
			if f == nil || f.Flags&(abi.FlowDNAT|abi.FlowReplied) != abi.FlowDNAT|abi.FlowReplied || f.DNATAddr.String() != host {
				t.Errorf("protocol %d: the flow is %+v", proto, f)
			}
		}
	})
}

// What is for nobody here is left to the stack as it came.
func TestPrivilegedUplinkLeaves(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE", "SERVICES")
		host, far := outsideOf(family)
		o.publish(wildcard(family), 80, tcp, bob.addr(family), 8000)
		o.publish(wildcard(10-family), 90, udp, bob.addr(family), 8000) // of the other family
		o.publish(wildcard(family), 91, udp, bob.addr(10-family), 8000) // backend of the other family
		elsewhere := o.inbound(far, host)
		elsewhere.dstMAC = mustMAC("02:00:00:00:ee:02")
		for name, packet := range map[string][]byte{
			"another port":                o.inbound(far, host).tcp(5000, 81, "S"),
			"another protocol":            o.inbound(far, host).udp(5000, 80),
			"another host":                o.inbound(far, far).tcp(5000, 80, "S"),
			"frontend of the other kind":  o.inbound(far, host).udp(5000, 90),
			"backend of the other kind":   o.inbound(far, host).udp(5000, 91),
			"ping":                        o.inbound(far, host).echo(7, false),
			"answer to nobody":            o.inbound(far, host).echo(7, true),
			"frame for another":           elsewhere.tcp(5000, 80, "S"),
			"container, routed from afar": o.inbound(far, bob.addr(family).String()).tcp(5000, 8000, "S"),
		} {
			if verdict, out := o.enter(packet); verdict != tcLeave || string(out) != string(packet) {
				t.Errorf("%s: verdict %d, packet changed: %v", name, verdict, string(out) != string(packet))
			}
		}
	})
}

// A container whose network is not masqueraded is reached by its own address, past the host's stack, translated nowhere.
func TestPrivilegedUplinkRouted(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t)
		_, far := outsideOf(family)
		e := abi.Endpoint{Ifindex: uint32(bob.ifindex), Identity: bob.identity, Network: bob.network, Slot: bob.slot, Flags: abi.EndpointRouted}
		o.endpoint(bob.addr(family), e)
		packet := o.inbound(far, bob.addr(family).String()).tcp(5000, 8000, "S")
		if verdict, out := o.enter(packet); verdict != tcRedirect || read(t, out).dst != netip.AddrPortFrom(bob.addr(family), 8000) {
			t.Errorf("verdict %d, to %v", verdict, read(t, out).dst)
		}
		spoofed := o.inbound(alice.addr(family).String(), bob.addr(family).String()).tcp(5000, 8000, "S")
		if verdict, _ := o.enter(spoofed); verdict != tcDrop || o.counted(abi.DirectionUplink, abi.DropSpoofedUplink) != 1 {
			t.Errorf("spoofed: verdict %d", verdict)
		}
	})
}

// Nobody outside may claim an address of a container or of the host to reach a container.
func TestPrivilegedUplinkSpoofed(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE", "SERVICES")
		host, _ := outsideOf(family)
		o.publish(wildcard(family), 80, tcp, bob.addr(family), 8000)
		for _, src := range []string{alice.addr(family).String(), alice.gateway(family).String(), host} {
			before := o.counted(abi.DirectionUplink, abi.DropSpoofedUplink)
			if verdict, _ := o.enter(o.inbound(src, host).tcp(5000, 80, "S")); verdict != tcDrop ||
				o.counted(abi.DirectionUplink, abi.DropSpoofedUplink) != before+1 {
				t.Errorf("from %s: verdict %d", src, verdict)
			}
		}
	})
}

// An exact address goes before every address; a slot without program, or a backend that is gone, drops.
func TestPrivilegedFrontends(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "SERVICES")
		host, far := outsideOf(family)
		o.publish(wildcard(family), 80, udp, bob.addr(family), 1)
		o.publish(host, 80, udp, alice.addr(family), 2)
		if _, out := o.enter(o.inbound(far, host).udp(5000, 80)); read(t, out).dst != netip.AddrPortFrom(alice.addr(family), 2) {
			t.Errorf("came to %v", read(t, out).dst)
		}
		o.publish(host, 81, udp, netip.MustParseAddr("10.7.0.99"), 2)
		if family == 6 {
			o.publish(host, 81, udp, netip.MustParseAddr("fd07::99"), 2)
		}
		if verdict, _ := o.enter(o.inbound(far, host).udp(5000, 81)); verdict != tcDrop || o.counted(abi.DirectionUplink, abi.DropNoEndpoint) != 1 {
			t.Errorf("a backend that is gone: verdict %d", verdict)
		}
		if err := o.maps["ingress_slots"].Delete(alice.slot); err != nil {
			t.Fatal(err)
		}
		if verdict, _ := o.enter(o.inbound(far, host).udp(5000, 80)); verdict != tcDrop || o.counted(abi.DirectionUplink, abi.DropNoSlot) != 1 {
			t.Errorf("an empty slot: verdict %d", verdict)
		}
	})
}

// A connection outlives its frontend and follows none that replaces it; a new one takes the new one. A backend that was
// replaced under its address gets nothing of the old one's.
func TestPrivilegedFrontendChanges(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "SERVICES")
		host, far := outsideOf(family)
		in := o.inbound(far, host)
		o.publish(host, 80, tcp, bob.addr(family), 8000)
		to := func(packet []byte) netip.Addr {
			t.Helper()
			verdict, out := o.enter(packet)
			if verdict == tcLeave {
				return netip.Addr{}
			}
			return read(t, out).dst.Addr()
		}
		if got := to(in.tcp(5000, 80, "S")); got != bob.addr(family) {
			t.Fatalf("came to %v", got)
		}
		o.publish(host, 80, tcp, alice.addr(family), 8000)
		if got := to(in.tcp(5000, 80, "A")); got != bob.addr(family) {
			t.Errorf("the old connection came to %v", got)
		}
		if got := to(in.tcp(5001, 80, "S")); got != alice.addr(family) {
			t.Errorf("a new connection came to %v", got)
		}
		o.unpublish(host, 80, tcp)
		if got := to(in.tcp(5000, 80, "A")); got != bob.addr(family) {
			t.Errorf("without frontend the old connection came to %v", got)
		}
		if got := to(in.tcp(5002, 80, "S")); got.IsValid() {
			t.Errorf("without frontend a new connection came to %v", got)
		}
		o.endpoint(bob.addr(family), abi.Endpoint{Ifindex: 999, Identity: 400, Network: 7, Slot: bob.slot})
		if got := to(in.tcp(5000, 80, "A")); got.IsValid() {
			t.Errorf("the successor of the backend got a packet of its connection: %v", got)
		}
	})
}

// Two frontends of one backend, and one client port: a datagram is answered from where it went last, of two TCP
// connections the first lives.
func TestPrivilegedFrontendsShareBackend(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "SERVICES")
		host, far := outsideOf(family)
		for _, proto := range []uint8{tcp, udp} {
			o.publish(host, 80, proto, bob.addr(family), 8000)
			o.publish(host, 81, proto, bob.addr(family), 8000)
		}
		in := o.inbound(far, host)
		for _, port := range []uint16{80, 81, 80} {
			if verdict, _ := o.enter(in.udp(5000, port)); verdict != tcRedirect {
				t.Fatalf("verdict %d", verdict)
			}
			if _, out := o.leave(o.bob, bob.to(far).udp(8000, 5000)); read(t, out).src.Port() != port {
				t.Errorf("answered from %v, asked at %d", read(t, out).src, port)
			}
		}
		o.enter(in.tcp(5000, 80, "S"))
		if verdict, _ := o.enter(in.tcp(5000, 81, "S")); verdict != tcDrop {
			t.Errorf("verdict %d on a second connection that cannot be told apart", verdict)
		}
		if _, out := o.leave(o.bob, bob.to(far).tcp(8000, 5000, "SA")); read(t, out).src.Port() != 80 {
			t.Errorf("answered from %v", read(t, out).src)
		}
	})
}

// What is published on a loopback address is for processes of the host: a packet that names it, from outside or from a
// container, reaches nobody.
func TestPrivilegedLoopbackFrontends(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE", "SERVICES")
		_, far := outsideOf(family)
		loopback := map[int]string{4: "127.0.0.1", 6: "::1"}[family]
		for _, proto := range []uint8{tcp, udp} {
			o.publish(loopback, 80, proto, bob.addr(family), 8000)
			packet := o.inbound(far, loopback).transport(proto)
			if verdict, out := o.enter(packet); verdict != tcLeave || string(out) != string(packet) {
				t.Errorf("protocol %d from outside: verdict %d", proto, verdict)
			}
			if verdict, out := o.leave(o.alice, alice.to(loopback).transport(proto)); verdict == tcRedirect {
				t.Errorf("protocol %d from a container: came to %v", proto, read(t, out).dst)
			}
		}
	})
}

// Fragments to a published port.
func TestPrivilegedPublishedFragments(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "SERVICES")
		host, far := outsideOf(family)
		o.publish(host, 80, udp, bob.addr(family), 8000)
		for i, piece := range fragmented(o.inbound(far, host), 9, 80) {
			verdict, out := o.enter(piece)
			s := read(t, out)
			if verdict != tcRedirect || s.dst.Addr() != bob.addr(family) || i == 0 && s.dst.Port() != 8000 {
				t.Errorf("fragment %d: verdict %d, came as %+v", i, verdict, s)
			}
		}
		for i, piece := range fragmented(bob.to(far), 10, 5000) {
			if i == 0 { // from port 8000
				at := map[int]int{4: 34, 6: 62}[family]
				piece[at], piece[at+1] = 8000>>8, 8000&0xff
			}
			verdict, out := o.leave(o.bob, piece)
			if s := read(t, out); verdict != tcRedirect || s.src.Addr().String() != host || i == 0 && s.src.Port() != 80 {
				t.Errorf("fragment %d of the answer: verdict %d, left as %+v", i, verdict, s)
			}
		}
	})
}

// Hairpin: by the frontend to a neighbour, whose own address is not seen, and to oneself.
func TestPrivilegedHairpin(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "SERVICES")
		host, _ := outsideOf(family)
		for _, proto := range []uint8{tcp, udp} {
			o.publish(wildcard(family), 80, proto, bob.addr(family), 8000)
			reply := func(e ends, dport uint16) []byte {
				if proto == tcp {
					return e.tcp(8000, dport, "SA")
				}
				return e.udp(8000, dport)
			}
			frontend := netip.AddrPortFrom(netip.MustParseAddr(host), 80)

			verdict, out := o.leave(o.alice, alice.to(host).transport(proto))
			if s := read(t, out); verdict != tcRedirect || s.src.Addr() != alice.addr(family) || s.dst != netip.AddrPortFrom(bob.addr(family), 8000) {
				t.Errorf("protocol %d: verdict %d, came as %+v", proto, verdict, s)
			}
			verdict, out = o.leave(o.bob, reply(bob.to(alice.addr(family).String()), 5000))
			if s := read(t, out); verdict != tcRedirect || s.src != frontend || s.dst != netip.AddrPortFrom(alice.addr(family), 5000) {
				t.Errorf("protocol %d: verdict %d, the answer came as %+v", proto, verdict, s)
			}

			verdict, out = o.leave(o.bob, bob.to(host).transport(proto))
			if s := read(t, out); verdict != tcRedirect || s.src != netip.AddrPortFrom(bob.gateway(family), 5000) || s.dst != netip.AddrPortFrom(bob.addr(family), 8000) {
				t.Errorf("protocol %d: verdict %d, came to itself as %+v", proto, verdict, s)
			}
			verdict, out = o.leave(o.bob, reply(bob.to(bob.gateway(family).String()), 5000))
			if s := read(t, out); verdict != tcRedirect || s.src != frontend || s.dst != netip.AddrPortFrom(bob.addr(family), 5000) {
				t.Errorf("protocol %d: verdict %d, the answer to itself came as %+v", proto, verdict, s)
			}
		}
	})
}

// A container that comes back by its own published port is judged as itself, on its way there and back, not as the gateway
// that stands for it.
func TestPrivilegedHairpinIsItself(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "SERVICES")
		host, _ := outsideOf(family)
		o.publish(wildcard(family), 80, tcp, bob.addr(family), 8000)
		own := o.load(bob, options{features: open.with("SERVICES", "POLICY_INGRESS"), policies: map[string]stub{"policy_ingress": onlyIdentity(bob.identity, 1)}})
		if verdict, _ := o.leave(own, bob.to(host).tcp(5000, 80, "S")); verdict != tcRedirect {
			t.Errorf("verdict %d", verdict)
		}
		if verdict, _ := o.leave(own, bob.to(bob.gateway(family).String()).tcp(8000, 5000, "SA")); verdict != tcRedirect {
			t.Errorf("verdict %d on the answer", verdict)
		}
	})
}

// A container of another network needs a rule for the real port, whatever the published one is.
func TestPrivilegedHairpinPolicy(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "SERVICES")
		host, _ := outsideOf(family)
		o.publish(wildcard(family), 80, tcp, bob.addr(family), 8000)
		other := o.load(carol, options{features: open.with("SERVICES")})
		if verdict, _ := o.leave(other, carol.to(host).tcp(5000, 80, "S")); verdict != tcDrop || o.counted(abi.DirectionIngress, abi.DropOtherNetwork) != 1 {
			t.Errorf("verdict %d without a rule", verdict)
		}
		for port, want := range map[uint16]uint32{80: tcDrop, 8000: tcRedirect} {
			o.load(bob, options{features: open.with("SERVICES", "POLICY_INGRESS"), revision: uint32(port),
				policies: map[string]stub{"policy_ingress": onlyPort(tcp, port, 1)}})
			if verdict, _ := o.leave(other, carol.to(host).tcp(5000+port, 80, "S")); verdict != want {
				t.Errorf("verdict %d with a rule for port %d, want %d", verdict, port, want)
			}
		}
	})
}
