package abi

import (
	"encoding/binary"
	"net/netip"
)

// IP is struct ip: an address in network order, IPv4 as ::ffff:a.b.c.d.
type IP [16]byte

// FromAddr returns the address as the programs know it. The zone is dropped; an invalid address becomes ::.
func FromAddr(a netip.Addr) IP {
	if !a.IsValid() {
		return IP{}
	}
	return a.As16()
}

// Addr returns the address, IPv4 in its own form.
func (ip IP) Addr() netip.Addr { return netip.AddrFrom16(ip).Unmap() }

// String returns the address as text.
func (ip IP) String() string { return ip.Addr().String() }

// BE16 is a 16 bit number that lies in memory in network order.
type BE16 uint16

// ToBE16 returns n in network order.
func ToBE16(n uint16) BE16 {
	return BE16(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n)))
}

// Host returns the number.
func (n BE16) Host() uint16 {
	return binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, uint16(n)))
}

// BE32 is a 32 bit number that lies in memory in network order.
type BE32 uint32

// ToBE32 returns n in network order.
func ToBE32(n uint32) BE32 {
	return BE32(binary.NativeEndian.Uint32(binary.BigEndian.AppendUint32(nil, n)))
}

// Host returns the number.
func (n BE32) Host() uint32 {
	return binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, uint32(n)))
}
