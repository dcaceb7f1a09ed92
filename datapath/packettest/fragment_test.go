package packettest

import (
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/sluice-net/sluice/internal/abi"
)

// fragmented cuts a UDP datagram to port 80 in three; ipv6 fragments carry a fragment header.
func fragmented(e ends, id uint32, dport uint16) [][]byte {
	whole := e.packet(udp, &layers.UDP{SrcPort: 5000, DstPort: layers.UDPPort(dport)}, gopacket.Payload(make([]byte, 40)))
	if e.src.Is4() {
		payload := whole[34:]
		piece := func(offset int, more bool, b []byte) []byte {
			ip := e.network(udp).(*layers.IPv4)
			ip.Id, ip.FragOffset = uint16(id), uint16(offset/8)
			if more {
				ip.Flags = layers.IPv4MoreFragments
			}
			return frame(e.ethernet(), ip, gopacket.Payload(b))
		}
		return [][]byte{piece(0, true, payload[:16]), piece(16, true, payload[16:32]), piece(32, false, payload[32:])}
	}
	payload := whole[54:]
	piece := func(offset int, more bool, b []byte) []byte {
		ip := e.network(44).(*layers.IPv6)
		flags := uint16(offset)
		if more {
			flags |= 1
		}
		header := []byte{udp, 0, byte(flags >> 8), byte(flags), byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}
		return frame(e.ethernet(), ip, gopacket.Payload(append(header, b...)))
	}
	return [][]byte{piece(0, true, payload[:16]), piece(16, true, payload[16:32]), piece(32, false, payload[32:])}
}

// The first fragment is judged and remembered; the others follow it, in both programs.
func TestPrivilegedFragments(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		k := newKernel(t)
		a := k.load(alice, closedBy("policy_egress", onlyPort(udp, 80, 1)))
		k.load(bob, closedBy("policy_ingress", onlyPort(udp, 80, 1)))
		there := between(alice, bob, family)
		for i, in := range fragmented(there, 1, 80) {
			if verdict, _ := k.run(a.egress, in, fromStack); verdict != tcRedirect {
				t.Errorf("fragment %d: verdict %d", i, verdict)
			}
		}
		for i, in := range fragmented(there, 2, 81) {
			verdict, reason, _ := k.reasonOf(a.egress, abi.DirectionEgress, in, fromStack)
			if verdict != tcDrop || reason != abi.DropPolicyDenied {
				t.Errorf("fragment %d to a forbidden port: verdict %d, %v", i, verdict, reason)
			}
		}
		late := fragmented(there, 3, 80)
		for _, i := range []int{2, 1} {
			verdict, reason, _ := k.reasonOf(a.egress, abi.DirectionEgress, late[i], fromStack)
			if verdict != tcDrop || reason != abi.DropFragment {
				t.Errorf("fragment %d without its first: verdict %d, %v", i, verdict, reason)
			}
		}
		for i, n := range []int{0, 2, 1} { // after its first any order will do
			if verdict, _ := k.run(a.egress, late[n], fromStack); verdict != tcRedirect {
				t.Errorf("fragment %d as number %d: verdict %d", n, i, verdict)
			}
		}
	})
}

// A first fragment must hold the whole transport header, and no later one may write over TCP's flags.
func TestPrivilegedTinyFragments(t *testing.T) {
	k := newKernel(t)
	a := k.load(alice, options{features: open})
	k.load(bob, options{features: open})
	there := between(alice, bob, 4)
	piece := func(offset uint16, length int) []byte {
		ip := there.network(tcp).(*layers.IPv4)
		ip.FragOffset, ip.Flags = offset, layers.IPv4MoreFragments
		return frame(there.ethernet(), ip, gopacket.Payload(make([]byte, length)))
	}
	for about, in := range map[string][]byte{"first of 8 bytes": piece(0, 8), "second at 8 bytes": piece(1, 64)} {
		verdict, reason, _ := k.reasonOf(a.egress, abi.DirectionEgress, in, fromStack)
		if verdict != tcDrop || reason != abi.DropInvalid {
			t.Errorf("%s: verdict %d, %v", about, verdict, reason)
		}
	}
}
