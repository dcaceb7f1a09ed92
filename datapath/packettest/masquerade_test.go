package packettest

import (
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/sluice-net/sluice/internal/abi"
)

// masquerade sends transport from alice to the outside and returns how it left.
func (o *outside) masquerade(t *testing.T, family int, proto uint8) *seen {
	t.Helper()
	host, far := outsideOf(family)
	verdict, out := o.leave(o.alice, alice.to(far).transport(proto))
	if verdict != tcRedirect {
		t.Fatalf("verdict %d, want redirect", verdict)
	}
	s := read(t, out)
	if s.src.Addr().String() != host || s.src.Port() < masqueradeAt || s.dst.Addr().String() != far || s.ttl != 63 {
		t.Fatalf("left as %v -> %v with TTL %d", s.src, s.dst, s.ttl)
	}
	return s
}

// answer is the outside's answer to what was seen.
func (o *outside) answer(s *seen, proto uint8) []byte {
	e := o.inbound(s.dst.Addr().String(), s.src.Addr().String())
	switch proto {
	case tcp:
		return e.tcp(s.dst.Port(), s.src.Port(), "SA")
	case udp:
		return e.udp(s.dst.Port(), s.src.Port())
	}
	return e.echo(s.src.Port(), true)
}

// What a container sends to the outside leaves with the uplink's address, and its answer comes back; all checksums are
// right.
func TestPrivilegedMasquerade(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		for _, proto := range protocols(family) {
			o := newOutside(t, "MASQUERADE", "SERVICES")
			s := o.masquerade(t, family, proto)
			if proto != tcp && proto != udp && s.src.Port() == 5000 {
				t.Errorf("the echo's identifier was kept")
			}
			for range 2 { // also as a known flow
				verdict, out := o.enter(o.answer(s, proto))
				if verdict != tcRedirect {
					t.Fatalf("protocol %d: verdict %d on the answer", proto, verdict)
				}
				back := read(t, out)
				if back.dst != netip.AddrPortFrom(alice.addr(family), 5000) || back.src.Addr() != s.dst.Addr() {
					t.Errorf("protocol %d: the answer came as %v -> %v", proto, back.src, back.dst)
				}
				if again := o.masquerade(t, family, proto); again.src != s.src {
					t.Errorf("protocol %d: the flow left from %v, then from %v", proto, s.src, again.src)
				}
			}
			o.removeDevices(t)
		}
	})
}

// Entries that the kernel evicts come back as they were, whichever of the two it is.
func TestPrivilegedMasqueradeEvicted(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE")
		s := o.masquerade(t, family, udp)
		a, b := alice.to(s.dst.Addr().String()).ports(udp)
		if err := o.maps["flows_any"].Delete(mustTuple(a, b, udp)); err != nil {
			t.Fatal(err)
		}
		if verdict, _ := o.enter(o.answer(s, udp)); verdict != tcRedirect {
			t.Fatalf("verdict %d on the answer without a flow", verdict)
		}
		if f := o.flow(a, b, udp); f == nil || f.Flags&abi.FlowSNAT == 0 || f.SNATPort.Host() != s.src.Port() {
			t.Errorf("the answer restored the flow as %+v", f)
		}
		if again := o.masquerade(t, family, udp); again.src != s.src {
			t.Errorf("left from %v after the flow was lost, before from %v", again.src, s.src)
		}
		if err := o.maps["nat"].Delete(mustTuple(s.src, s.dst, udp)); err != nil {
			t.Fatal(err)
		}
		if again := o.masquerade(t, family, udp); again.src != s.src || o.nat(s.src, s.dst, udp) == nil {
			t.Errorf("left from %v after the entry was lost, before from %v", again.src, s.src)
		}
	})
}

// A port that went to another container while a flow's entry was evicted stays the other's.
func TestPrivilegedMasqueradePortLost(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE")
		s := o.masquerade(t, family, udp)
		n := o.nat(s.src, s.dst, udp)
		n.Addr, n.Ifindex = abi.FromAddr(bob.addr(family)), uint32(bob.ifindex)
		if err := o.maps["nat"].Put(mustTuple(s.src, s.dst, udp), n); err != nil {
			t.Fatal(err)
		}
		if again := o.masquerade(t, family, udp); again.src == s.src {
			t.Error("two containers use one port")
		}
	})
}

// A port whose container's veth is gone leads nowhere.
func TestPrivilegedMasqueradeStale(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE")
		s := o.masquerade(t, family, udp)
		e := abi.Endpoint{Ifindex: 999, Identity: 400, Network: 7, Slot: alice.slot}
		o.endpoint(alice.addr(family), e)
		if verdict, _ := o.enter(o.answer(s, udp)); verdict != tcLeave {
			t.Errorf("verdict %d: the answer went to a container that did not ask", verdict)
		}
	})
}

// Protocols without ports change only their address; two containers cannot share one towards one peer.
func TestPrivilegedMasqueradeOtherProtocol(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		const gre = 47
		o := newOutside(t, "MASQUERADE")
		host, far := outsideOf(family)
		packet := func(c container) []byte { return c.to(far).packet(gre, gopacket.Payload("0123456789")) }
		verdict, out := o.leave(o.alice, packet(alice))
		if s := read(t, out); verdict != tcRedirect || s.src.Addr().String() != host || string(s.l4) != "0123456789" {
			t.Errorf("verdict %d, left as %+v", verdict, s)
		}
		verdict, out = o.enter(o.inbound(far, host).packet(gre, gopacket.Payload("0123456789")))
		if s := read(t, out); verdict != tcRedirect || s.dst.Addr() != alice.addr(family) {
			t.Errorf("verdict %d on the answer, which came as %+v", verdict, s)
		}
		if _, reason, _ := o.reasonAt(o.bob, packet(bob)); reason != abi.DropNoNATPort {
			t.Errorf("the second container's was dropped for %v", reason)
		}
	})
}

// Without masquerade a packet leaves with its own address, one hop further.
func TestPrivilegedNoMasquerade(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t)
		_, far := outsideOf(family)
		for _, proto := range protocols(family) {
			verdict, out := o.leave(o.alice, alice.to(far).transport(proto))
			if s := read(t, out); verdict != tcRedirect || s.src.Addr() != alice.addr(family) || s.src.Port() != 5000 || s.ttl != 63 {
				t.Errorf("protocol %d: verdict %d, left as %+v", proto, verdict, s)
			}
		}
	})
}

// UDP of IPv4 without a checksum stays without.
func TestPrivilegedMasqueradeNoChecksum(t *testing.T) {
	o := newOutside(t, "MASQUERADE")
	packet := alice.to(far4).udp(5000, 80)
	packet[40], packet[41] = 0, 0
	verdict, out := o.leave(o.alice, packet)
	if s := read(t, out); verdict != tcRedirect || !s.noSum || s.src.Addr().String() != host4 {
		t.Errorf("verdict %d, left as %+v", verdict, s)
	}
}

// Fragments leave alike: the first with the port, the others with the address, and answers come back so.
func TestPrivilegedMasqueradeFragments(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE")
		host, far := outsideOf(family)
		var port uint16
		for i, piece := range fragmented(alice.to(far), 9, 80) {
			verdict, out := o.leave(o.alice, piece)
			s := read(t, out)
			if verdict != tcRedirect || s.src.Addr().String() != host {
				t.Fatalf("fragment %d: verdict %d, left as %+v", i, verdict, s)
			}
			if i == 0 {
				port = s.src.Port()
			}
		}
		e := o.inbound(far, host)
		for i, piece := range answeredFragments(e, 11, port) {
			verdict, out := o.enter(piece)
			s := read(t, out)
			if verdict != tcRedirect || s.dst.Addr() != alice.addr(family) || i == 0 && s.dst.Port() != 5000 {
				t.Fatalf("fragment %d of the answer: verdict %d, came as %+v", i, verdict, s)
			}
		}
	})
}

// answeredFragments are those of fragmented with the ports of an answer.
func answeredFragments(e ends, id uint32, port uint16) [][]byte {
	pieces := fragmented(e, id, port)
	// The source port of the first is 5000: the answer's is 80.
	at := 34
	if !e.src.Is4() {
		at = 54 + 8
	}
	pieces[0][at], pieces[0][at+1] = 0, 80
	return pieces
}

// No uplink, no address of the family, no route: dropped with the reason.
func TestPrivilegedNoWayOut(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE")
		_, far := outsideOf(family)
		if err := o.maps["uplinks"].Put(uint32(o.uplink), abi.Uplink{}); err != nil {
			t.Fatal(err)
		}
		if _, reason, _ := o.reasonAt(o.alice, alice.to(far).udp(5000, 80)); reason != abi.DropNoUplinkAddress {
			t.Errorf("without an address: %v", reason)
		}
		if err := o.maps["uplinks"].Delete(uint32(o.uplink)); err != nil {
			t.Fatal(err)
		}
		if _, reason, _ := o.reasonAt(o.alice, alice.to(far).udp(5001, 80)); reason != abi.DropNoUplinkAddress {
			t.Errorf("without an uplink: %v", reason)
		}
	})
}

// A hop limit that ends here is answered by the gateway.
func TestPrivilegedTimeExceeded(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE")
		_, far := outsideOf(family)
		for _, size := range []int{1, 2, 3, 40, 100, 600, 1400} {
			p := lastHop(alice.to(far), size)
			verdict, out := o.leave(o.alice, p)
			s := read(t, out)
			want := map[int]uint8{4: 11, 6: 3}[family]
			if verdict != tcRedirect || s.kind != want || s.src.Addr() != alice.gateway(family) || s.dst.Addr() != alice.addr(family) {
				t.Fatalf("%d bytes: verdict %d, answered by %+v", size, verdict, s)
			}
			if s.inner.src != netip.AddrPortFrom(alice.addr(family), 5000) || s.inner.dst.Port() != 80 {
				t.Errorf("%d bytes: the answer quotes %v -> %v", size, s.inner.src, s.inner.dst)
			}
			if string(out[:6]) != string(alice.mac) || string(out[6:12]) != string(alice.hostMAC) {
				t.Errorf("%d bytes: the answer is from %x to %x", size, out[6:12], out[:6])
			}
		}
	})
}

// lastHop is a datagram that may go no further.
func lastHop(e ends, size int) []byte {
	n := e.network(udp)
	switch n := n.(type) {
	case *layers.IPv4:
		n.TTL = 1
	case *layers.IPv6:
		n.HopLimit = 1
	}
	return frame(e.ethernet(), n, &layers.UDP{SrcPort: 5000, DstPort: 80}, gopacket.Payload(make([]byte, size)))
}
