package pcapfilter

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// Ethertypes and IP protocols (IANA).
const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherVLAN = 0x8100
	etherIPv6 = 0x86dd

	protoHopByHop = 0
	protoICMP     = 1
	protoIGMP     = 2
	protoTCP      = 6
	protoUDP      = 17
	protoRouting  = 43
	protoFragment = 44
	protoESP      = 50
	protoAH       = 51
	protoICMPv6   = 58
	protoOptions  = 60 // of the destination
	protoSCTP     = 132
)

// frame is what filters ask about.
type frame struct {
	length       int // of the whole frame, also of what was not captured
	srcMAC       net.HardwareAddr
	dstMAC       net.HardwareAddr
	ethertype    uint16
	src, dst     netip.Addr // of ARP: who asks and who is asked
	protocol     int        // of IP, after IPv6's extension headers; -1: none
	first        int        // IPv6's own next header
	ports        bool       // sport and dport are known: not of fragments behind the first
	sport, dport uint16
}

// parse reads as much of a frame as there is.
func parse(b []byte, length int) frame {
	f := frame{length: length, protocol: -1, first: -1}
	if len(b) < 14 {
		return f
	}
	f.dstMAC, f.srcMAC, f.ethertype = net.HardwareAddr(b[:6]), net.HardwareAddr(b[6:12]), binary.BigEndian.Uint16(b[12:])
	b = b[14:]
	switch f.ethertype {
	case etherIPv4:
		f.ipv4(b)
	case etherIPv6:
		f.ipv6(b)
	case etherARP:
		if len(b) >= 28 {
			f.src, f.dst = netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
		}
	}
	return f
}

func (f *frame) ipv4(b []byte) {
	if len(b) < 20 || int(b[0]&15)*4 < 20 {
		return
	}
	f.src, f.dst, f.protocol = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), int(b[9])
	if header := int(b[0]&15) * 4; binary.BigEndian.Uint16(b[6:])&0x1fff == 0 && len(b) >= header {
		f.transport(b[header:])
	}
}

// ipv6 goes through the extension headers (RFC 8200, 4).
func (f *frame) ipv6(b []byte) {
	if len(b) < 40 {
		return
	}
	f.src, f.dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	next := int(b[6])
	f.first = next
	for b = b[40:]; ; {
		f.protocol = next
		size := 0
		switch next {
		case protoHopByHop, protoRouting, protoOptions:
			if len(b) >= 8 {
				size = (int(b[1]) + 1) * 8
			}
		case protoAH:
			if len(b) >= 8 {
				size = (int(b[1]) + 2) * 4
			}
		case protoFragment:
			if len(b) >= 8 && binary.BigEndian.Uint16(b[2:])&0xfff8 == 0 {
				size = 8
			} else if len(b) >= 8 {
				f.protocol = int(b[0])
				return
			}
		default:
			f.transport(b)
			return
		}
		if size == 0 || len(b) < size {
			return
		}
		next, b = int(b[0]), b[size:]
	}
}

func (f *frame) transport(b []byte) {
	switch f.protocol {
	case protoTCP, protoUDP, protoSCTP:
		if len(b) >= 4 {
			f.ports, f.sport, f.dport = true, binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		}
	}
}
