package packettest

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// seen is a packet as a strict receiver reads it: every length and checksum was verified, the inner packet's of an ICMP
// error too.
type seen struct {
	src, dst     netip.AddrPort // ICMP echo: the identifier; none: 0
	proto, ttl   uint8
	kind, code   uint8  // ICMP
	info         uint32 // of an ICMP error: what follows the checksum
	l4           []byte
	inner        *seen // of an ICMP error
	noSum        bool  // UDP without checksum
	fragmentByte int   // offset of a fragment
}

// read verifies a frame.
func read(t *testing.T, frame []byte) *seen {
	t.Helper()
	if len(frame) < 34 {
		t.Fatalf("the frame has %d bytes", len(frame))
	}
	s := readIP(t, frame[14:], false)
	if s == nil {
		t.Fatalf("not IP: %x", frame)
	}
	return s
}

func readIP(t *testing.T, b []byte, cut bool) *seen {
	t.Helper()
	if b[0]>>4 == 6 {
		return readIPv6(t, b, cut)
	}
	s := &seen{proto: b[9], ttl: b[8]}
	ihl, length := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if onesSum(0, b[:ihl]) != 0xffff {
		t.Errorf("the IPv4 checksum is wrong (inner %v): %x", cut, b[:ihl])
	}
	if !cut && length != len(b) {
		t.Errorf("the IPv4 length is %d, the packet has %d bytes", length, len(b))
	}
	s.fragmentByte = int(binary.BigEndian.Uint16(b[6:])&0x1fff) * 8
	more := b[6]&0x20 != 0
	s.src, s.dst = addrPort(b[12:16], 0), addrPort(b[16:20], 0)
	pseudo := onesSum(uint32(s.proto)+uint32(length-ihl), b[12:20])
	s.transport(t, b[ihl:], pseudo, cut && len(b) < length || more || s.fragmentByte > 0, b[0]>>4)
	return s
}

func readIPv6(t *testing.T, b []byte, cut bool) *seen {
	t.Helper()
	s := &seen{proto: b[6], ttl: b[7], src: addrPort(b[8:24], 0), dst: addrPort(b[24:40], 0)}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if !cut && length != len(b)-40 {
		t.Errorf("the IPv6 length is %d, the packet has %d bytes", length, len(b)-40)
	}
	l4, part := b[40:], cut && len(b)-40 < length
	if s.proto == 44 {
		s.proto, s.fragmentByte, part = l4[0], int(binary.BigEndian.Uint16(l4[2:])&^7), true
		l4 = l4[8:]
	}
	s.transport(t, l4, onesSum(uint32(s.proto)+uint32(length), b[8:40]), part, 6)
	return s
}

// transport reads ports and verifies the checksum unless only a part of the packet is here.
func (s *seen) transport(t *testing.T, b []byte, pseudo uint16, part bool, version uint8) {
	t.Helper()
	s.l4 = b
	if s.fragmentByte > 0 || len(b) < 8 {
		return
	}
	sum := uint16(0xffff)
	switch s.proto {
	case tcp, udp:
		s.src = netip.AddrPortFrom(s.src.Addr(), binary.BigEndian.Uint16(b))
		s.dst = netip.AddrPortFrom(s.dst.Addr(), binary.BigEndian.Uint16(b[2:]))
		s.noSum = s.proto == udp && b[6] == 0 && b[7] == 0
		if !s.noSum {
			sum = onesSum(uint32(pseudo), b)
		}
	case icmp4, icmp6:
		s.kind, s.code, s.info = b[0], b[1], binary.BigEndian.Uint32(b[4:])
		if s.proto == icmp4 {
			pseudo = 0
		}
		sum = onesSum(uint32(pseudo), b)
		if s.kind == 8 && version == 4 || s.kind == 0 && version == 4 || s.kind == 128 || s.kind == 129 {
			id := binary.BigEndian.Uint16(b[4:])
			s.src, s.dst = netip.AddrPortFrom(s.src.Addr(), id), netip.AddrPortFrom(s.dst.Addr(), id)
		} else if len(b) > 28 {
			s.inner = readIP(t, b[8:], true)
		}
	}
	if !part && sum != 0xffff {
		t.Errorf("the checksum of protocol %d is wrong: %x", s.proto, b)
	}
}

func addrPort(b []byte, port uint16) netip.AddrPort {
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a, port)
}

// onesSum is the internet checksum's sum.
func onesSum(start uint32, b []byte) uint16 {
	sum := start
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i]) << 8
		if i+1 < len(b) {
			sum += uint32(b[i+1])
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}
