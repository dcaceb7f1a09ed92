package packettest

import (
	"net/netip"
	"testing"

	"github.com/sluice-net/sluice/internal/abi"
)

func TestPrivilegedIngressVerdicts(t *testing.T) {
	k := newKernel(t)
	plain := k.load(bob, options{features: open})
	closed := k.load(bob, options{features: open, closed: true})
	internal := k.load(bob, options{features: open.with("INTERNAL")})
	masked := k.load(bob, options{features: open.with("MASQUERADE")})
	to := func(src string) ends {
		e := between(bob, bob, 6)
		a := netip.MustParseAddr(src)
		if a.Is4() {
			e = between(bob, bob, 4)
		}
		return ends{bob.hostMAC, bob.mac, a, e.dst}
	}
	for _, test := range []struct {
		about   string
		program pair
		in      []byte
		cb      [5]uint32
		verdict uint32
		reason  abi.DropReason
	}{
		{"host, by the stack", plain, to("10.7.0.1").udp(1, 2), fromStack, tcOK, 0},
		{"host, IPv6", plain, to("fd07::1").udp(1, 2), fromStack, tcOK, 0},
		{"world, by the stack", plain, to("192.0.2.1").udp(1, 2), fromStack, tcOK, 0},
		{"world, by an uplink", plain, to("192.0.2.1").udp(3, 2), fromUplink, tcRedirect, 0},
		{"world, by an uplink, IPv6", plain, to("2001:db8::1").udp(3, 2), fromUplink, tcRedirect, 0},
		{"container", plain, to("10.7.0.10").udp(1, 2), from(alice), tcRedirect, 0},
		{"container's address from the stack", plain, to("10.7.0.10").udp(1, 2), fromStack, tcDrop, abi.DropSpoofedUplink},
		{"world to a port that is not published", masked, to("192.0.2.1").udp(41, 2), fromStack, tcDrop, abi.DropNotPublished},
		{"the same, IPv6", masked, to("2001:db8::1").udp(41, 2), fromStack, tcDrop, abi.DropNotPublished},
		{"host to a masqueraded container", masked, to("10.7.0.1").udp(7, 2), fromStack, tcOK, 0},
		{"world to an internal network", internal, to("192.0.2.1").udp(1, 2), fromUplink, tcDrop, abi.DropInternal},
		{"world to an internal network, stack", internal, to("2001:db8::1").udp(1, 2), fromStack, tcDrop, abi.DropInternal},
		{"host to an internal network", internal, to("10.7.0.1").udp(1, 2), fromStack, tcOK, 0},
		{"closed", closed, to("10.7.0.1").udp(1, 2), fromStack, tcDrop, abi.DropClosed},
		{"closed, container", closed, to("10.7.0.10").udp(1, 2), from(alice), tcDrop, abi.DropClosed},
		{"other network", plain, to("10.8.0.12").udp(1, 2), from(carol), tcDrop, abi.DropOtherNetwork},
		{"truncated", plain, to("10.7.0.1").udp(1, 2)[:38], fromStack, tcDrop, abi.DropInvalid},
	} {
		t.Run(test.about, func(t *testing.T) {
			verdict, reason, _ := k.reasonOf(test.program.ingress, abi.DirectionIngress, test.in, test.cb)
			if verdict != test.verdict || reason != test.reason {
				t.Errorf("verdict %d, %v; want %d, %v", verdict, reason, test.verdict, test.reason)
			}
		})
	}
}
