package packettest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/sluice-net/sluice/internal/abi"
)

// complaint is an ICMP error by e.src about a packet (a frame), which it quotes up to a length; 0: whole.
func (e ends) complaint(about []byte, quoted int) []byte {
	about = about[14:]
	if quoted > 0 && quoted < len(about) {
		about = about[:quoted]
	}
	if e.src.Is4() {
		return e.packet(icmp4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: 1300}, gopacket.Payload(about))
	}
	return e.packet(icmp6, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(2, 0)},
		gopacket.Payload(append([]byte{0, 0, 1300 >> 8, 1300 & 0xff}, about...)))
}

// quotes are how much of the packet errors quote: the least that is allowed, a part of the transport header, and all.
func quotes(family int) []int {
	header := map[int]int{4: 20, 6: 40}[family]
	return []int{header + 8, header + 10, header + 18, 0}
}

func mustRead(t *testing.T, verdict uint32, out []byte, format string, args ...any) *seen {
	t.Helper()
	if verdict != tcRedirect {
		t.Fatalf("%s: verdict %d", fmt.Sprintf(format, args...), verdict)
	}
	return read(t, out)
}

// An error from a router on the way, about a masqueraded packet, reaches the container about its own packet.
func TestPrivilegedICMPErrorMasqueraded(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE", "SERVICES")
		host, far := outsideOf(family)
		router := map[int]string{4: hop4, 6: hop6}[family]
		for _, proto := range protocols(family) {
			_, left := o.leave(o.alice, alice.to(far).transport(proto))
			for _, quoted := range quotes(family) {
				verdict, out := o.enter(o.inbound(router, host).complaint(left, quoted))
				s := mustRead(t, verdict, out, "protocol %d, %d bytes", proto, quoted)
				a, b := alice.to(far).ports(proto)
				if s.src.Addr().String() != router || s.dst.Addr() != alice.addr(family) || s.info&0xffff != 1300 {
					t.Errorf("protocol %d, %d bytes: came as %v -> %v, %d", proto, quoted, s.src, s.dst, s.info)
				}
				if s.inner.src != a || s.inner.dst != b {
					t.Errorf("protocol %d, %d bytes: is about %v -> %v, want %v -> %v", proto, quoted, s.inner.src, s.inner.dst, a, b)
				}
			}
		}
	})
}

// An error from outside about a published port's answer reaches the container about what it sent.
func TestPrivilegedICMPErrorPublished(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "SERVICES")
		host, far := outsideOf(family)
		for _, proto := range []uint8{tcp, udp} {
			o.publish(wildcard(family), 80, proto, bob.addr(family), 8000)
			o.enter(o.inbound(far, host).transport(proto))
			answer := bob.to(far).udp(8000, 5000)
			if proto == tcp {
				answer = bob.to(far).tcp(8000, 5000, "SA")
			}
			_, left := o.leave(o.bob, answer)
			for _, quoted := range quotes(family) {
				verdict, out := o.enter(o.inbound(far, host).complaint(left, quoted))
				s := mustRead(t, verdict, out, "protocol %d, %d bytes", proto, quoted)
				if s.dst.Addr() != bob.addr(family) || s.inner.src != netip.AddrPortFrom(bob.addr(family), 8000) || s.inner.dst.Port() != 5000 {
					t.Errorf("protocol %d, %d bytes: came to %v about %v -> %v", proto, quoted, s.dst, s.inner.src, s.inner.dst)
				}
			}
		}
	})
}

// An error by the container about what it got reaches the sender about what that sent: the outside by a published port,
// the outside by a masqueraded flow, and a neighbour by hairpin, in both directions.
func TestPrivilegedICMPErrorByContainer(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE", "SERVICES")
		host, far := outsideOf(family)
		o.publish(wildcard(family), 80, udp, bob.addr(family), 8000)
		frontend := netip.AddrPortFrom(netip.MustParseAddr(host), 80)
		client := netip.AddrPortFrom(netip.MustParseAddr(far), 5000)
		for _, quoted := range quotes(family) {
			_, came := o.enter(o.inbound(far, host).udp(5000, 80))
			verdict, out := o.leave(o.bob, bob.to(far).complaint(came, quoted))
			s := mustRead(t, verdict, out, "published")
			if s.src.Addr().String() != host || s.dst.Addr() != client.Addr() || s.inner.src != client || s.inner.dst != frontend {
				t.Errorf("published, %d bytes: %v -> %v about %v -> %v", quoted, s.src, s.dst, s.inner.src, s.inner.dst)
			}

			left := o.masquerade(t, family, udp)
			_, came = o.enter(o.answer(left, udp))
			verdict, out = o.leave(o.alice, alice.to(far).complaint(came, quoted))
			s = mustRead(t, verdict, out, "masqueraded")
			if s.src.Addr().String() != host || s.inner.src != left.dst || s.inner.dst != left.src {
				t.Errorf("masqueraded, %d bytes: %v -> %v about %v -> %v, want %v -> %v", quoted, s.src, s.dst, s.inner.src, s.inner.dst, left.dst, left.src)
			}

			asker := netip.AddrPortFrom(alice.addr(family), 5000)
			_, came = o.leave(o.alice, alice.to(host).udp(5000, 80))
			verdict, out = o.leave(o.bob, bob.to(asker.Addr().String()).complaint(came, quoted))
			s = mustRead(t, verdict, out, "hairpin")
			if s.src.Addr().String() != host || s.dst.Addr() != asker.Addr() || s.inner.src != asker || s.inner.dst != frontend {
				t.Errorf("hairpin, %d bytes: %v -> %v about %v -> %v", quoted, s.src, s.dst, s.inner.src, s.inner.dst)
			}

			_, came = o.leave(o.bob, bob.to(asker.Addr().String()).udp(8000, 5000))
			verdict, out = o.leave(o.alice, alice.to(host).complaint(came, quoted))
			s = mustRead(t, verdict, out, "about a hairpin's answer")
			if s.dst.Addr() != bob.addr(family) || s.inner.src != netip.AddrPortFrom(bob.addr(family), 8000) || s.inner.dst != asker {
				t.Errorf("about a hairpin's answer, %d bytes: %v -> %v about %v -> %v", quoted, s.src, s.dst, s.inner.src, s.inner.dst)
			}
		}
	})
}

// Errors about nothing known, or about what their receiver did not send, are dropped, or left to the stack.
func TestPrivilegedICMPErrorUnrelated(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE", "SERVICES")
		host, far := outsideOf(family)
		unknown := o.inbound(far, host).udp(1, 2)
		known := alice.to(bob.addr(family).String()).udp(5000, 80)
		o.leave(o.alice, known)
		for name, packet := range map[string][]byte{
			"about no flow":         alice.to(far).complaint(bob.to(far).udp(9, 9), 0),
			"to another":            alice.to(far).complaint(known, 0),
			"about a later part":    alice.to(bob.addr(family).String()).complaint(fragmented(bob.to(alice.addr(family).String()), 3, 80)[1], 0),
			"about an error":        bob.to(alice.addr(family).String()).complaint(alice.to(bob.addr(family).String()).complaint(known, 0), 0),
			"quoting nothing":       alice.to(far).complaint(known, 1),
			"quoting no ports":      alice.to(far).complaint(known, map[int]int{4: 24, 6: 44}[family]),
			"quoting another thing": alice.to(far).complaint(append(make([]byte, 14), "no packet at all, but long enough to be one, or so it seems"...), 0),
		} {
			p := o.alice
			if name == "about an error" {
				p = o.bob
			}
			if verdict, reason, _ := o.reasonAt(p, packet); verdict != tcDrop || reason != abi.DropICMPUnrelated && reason != abi.DropInvalid {
				t.Errorf("%s: verdict %d, reason %v", name, verdict, reason)
			}
		}
		packet := o.inbound(far, host).complaint(unknown, 0)
		if verdict, out := o.enter(packet); verdict != tcLeave || string(out) != string(packet) {
			t.Errorf("an error for the host: verdict %d", verdict)
		}
	})
}

// Whatever stands inside an ICMP error, no byte of it crashes a program or changes a packet that is left to the stack.
func TestPrivilegedICMPErrorHostile(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE", "SERVICES")
		host, far := outsideOf(family)
		_, left := o.leave(o.alice, alice.to(far).udp(5000, 80))
		random := rand.New(rand.NewPCG(1, uint64(family)))
		for range 3000 {
			packet := o.inbound(far, host).complaint(left, 0)
			inner := packet[len(packet)-len(left)+14:]
			for range 1 + random.IntN(4) {
				inner[random.IntN(len(inner))] = byte(random.Uint32())
			}
			packet = packet[:len(packet)-random.IntN(len(left)-14)]
			fixLength(packet)
			before := string(packet)
			if verdict, out := o.enter(packet); verdict == tcLeave && string(out) != before {
				t.Fatalf("left to the stack, but changed: %x", before)
			}
			own := alice.to(far).complaint(left, 0)
			copy(own[len(own)-len(inner):], inner)
			o.leave(o.alice, own[:len(packet)])
		}
	})
}

// fixLength makes the IP header agree with the frame.
func fixLength(frame []byte) {
	if frame[14]>>4 == 4 {
		binary.BigEndian.PutUint16(frame[16:], uint16(len(frame)-14))
		binary.BigEndian.PutUint16(frame[24:], 0)
		binary.BigEndian.PutUint16(frame[24:], ^onesSum(0, frame[14:34]))
		return
	}
	binary.BigEndian.PutUint16(frame[18:], uint16(len(frame)-54))
}

// No error is made about errors and later fragments, and not more than the rate allows.
func TestPrivilegedNoErrorAbout(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE")
		_, far := outsideOf(family)
		nobody := map[int]string{4: "10.7.0.99", 6: "fd07::99"}[family]
		pieces := fragmented(alice.to(nobody), 3, 80)
		if verdict, out := o.leave(o.alice, pieces[0]); verdict != tcRedirect || read(t, out).inner == nil {
			t.Errorf("verdict %d on the first fragment to nobody, want an error", verdict)
		}
		if verdict, _ := o.leave(o.alice, pieces[1]); verdict != tcDrop {
			t.Errorf("verdict %d on a later fragment to nobody", verdict)
		}
		o.masquerade(t, family, udp)
		_, came := o.leave(o.bob, bob.to(alice.addr(family).String()).udp(1, 2))
		complaint := alice.to(bob.addr(family).String()).complaint(came, 0)
		ttl := map[int]int{4: 22, 6: 21}[family]
		complaint[ttl] = 1
		fixLength(complaint)
		if verdict, _ := o.leave(o.alice, complaint); verdict != tcRedirect {
			t.Errorf("verdict %d on an error to a neighbour, which is no hop away", verdict)
		}
		errors := 0
		for range 1000 {
			if verdict, _ := o.leave(o.alice, lastHop(alice.to(far), 10)); verdict == tcRedirect {
				errors++
			}
		}
		if errors < 1 || errors > 500 {
			t.Errorf("%d errors were made about 1000 packets at once", errors)
		}
	})
}

// Too big for the way out: the sender is told the MTU.
func TestPrivilegedTooBig(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE")
		_, far := outsideOf(family)
		packet := alice.to(far).packet(udp, &layers.UDP{SrcPort: 5000, DstPort: 80}, gopacket.Payload(make([]byte, 1600)))
		verdict, out := o.leave(o.alice, packet)
		s := mustRead(t, verdict, out, "too big")
		want := map[int][2]uint8{4: {3, 4}, 6: {2, 0}}[family]
		if s.kind != want[0] || s.code != want[1] || s.info != 1500 || s.dst.Addr() != alice.addr(family) || s.inner.src.Port() != 5000 {
			t.Errorf("told %+v", s)
		}
		if n := o.counted(abi.DirectionEgress, abi.DropTooBig); n != 1 {
			t.Errorf("%d drops were counted as too big", n)
		}
	})
}
