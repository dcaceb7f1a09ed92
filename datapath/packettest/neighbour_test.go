package packettest

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/sluice-net/sluice/internal/abi"
)

var broadcast = mustMAC("ff:ff:ff:ff:ff:ff")

// arp is an ARP frame.
func arp(dst net.HardwareAddr, operation uint16, senderMAC net.HardwareAddr, sender string, targetMAC net.HardwareAddr, target string) []byte {
	return frame(&layers.Ethernet{SrcMAC: senderMAC, DstMAC: dst, EthernetType: layers.EthernetTypeARP},
		&layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
			Operation: operation, SourceHwAddress: senderMAC, SourceProtAddress: netip.MustParseAddr(sender).AsSlice(),
			DstHwAddress: targetMAC, DstProtAddress: netip.MustParseAddr(target).AsSlice()})
}

func TestPrivilegedARP(t *testing.T) {
	k := newKernel(t)
	a := k.load(alice, options{features: open})
	closed := k.load(alice, options{features: open, closed: true})
	none := make(net.HardwareAddr, 6)
	reply := func(sender string) []byte {
		return arp(alice.mac, 2, alice.hostMAC, sender, alice.mac, "10.7.0.10")
	}
	for _, test := range []struct {
		about   string
		program pair
		in      []byte
		verdict uint32
		out     []byte // nil: unchanged
	}{
		{"the gateway", a, arp(broadcast, 1, alice.mac, "10.7.0.10", none, "10.7.0.1"), tcRedirect, reply("10.7.0.1")},
		{"a neighbour", a, arp(broadcast, 1, alice.mac, "10.7.0.10", none, "10.7.0.11"), tcRedirect, reply("10.7.0.11")},
		{"nobody", a, arp(broadcast, 1, alice.mac, "10.7.0.10", none, "10.7.0.200"), tcRedirect, reply("10.7.0.200")},
		{"unicast, to renew", a, arp(alice.hostMAC, 1, alice.mac, "10.7.0.10", alice.hostMAC, "10.7.0.1"), tcRedirect, reply("10.7.0.1")},
		{"closed container", closed, arp(broadcast, 1, alice.mac, "10.7.0.10", none, "10.7.0.1"), tcRedirect, reply("10.7.0.1")},
		{"another subnet", a, arp(broadcast, 1, alice.mac, "10.7.0.10", none, "10.9.0.1"), tcDrop, nil},
		{"probe for the own address", a, arp(broadcast, 1, alice.mac, "0.0.0.0", none, "10.7.0.10"), tcDrop, nil},
		{"probe for another", a, arp(broadcast, 1, alice.mac, "0.0.0.0", none, "10.7.0.11"), tcDrop, nil},
		{"announcement", a, arp(broadcast, 1, alice.mac, "10.7.0.10", none, "10.7.0.10"), tcDrop, nil},
		{"gratuitous reply", a, arp(broadcast, 2, alice.mac, "10.7.0.10", broadcast, "10.7.0.10"), tcDrop, nil},
		{"reply to the host", a, arp(alice.hostMAC, 2, alice.mac, "10.7.0.10", alice.hostMAC, "10.7.0.1"), tcOK, nil},
		{"reply that claims another's address", a, arp(alice.hostMAC, 2, alice.mac, "10.7.0.11", alice.hostMAC, "10.7.0.1"), tcDrop, nil},
		{"request that claims another's address", a, arp(broadcast, 1, alice.mac, "10.7.0.11", none, "10.7.0.1"), tcDrop, nil},
		{"request from another's MAC", a, arp(broadcast, 1, bob.mac, "10.7.0.10", none, "10.7.0.1"), tcDrop, nil},
		{"unknown operation", a, arp(broadcast, 9, alice.mac, "10.7.0.10", none, "10.7.0.1"), tcDrop, nil},
		{"truncated", a, arp(broadcast, 1, alice.mac, "10.7.0.10", none, "10.7.0.1")[:30], tcDrop, nil},
	} {
		t.Run(test.about, func(t *testing.T) {
			verdict, out := k.run(test.program.egress, test.in, fromStack)
			if test.out == nil {
				test.out = test.in
			}
			if verdict != test.verdict || !bytes.Equal(out, test.out) {
				t.Errorf("verdict %d, want %d; packet: %s", verdict, test.verdict, cmp.Diff(test.out, out))
			}
		})
	}
}

// solicitation is a neighbour solicitation, or with kind 136 an advertisement.
func solicitation(e ends, kind uint8, target string, options ...layers.ICMPv6Option) []byte {
	ip := e.network(icmp6).(*layers.IPv6)
	ip.HopLimit = 255
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
	address := net.IP(netip.MustParseAddr(target).AsSlice())
	var message gopacket.SerializableLayer = &layers.ICMPv6NeighborSolicitation{TargetAddress: address, Options: options}
	if kind == 136 {
		message = &layers.ICMPv6NeighborAdvertisement{Flags: 0x60, TargetAddress: address, Options: options}
	}
	return frame(e.ethernet(), ip, icmp, message)
}

func linkLayer(kind layers.ICMPv6Opt, mac net.HardwareAddr) layers.ICMPv6Option {
	return layers.ICMPv6Option{Type: kind, Data: mac}
}

func TestPrivilegedNeighbourDiscovery(t *testing.T) {
	k := newKernel(t)
	a := k.load(alice, options{features: open})
	closed := k.load(alice, options{features: open, closed: true})
	source := linkLayer(layers.ICMPv6OptSourceAddress, alice.mac)
	group := alice.to("ff02::1:ff00:1") // what solicitations are sent to
	linkLocal, unspecified := group, group
	linkLocal.src = netip.MustParseAddr("fe80::aa")
	unspecified.src = netip.IPv6Unspecified()
	reply := func(e ends, target string) []byte {
		back := ends{alice.hostMAC, alice.mac, netip.MustParseAddr(target), e.src}
		return solicitation(back, 136, target, linkLayer(layers.ICMPv6OptTargetAddress, alice.hostMAC))
	}
	spoofed := group
	spoofed.src = bob.ip6.Addr()
	near := solicitation(group, 135, "fd07::1", source)
	near[21] = 64 // hop limit: came from elsewhere
	for _, test := range []struct {
		about   string
		program pair
		in      []byte
		verdict uint32
		out     []byte
	}{
		{"the gateway", a, solicitation(group, 135, "fd07::1", source), tcRedirect, reply(group, "fd07::1")},
		{"a neighbour", a, solicitation(group, 135, "fd07::b", source), tcRedirect, reply(group, "fd07::b")},
		{"without option, to renew", a, solicitation(alice.to("fd07::1"), 135, "fd07::1"), tcRedirect, reply(group, "fd07::1")},
		{"with a nonce too", a, solicitation(group, 135, "fd07::1", source, linkLayer(14, mustMAC("01:02:03:04:05:06"))), tcRedirect, reply(group, "fd07::1")},
		{"from the link-local address", a, solicitation(linkLocal, 135, "fd07::1", source), tcRedirect, reply(linkLocal, "fd07::1")},
		{"closed container", closed, solicitation(group, 135, "fd07::1", source), tcRedirect, reply(group, "fd07::1")},
		{"another subnet", a, solicitation(group, 135, "fd09::1", source), tcDrop, nil},
		{"duplicate address detection", a, solicitation(unspecified, 135, "fd07::a"), tcDrop, nil},
		{"duplicate address detection of another", a, solicitation(unspecified, 135, "fd07::b"), tcDrop, nil},
		{"the own address", a, solicitation(group, 135, "fd07::a", source), tcDrop, nil},
		{"another's source", a, solicitation(spoofed, 135, "fd07::1", source), tcDrop, nil},
		{"hop limit of a router", a, near, tcDrop, nil},
		{"advertisement to the host", a, solicitation(alice.to("fd07::1"), 136, "fd07::a"), tcOK, nil},
		{"advertisement of another's address", a, solicitation(alice.to("fd07::1"), 136, "fd07::b"), tcDrop, nil},
		{"router solicitation", a, alice.to("ff02::2").packet(icmp6, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(133, 0)},
			&layers.ICMPv6RouterSolicitation{}), tcDrop, nil},
	} {
		t.Run(test.about, func(t *testing.T) {
			verdict, out := k.run(test.program.egress, test.in, fromStack)
			if test.out == nil {
				test.out = test.in
			}
			if verdict != test.verdict || !bytes.Equal(out, test.out) {
				t.Errorf("verdict %d, want %d; packet: %s", verdict, test.verdict, cmp.Diff(test.out, out))
			}
		})
	}
}

// The host's stack may ask the container and answer it; nobody else may, and nobody may pose as a router.
func TestPrivilegedNeighbourIngress(t *testing.T) {
	k := newKernel(t)
	b := k.load(bob, options{features: open, closed: true})
	host := ends{bob.hostMAC, bob.mac, netip.MustParseAddr("fd07::1"), bob.ip6.Addr()}
	advert := host.packet(icmp6, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(134, 0)}, &layers.ICMPv6RouterAdvertisement{})
	request := arp(broadcast, 1, bob.hostMAC, "10.7.0.1", make(net.HardwareAddr, 6), "10.7.0.11")
	for _, test := range []struct {
		about   string
		in      []byte
		cb      [5]uint32
		verdict uint32
		reason  abi.DropReason
	}{
		{"ARP of the stack", request, fromStack, tcOK, 0},
		{"ARP of a container", request, from(alice), tcDrop, abi.DropInvalid},
		{"solicitation of the stack", solicitation(host, 135, "fd07::b"), fromStack, tcOK, 0},
		{"advertisement of the stack", solicitation(host, 136, "fd07::1"), fromStack, tcOK, 0},
		{"solicitation of a container", solicitation(host, 135, "fd07::b"), from(alice), tcDrop, abi.DropInvalid},
		{"router advertisement", advert, fromStack, tcDrop, abi.DropInvalid},
	} {
		t.Run(test.about, func(t *testing.T) {
			verdict, reason, _ := k.reasonOf(b.ingress, abi.DirectionIngress, test.in, test.cb)
			if verdict != test.verdict || reason != test.reason {
				t.Errorf("verdict %d, %v; want %d, %v", verdict, reason, test.verdict, test.reason)
			}
		})
	}
}
