package packettest

import (
	"net/netip"
	"testing"

	"github.com/sluice-net/sluice/internal/abi"
)

// A connection's state follows its packets.
func TestPrivilegedTCPStates(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		k := newKernel(t)
		a, b := k.load(alice, options{features: open}), k.load(bob, options{features: open})
		there := between(alice, bob, family)
		back := there.turned(bob)
		x, y := there.ports(tcp)
		for _, step := range []struct {
			about string
			reply bool
			flags string
			want  uint32
		}{
			{"SYN", false, "S", 0},
			{"SYN again", false, "S", 0},
			{"SYN and ACK", true, "SA", abi.FlowReplied},
			{"ACK", false, "A", abi.FlowReplied | abi.FlowEstablished},
			{"data", false, "PA", abi.FlowReplied | abi.FlowEstablished},
			{"responder's FIN", true, "FA", abi.FlowReplied | abi.FlowEstablished | abi.FlowFINResponder},
			{"initiator's FIN", false, "FA", abi.FlowReplied | abi.FlowEstablished | abi.FlowFINResponder | abi.FlowFINInitiator},
			{"SYN of the next connection", false, "S", 0},
			{"RST", true, "R", abi.FlowReplied | abi.FlowReset},
			{"SYN after RST", false, "S", 0},
		} {
			p, in := a.egress, there.tcp(5000, 80, step.flags)
			if step.reply {
				p, in = b.egress, back.tcp(80, 5000, step.flags)
			}
			if verdict, _ := k.run(p, in, fromStack); verdict != tcRedirect {
				t.Fatalf("%s: verdict %d", step.about, verdict)
			}
			if f := k.flow(x, y, tcp); f.Flags&^abi.FlowInitiatorLo != step.want {
				t.Errorf("%s: flags %#x, want %#x", step.about, f.Flags, step.want)
			}
		}
	})
}

// A closed connection may be opened anew from the other side.
func TestPrivilegedTCPReopenedByResponder(t *testing.T) {
	k := newKernel(t)
	a, b := k.load(alice, options{features: open}), k.load(bob, options{features: open})
	there := between(alice, bob, 4)
	x, y := there.ports(tcp)
	k.run(a.egress, there.tcp(5000, 80, "S"), fromStack)
	k.run(b.egress, there.turned(bob).tcp(80, 5000, "RA"), fromStack)
	k.run(b.egress, there.turned(bob).tcp(80, 5000, "S"), fromStack)
	if initiator, _ := mustTuple(x, y, tcp).Ends(*k.flow(x, y, tcp)); initiator != y {
		t.Errorf("initiator %v, want %v", initiator, y)
	}
}

// TCP that began before it was seen goes on: a restart must not cut it.
func TestPrivilegedTCPPickedUp(t *testing.T) {
	k := newKernel(t)
	a := k.load(alice, options{features: open})
	k.load(bob, options{features: open})
	there := between(alice, bob, 4)
	x, y := there.ports(tcp)
	if verdict, _ := k.run(a.egress, there.tcp(5000, 80, "PA"), fromStack); verdict != tcRedirect {
		t.Fatalf("verdict %d", verdict)
	}
	if f := k.flow(x, y, tcp); f.Flags&abi.FlowEstablished == 0 {
		t.Errorf("flags %#x", f.Flags)
	}
}

// Each state has its timeout, after which a packet of the other side is a new connection, not a reply.
func TestPrivilegedExpiry(t *testing.T) {
	const unit = float64(1<<30) / 1e9
	for _, test := range []struct {
		about   string
		proto   uint8
		flags   uint32
		seconds float64 // the timeout
	}{
		{"TCP opening", tcp, 0, 60},
		{"TCP established", tcp, abi.FlowReplied | abi.FlowEstablished, 8000},
		{"TCP reset", tcp, abi.FlowReplied | abi.FlowReset, 10},
		{"TCP closed", tcp, abi.FlowReplied | abi.FlowEstablished | abi.FlowFINInitiator | abi.FlowFINResponder, 10},
		{"UDP unanswered", udp, 0, 60},
		{"UDP answered", udp, abi.FlowReplied, 180},
		{"ping", icmp4, 0, 60},
	} {
		t.Run(test.about, func(t *testing.T) {
			k := newKernel(t)
			a, b := k.load(alice, options{features: open}), k.load(bob, options{features: open})
			there := between(alice, bob, 4)
			x, y := there.ports(test.proto)
			reply := there.turned(bob).answered(test.proto)
			if test.proto == tcp {
				reply = there.turned(bob).tcp(80, 5000, "A")
			}
			isReply := func(age float64) bool {
				if verdict, _ := k.run(a.egress, there.transport(test.proto), fromStack); verdict != tcRedirect {
					t.Fatalf("verdict %d", verdict)
				}
				k.change(x, y, test.proto, func(f *abi.Flow) {
					f.Flags = f.Flags&abi.FlowInitiatorLo | test.flags
					f.Last -= uint32(age / unit)
					f.Tick--
				})
				k.run(b.egress, reply, fromStack)
				initiator, _ := mustTuple(x, y, test.proto).Ends(*k.flow(x, y, test.proto))
				replied := initiator == x && k.flow(x, y, test.proto).Flags&abi.FlowReplied != 0
				key := mustTuple(x, y, test.proto)
				if err := k.flows(test.proto).Delete(key); err != nil {
					t.Fatal(err)
				}
				return replied
			}
			if !isReply(test.seconds - 3) {
				t.Errorf("expired before %v s", test.seconds)
			}
			if test.proto != icmp4 && isReply(test.seconds+3) {
				t.Errorf("alive after %v s", test.seconds)
			}
		})
	}
}

// A ping is told from another by its identifier.
func TestPrivilegedPingIdentifier(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		k := newKernel(t)
		a, b := k.load(alice, options{features: open}), k.load(bob, options{features: open})
		there := between(alice, bob, family)
		k.run(a.egress, there.echo(7, false), fromStack)
		if verdict, _ := k.run(b.egress, there.turned(bob).echo(7, true), fromStack); verdict != tcRedirect {
			t.Errorf("answer: verdict %d", verdict)
		}
		if verdict, _ := k.run(b.egress, there.turned(bob).echo(8, true), fromStack); verdict != tcDrop {
			t.Errorf("answer with another identifier: verdict %d", verdict)
		}
	})
}

// The key of a connection is the same for both directions, whichever address is smaller.
func TestPrivilegedTupleOrder(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		k := newKernel(t)
		b := k.load(bob, options{features: open})
		for _, host := range []string{"10.7.0.1", "10.7.0.200", "9.255.255.255", "200.1.1.1", "fd07::1", "fd07::200", "2001::1", "fe00::1"} {
			src := netip.MustParseAddr(host)
			if src.Is4() != (family == 4) {
				continue
			}
			e := between(bob, bob, family)
			e.src = src
			for _, ports := range [][2]uint16{{80, 81}, {81, 80}, {0x0100, 0x00ff}, {80, 80}} {
				x := netip.AddrPortFrom(e.src, ports[0])
				y := netip.AddrPortFrom(e.dst, ports[1])
				if verdict, _ := k.run(b.ingress, e.udp(ports[0], ports[1]), fromUplink); verdict != tcRedirect {
					t.Fatalf("verdict %d", verdict)
				}
				f := k.flow(x, y, udp)
				if f == nil {
					t.Fatalf("no flow %v %v", x, y)
				}
				if initiator, responder := mustTuple(x, y, udp).Ends(*f); initiator != x || responder != y {
					t.Errorf("%v to %v is entered as %v to %v", x, y, initiator, responder)
				}
			}
		}
	})
}
