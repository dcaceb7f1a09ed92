package packettest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/abi"
)

// valid are packets that pass egress, or are answered.
func valid() map[string][]byte {
	packets := map[string][]byte{
		"ARP": arp(broadcast, 1, alice.mac, "10.7.0.10", make([]byte, 6), "10.7.0.1"),
		"ND":  solicitation(alice.to("ff02::1:ff00:1"), 135, "fd07::1", linkLayer(layers.ICMPv6OptSourceAddress, alice.mac)),
	}
	for _, family := range []int{4, 6} {
		there := between(alice, bob, family)
		for _, proto := range protocols(family) {
			packets[fmt.Sprintf("IPv%d, protocol %d", family, proto)] = there.transport(proto)
		}
		packets[fmt.Sprintf("IPv%d, fragment", family)] = fragmented(there, 9, 80)[0]
	}
	packets["IPv4 options"] = withOptions([]byte{1, 1, 7, 3, 0, 0, 0, 0}) // no operation, record route, end
	packets["IPv6 extensions"] = withExtensions(0, []byte{60, 0, 1, 4, 0, 0, 0, 0}, []byte{43, 0, 1, 4, 0, 0, 0, 0}, []byte{udp, 0, 4, 0, 0, 0, 0, 0})
	return packets
}

// withOptions is a datagram with IPv4 options, whose length is a multiple of four.
func withOptions(list []byte) []byte {
	there := between(alice, bob, 4)
	whole := there.udp(5000, 80)
	out := append(append(bytes.Clone(whole[:34]), list...), whole[34:]...)
	out[14] = 0x40 | byte(5+len(list)/4)
	binary.BigEndian.PutUint16(out[16:], uint16(len(out)-14))
	return out
}

// withExtensions is a datagram with IPv6 extension headers, of which the first has the number first.
func withExtensions(first uint8, headers ...[]byte) []byte {
	there := between(alice, bob, 6)
	whole := there.udp(5000, 80)
	payload := append(bytes.Join(headers, nil), whole[54:]...)
	return frame(there.ethernet(), there.network(first), gopacket.Payload(payload))
}

// Cut to any length, no packet passes and no program fails.
func TestPrivilegedTruncated(t *testing.T) {
	k := newKernel(t)
	a, b := k.load(alice, options{features: open}), k.load(bob, options{features: open})
	for about, whole := range valid() {
		if verdict, _ := k.run(a.egress, whole, fromStack); verdict != tcRedirect {
			t.Errorf("%s, whole: verdict %d", about, verdict)
		}
		for n := 14; n < len(whole); n++ {
			verdict, _, err := tryRun(a.egress, whole[:n], fromStack)
			if errors.Is(err, unix.EINVAL) && n < 54 {
				continue // newer kernels make no test packet that is shorter than its network header
			}
			if err != nil || verdict != tcDrop {
				t.Errorf("%s, %d of %d bytes: egress: verdict %d, %v", about, n, len(whole), verdict, err)
			}
			if about == "ARP" || about == "ND" {
				continue
			}
			if verdict, _ := k.run(b.ingress, whole[:n], from(alice)); verdict != tcDrop {
				t.Errorf("%s, %d of %d bytes: ingress: verdict %d", about, n, len(whole), verdict)
			}
		}
	}
}

// Frames may be padded to Ethernet's least length.
func TestPrivilegedPadded(t *testing.T) {
	k := newKernel(t)
	a := k.load(alice, options{features: open})
	k.load(bob, options{features: open})
	for about, whole := range valid() {
		if verdict, _ := k.run(a.egress, append(bytes.Clone(whole), make([]byte, 18)...), fromStack); verdict != tcRedirect {
			t.Errorf("%s: verdict %d", about, verdict)
		}
	}
}

func TestPrivilegedHostile(t *testing.T) {
	k := newKernel(t)
	a := k.load(alice, options{features: open})
	k.load(bob, options{features: open})
	there4, there6 := between(alice, bob, 4), between(alice, bob, 6)
	changed := func(in []byte, at int, value byte) []byte {
		out := bytes.Clone(in)
		out[at] = value
		return out
	}
	padding := func(next uint8) []byte { return []byte{next, 0, 1, 4, 0, 0, 0, 0} }
	nine := [][]byte{}
	for range 8 {
		nine = append(nine, padding(60))
	}
	nine = append(nine, padding(udp))
	for _, test := range []struct {
		about  string
		in     []byte
		reason abi.DropReason
	}{
		{"IPv4 version 5", changed(there4.tcp(1, 2, "S"), 14, 0x55), abi.DropInvalid},
		{"IPv4 header of 16 bytes", changed(there4.tcp(1, 2, "S"), 14, 0x44), abi.DropInvalid},
		{"IPv4 header longer than the packet", changed(there4.udp(1, 2), 14, 0x4f), abi.DropInvalid},
		{"IPv4 total length beyond the frame", changed(there4.tcp(1, 2, "S"), 16, 0xff), abi.DropInvalid},
		{"IPv4 total length 0", changed(there4.tcp(1, 2, "S"), 17, 0), abi.DropInvalid},
		{"TCP header of 16 bytes", changed(there4.tcp(1, 2, "S"), 46, 0x40), abi.DropInvalid},
		{"TCP header longer than the packet", changed(there4.tcp(1, 2, "S"), 46, 0xf0), abi.DropInvalid},
		{"TCP header longer than the packet, IPv6", changed(there6.tcp(1, 2, "S"), 66, 0xf0), abi.DropInvalid},
		{"ICMP in IPv6", there6.packet(icmp4, gopacket.Payload([]byte{8, 0, 0, 0, 0, 0, 0, 0})), abi.DropInvalid},
		{"ICMPv6 in IPv4", there4.packet(icmp6, gopacket.Payload([]byte{128, 0, 0, 0, 0, 0, 0, 0})), abi.DropInvalid},
		{"loose source route", withOptions([]byte{131, 7, 4, 10, 0, 0, 1, 0}), abi.DropExtension},
		{"strict source route", withOptions([]byte{1, 137, 7, 4, 10, 0, 0, 1}), abi.DropExtension},
		{"option of length 0", withOptions([]byte{7, 0, 0, 0}), abi.DropInvalid},
		{"option of length 1", withOptions([]byte{7, 1, 0, 0}), abi.DropInvalid},
		{"option beyond the header", withOptions([]byte{7, 40, 0, 0}), abi.DropInvalid},
		{"option without length", withOptions([]byte{1, 1, 1, 7}), abi.DropInvalid},
		{"too many options", withOptions(bytes.Repeat([]byte{1}, 40)), abi.DropExtension},
		{"IPv6 version 4", changed(there6.tcp(1, 2, "S"), 14, 0x40), abi.DropInvalid},
		{"IPv6 payload length beyond the frame", changed(there6.tcp(1, 2, "S"), 18, 0xff), abi.DropInvalid},
		{"IPv6 payload length 0", changed(there6.tcp(1, 2, "S"), 19, 0), abi.DropInvalid},
		{"routing header type 0", withExtensions(43, []byte{udp, 0, 0, 0, 0, 0, 0, 0}), abi.DropExtension},
		{"hop-by-hop options in the middle", withExtensions(60, padding(0), padding(udp)), abi.DropInvalid},
		{"two fragment headers", withExtensions(44, []byte{44, 0, 0, 1, 0, 0, 0, 1}, []byte{udp, 0, 0, 1, 0, 0, 0, 1}), abi.DropInvalid},
		{"authentication header", withExtensions(51, padding(udp)), abi.DropExtension},
		{"nine extension headers", withExtensions(60, nine...), abi.DropExtension},
		{"extension header beyond the packet", withExtensions(60, []byte{udp, 200, 1, 4, 0, 0, 0, 0}), abi.DropInvalid},
		{"ICMP error about nothing", there4.packet(icmp4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 3)},
			gopacket.Payload(there4.turned(bob).udp(7, 8)[14:])), abi.DropICMPUnrelated},
	} {
		t.Run(test.about, func(t *testing.T) {
			verdict, reason, _ := k.reasonOf(a.egress, abi.DirectionEgress, test.in, fromStack)
			if verdict != tcDrop || reason != test.reason {
				t.Errorf("verdict %d, %v; want %v", verdict, reason, test.reason)
			}
		})
	}
}

// IPv6 without a next header, and protocols without ports, are carried.
func TestPrivilegedOddTransports(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		k := newKernel(t)
		a := k.load(alice, options{features: open})
		k.load(bob, options{features: open})
		for _, proto := range []uint8{2, 47, 50, 59, 89, 132, 255} {
			in := between(alice, bob, family).packet(proto, gopacket.Payload(make([]byte, 16)))
			if verdict, _ := k.run(a.egress, in, fromStack); verdict != tcRedirect {
				t.Errorf("protocol %d: verdict %d", proto, verdict)
			}
		}
	})
}

// Whatever the bytes, the programs end with one of their verdicts, and none passes with another's source.
func FuzzPrivilegedBytes(f *testing.F) {
	for _, in := range valid() {
		f.Add(in, uint8(0))
		f.Add(in, uint8(1))
	}
	k := newKernel(f)
	all := open.with("SERVICES", "MASQUERADE")
	a, b := k.load(alice, options{features: all}), k.load(bob, options{features: all})
	own4, own6 := alice.ip4.Addr().As4(), alice.ip6.Addr().As16()
	f.Fuzz(func(t *testing.T, in []byte, origin uint8) {
		if len(in) < 14 || len(in) > 1500 {
			return
		}
		cb := [][5]uint32{fromStack, from(alice), fromUplink}[origin%3]
		verdict, _, err := tryRun(b.ingress, in, cb)
		if errors.Is(err, unix.EINVAL) && len(in) < 54 {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if verdict != tcOK && verdict != tcDrop && verdict != tcRedirect {
			t.Errorf("ingress: verdict %d", verdict)
		}
		if verdict, _, err = tryRun(a.egress, in, fromStack); err != nil {
			t.Fatal(err)
		}
		if verdict == tcDrop {
			return
		}
		if verdict != tcOK && verdict != tcRedirect {
			t.Errorf("egress: verdict %d", verdict)
		}
		if !bytes.Equal(in[6:12], alice.mac) {
			t.Errorf("egress: a frame of %x passed", in[6:12])
		}
		switch kind := binary.BigEndian.Uint16(in[12:]); {
		case kind == 0x0800 && !bytes.Equal(in[26:30], own4[:]):
			t.Errorf("egress: a packet of %v passed", in[26:30])
		case kind == 0x86dd && !bytes.Equal(in[22:38], own6[:]) && in[22] != 0xfe:
			t.Errorf("egress: a packet of %x passed", in[22:38])
		}
	})
}
