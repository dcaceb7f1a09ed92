package packettest

import (
	"net/netip"
	"testing"

	"github.com/sluice-net/sluice/internal/abi"
)

// publishing is a container that asks a policy of its own about its published ports.
func publishing(revision uint32, s stub) options {
	o := closedBy("policy_publish", s)
	o.features = o.features.with("MASQUERADE", "SERVICES")
	o.revision = revision
	return o
}

// The list of a published port is asked by the host's port, and only of who came by one; what it denies names its rule.
func TestPrivilegedPublishPolicy(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE", "SERVICES")
		host, far := outsideOf(family)
		for _, proto := range []uint8{tcp, udp} {
			o.publish(wildcard(family), 80, proto, bob.addr(family), 8000)
			o.publish(wildcard(family), 81, proto, bob.addr(family), 8001)
			o.load(bob, publishing(uint32(proto)+1, onlyPort(proto, 80, 4)))
			r := o.reader()
			r.drain()
			if verdict, _ := o.enter(o.inbound(far, host).transport(proto)); verdict != tcRedirect {
				t.Errorf("protocol %d: admitted: verdict %d", proto, verdict)
			}
			refused := o.inbound(far, host).udp(5000, 81)
			if proto == tcp {
				refused = o.inbound(far, host).tcp(5000, 81, "S")
			}
			before := o.counted(abi.DirectionIngress, abi.DropPublishDenied)
			if verdict, _ := o.enter(refused); verdict != tcDrop || o.counted(abi.DirectionIngress, abi.DropPublishDenied) != before+1 {
				t.Errorf("protocol %d: not admitted: verdict %d", proto, verdict)
			}
			for _, e := range r.drainOf(abi.EventDrop) {
				if e.Reason != uint16(abi.DropPublishDenied) || e.Side != abi.PolicyPublish || e.Frontend.Host() != 81 || e.Dport.Host() != 8001 {
					t.Errorf("protocol %d: told %+v", proto, e)
				}
			}
			if verdict, _ := o.leave(o.alice, between(alice, bob, family).transport(proto)); verdict != tcRedirect {
				t.Errorf("protocol %d: a neighbour, by the container's own address: verdict %d", proto, verdict)
			}
		}
	})
}

// Containers that come by the host's address are asked about like the world: neighbours, those of other networks, and the
// container itself.
func TestPrivilegedPublishPolicyOfContainers(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE", "SERVICES")
		host, _ := outsideOf(family)
		other := o.load(carol, options{features: open.with("SERVICES")})
		for _, proto := range []uint8{tcp, udp} {
			o.publish(wildcard(family), 80, proto, bob.addr(family), 8000)
		}
		admit := func(revision, identity uint32) pair {
			b := publishing(revision, onlyIdentity(identity, 1))
			b.features = b.features.with("POLICY_INGRESS")
			b.policies["policy_ingress"] = answer(2, true)
			return o.load(bob, b)
		}
		for i, admitted := range []container{alice, carol, bob} {
			o.bob = admit(uint32(i+2), admitted.identity)
			for _, from := range []struct {
				container
				pair
			}{{alice, o.alice}, {carol, other}, {bob, o.bob}} {
				for _, proto := range []uint8{tcp, udp} {
					want := uint32(tcDrop)
					if from.slot == admitted.slot {
						want = tcRedirect
					}
					if verdict, _ := o.leave(from.pair, from.to(host).transport(proto)); verdict != want {
						t.Errorf("slot %d admitted, protocol %d from slot %d: verdict %d", admitted.slot, proto, from.slot, verdict)
					}
				}
			}
		}
	})
}

// A change of the list cuts live connections at their next packet, in both directions, also those whose packets the uplink's
// program would deliver unasked.
func TestPrivilegedPublishRevoked(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		host, far := outsideOf(family)
		for _, proto := range []uint8{tcp, udp} {
			o := newOutside(t, "MASQUERADE", "SERVICES")
			o.publish(wildcard(family), 80, proto, bob.addr(family), 8000)
			packet, reply := o.inbound(far, host).udp(5000, 80), bob.to(far).udp(8000, 5000)
			if proto == tcp {
				packet, reply = o.inbound(far, host).tcp(5000, 80, "A"), bob.to(far).tcp(8000, 5000, "A")
			}
			check := func(about string, want uint32) {
				t.Helper()
				for i := range 3 { // the later ones are those that need no judgement
					if verdict, _ := o.enter(packet); verdict != want {
						t.Errorf("protocol %d: %s: packet %d: verdict %d", proto, about, i, verdict)
					}
					if verdict, _ := o.leave(o.bob, reply); verdict != want {
						t.Errorf("protocol %d: %s: reply %d: verdict %d", proto, about, i, verdict)
					}
				}
			}
			if proto == tcp {
				o.enter(o.inbound(far, host).tcp(5000, 80, "S"))
			}
			check("no list", tcRedirect)
			o.bob = o.load(bob, publishing(2, answer(1, true)))
			check("admitted", tcRedirect)
			o.bob = o.load(bob, publishing(3, answer(1, false)))
			check("revoked", tcDrop)
			o.bob = o.load(bob, publishing(4, onlyPort(proto, 80, 1)))
			check("admitted again", tcRedirect)
			o.removeDevices(t)
		}
	})
}

// A datagram that comes to a flow by another published port of the same backend is judged by that port.
func TestPrivilegedPublishOtherPortOfFlow(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE", "SERVICES")
		host, far := outsideOf(family)
		o.publish(wildcard(family), 80, udp, bob.addr(family), 8000)
		o.publish(wildcard(family), 81, udp, bob.addr(family), 8000)
		o.load(bob, publishing(2, onlyPort(udp, 80, 1)))
		for _, step := range []struct {
			port uint16
			want uint32
		}{{80, tcRedirect}, {80, tcRedirect}, {81, tcDrop}, {81, tcDrop}, {80, tcRedirect}} {
			if verdict, _ := o.enter(o.inbound(far, host).udp(5000, step.port)); verdict != step.want {
				t.Errorf("port %d: verdict %d", step.port, verdict)
			}
		}
		client := netip.AddrPortFrom(netip.MustParseAddr(far), 5000)
		if f := o.flow(client, netip.AddrPortFrom(bob.addr(family), 8000), udp); f == nil || f.IngressRevision != 2 {
			t.Errorf("the flow is %+v", f)
		}
	})
}
