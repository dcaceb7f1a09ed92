package datapath

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/policy"
)

// questionPort is the port that a question's packet comes from: no policy asks for it.
const questionPort = 40000

// packet is an Ethernet frame that opens the connection. The programs verify no checksum.
func (q Question) packet(own end) []byte {
	src, dst := own, end{net.HardwareAddr{2, 0, 0, 0, 0, 0}, q.Peer.Unmap()}
	if q.Direction == policy.Ingress {
		src, dst = dst, src
	}
	l4 := q.transport()
	frame := slices.Concat(dst.mac, src.mac)
	if src.addr.Is4() {
		frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IP)
		return slices.Concat(frame, ipv4(src.addr, dst.addr, q.Protocol, len(l4)), l4)
	}
	frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IPV6)
	return slices.Concat(frame, ipv6(src.addr, dst.addr, q.Protocol, len(l4)), l4)
}

// ipv4 is a header without options (RFC 791, 3.1).
func ipv4(src, dst netip.Addr, proto uint8, payload int) []byte {
	h := []byte{0x45, 0}
	h = binary.BigEndian.AppendUint16(h, uint16(20+payload))
	h = append(h, 0, 0, 0, 0, 64, proto, 0, 0)
	return slices.Concat(h, src.AsSlice(), dst.AsSlice())
}

// ipv6 is a header without extensions (RFC 8200, 3).
func ipv6(src, dst netip.Addr, proto uint8, payload int) []byte {
	h := []byte{0x60, 0, 0, 0}
	h = binary.BigEndian.AppendUint16(h, uint16(payload))
	h = append(h, proto, 64)
	return slices.Concat(h, src.AsSlice(), dst.AsSlice())
}

// unjudged says whether the packet is an ICMP message that opens no connection (bpf/step/parse_icmp.h).
func (q Question) unjudged() bool {
	kind := uint8(q.Port >> 8)
	switch q.Protocol {
	case unix.IPPROTO_ICMP:
		return slices.Contains([]uint8{3, 5, 11, 12}, kind)
	case unix.IPPROTO_ICMPV6:
		return kind < 128 || kind >= 133 && kind <= 137
	}
	return false
}

// transport is a header that opens a connection: a SYN, the first datagram, or the ICMP message that the port names.
func (q Question) transport() []byte {
	if q.Protocol == unix.IPPROTO_ICMP || q.Protocol == unix.IPPROTO_ICMPV6 {
		return append([]byte{byte(q.Port >> 8), byte(q.Port)}, make([]byte, 6)...)
	}
	h := binary.BigEndian.AppendUint16(nil, questionPort)
	h = binary.BigEndian.AppendUint16(h, q.Port)
	if q.Protocol == unix.IPPROTO_TCP {
		h = append(h, 0, 0, 0, 0, 0, 0, 0, 0, 5<<4, 0x02) // SYN (RFC 9293, 3.1)
		return append(h, make([]byte, 6)...)
	}
	h = binary.BigEndian.AppendUint16(h, 8) // UDP's length (RFC 768); in SCTP's header part of the tag
	return append(h, make([]byte, 8)...)
}
