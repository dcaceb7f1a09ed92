package packettest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/sluice-net/sluice/internal/abi"
)

// both runs a test in both address families.
func both(t *testing.T, test func(t *testing.T, family int)) {
	for _, family := range []int{4, 6} {
		t.Run(fmt.Sprintf("IPv%d", family), func(t *testing.T) { test(t, family) })
	}
}

// A new connection from alice to bob passes egress and, by tail call, bob's ingress, and is entered once.
func TestPrivilegedContainerToContainer(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		k := newKernel(t)
		a, b := k.load(alice, options{features: open}), k.load(bob, options{features: open})
		for _, proto := range protocols(family) {
			there := between(alice, bob, family)
			in := there.transport(proto)
			verdict, out := k.run(a.egress, in, fromStack)
			if verdict != tcRedirect || !bytes.Equal(in, out) {
				t.Errorf("protocol %d: verdict %d, packet changed: %v", proto, verdict, !bytes.Equal(in, out))
			}
			x, y := there.ports(proto)
			f := k.flow(x, y, proto)
			if f == nil {
				t.Fatalf("protocol %d: no flow", proto)
			}
			if initiator, _ := mustTuple(x, y, proto).Ends(*f); initiator != x {
				t.Errorf("protocol %d: initiator %v", proto, initiator)
			}
			verdict, _ = k.run(b.egress, there.turned(bob).answered(proto), fromStack)
			if verdict != tcRedirect {
				t.Errorf("protocol %d: answer: verdict %d", proto, verdict)
			}
			if f = k.flow(x, y, proto); f.Flags&abi.FlowReplied == 0 {
				t.Errorf("protocol %d: flags %#x after the answer", proto, f.Flags)
			}
		}
		if n := k.counted(abi.DirectionEgress, abi.DropNone); n != 6 {
			t.Errorf("egress counted %d packets", n)
		}
		if n := k.counted(abi.DirectionIngress, abi.DropNone); n != 6 {
			t.Errorf("ingress counted %d packets", n)
		}
	})
}

func TestPrivilegedEgressVerdicts(t *testing.T) {
	k := newKernel(t)
	plain := k.load(alice, options{features: open})
	k.load(bob, options{features: open})
	only4 := k.load(alice, options{features: features{"IPV4": true}})
	only6 := k.load(alice, options{features: features{"IPV6": true}})
	closed := k.load(alice, options{features: open, closed: true})
	internal := k.load(alice, options{features: open.with("INTERNAL")})
	changed := func(e ends, change func(*ends)) ends { change(&e); return e }
	toBob := between(alice, bob, 4)
	for _, test := range []struct {
		about   string
		program pair
		in      []byte
		verdict uint32
		reason  abi.DropReason
	}{
		{"to a container", plain, toBob.udp(1, 2), tcRedirect, abi.DropNone},
		{"to the host", plain, alice.to("10.7.0.1").udp(1, 2), tcOK, abi.DropNone},
		{"to the host, IPv6", plain, alice.to("fd07::1").udp(1, 2), tcOK, abi.DropNone},
		{"nobody on the subnet", plain, alice.to("10.7.0.99").udp(1, 2), tcRedirect, abi.DropNoEndpoint},
		{"nobody on the subnet, IPv6", plain, alice.to("fd07::99").udp(1, 2), tcRedirect, abi.DropNoEndpoint},
		{"container without program", plain, between(alice, carol, 4).udp(1, 2), tcDrop, abi.DropNoSlot},
		{"closed", closed, toBob.udp(1, 2), tcDrop, abi.DropClosed},
		{"closed, IPv6", closed, between(alice, bob, 6).udp(1, 2), tcDrop, abi.DropClosed},
		{"world of an internal network", internal, alice.to("192.0.2.1").udp(1, 2), tcDrop, abi.DropInternal},
		{"world of an internal network, IPv6", internal, alice.to("2001:db8::1").udp(1, 2), tcDrop, abi.DropInternal},
		{"IPv6 off", only4, between(alice, bob, 6).udp(1, 2), tcDrop, abi.DropFamilyOff},
		{"IPv4 off", only6, toBob.udp(1, 2), tcDrop, abi.DropFamilyOff},
		{"other's MAC", plain, changed(toBob, func(e *ends) { e.srcMAC = bob.mac }).udp(1, 2), tcDrop, abi.DropSpoofedMAC},
		{"other's address", plain, changed(toBob, func(e *ends) { e.src = bob.ip4.Addr() }).udp(1, 2), tcDrop, abi.DropSpoofedIP},
		{"other's address, IPv6", plain, changed(between(alice, bob, 6), func(e *ends) { e.src = bob.ip6.Addr() }).udp(1, 2), tcDrop, abi.DropSpoofedIP},
		{"broadcast", plain, alice.to("255.255.255.255").udp(68, 67), tcDrop, abi.DropMulticast},
		{"subnet broadcast", plain, alice.to("10.7.0.255").udp(1, 2), tcDrop, abi.DropMulticast},
		{"multicast", plain, alice.to("224.0.0.251").udp(5353, 5353), tcDrop, abi.DropMulticast},
		{"multicast, IPv6", plain, alice.to("ff02::fb").udp(5353, 5353), tcDrop, abi.DropMulticast},
		{"link-local, IPv6", plain, alice.to("fe80::1").udp(1, 2), tcDrop, abi.DropMulticast},
		{"loopback", plain, alice.to("127.0.0.1").udp(1, 2), tcDrop, abi.DropInvalid},
		{"loopback, IPv6", plain, alice.to("::1").udp(1, 2), tcDrop, abi.DropInvalid},
		{"SYN and ACK of no connection", plain, toBob.tcp(1, 2, "SA"), tcDrop, abi.DropNotTracked},
		{"echo reply of no ping", plain, toBob.echo(9, true), tcDrop, abi.DropNotTracked},
		{"echo reply of no ping, IPv6", plain, between(alice, bob, 6).echo(9, true), tcDrop, abi.DropNotTracked},
		{"ICMP redirect", plain, toBob.packet(icmp4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(5, 1)},
			gopacket.Payload(make([]byte, 28))), tcDrop, abi.DropICMPUnrelated},
		{"VLAN tag", plain, frame(&layers.Ethernet{SrcMAC: alice.mac, DstMAC: alice.hostMAC, EthernetType: layers.EthernetTypeDot1Q},
			&layers.Dot1Q{VLANIdentifier: 5, Type: layers.EthernetTypeIPv4}, toBob.network(udp), gopacket.Payload("12345678")), tcDrop, abi.DropVlan},
		{"not IP", plain, frame(&layers.Ethernet{SrcMAC: alice.mac, DstMAC: alice.hostMAC, EthernetType: 0x88cc},
			gopacket.Payload(make([]byte, 46))), tcDrop, abi.DropNotIP},
	} {
		t.Run(test.about, func(t *testing.T) {
			verdict, reason, _ := k.reasonOf(test.program.egress, abi.DirectionEgress, test.in, fromStack)
			if verdict != test.verdict || reason != test.reason {
				t.Errorf("verdict %d, %v; want %d, %v", verdict, reason, test.verdict, test.reason)
			}
		})
	}
}
