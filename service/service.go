package service

import (
	"fmt"
	"net/netip"
)

// Protocol is an IP protocol number.
type Protocol uint8

// The protocols that ports belong to.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// String returns tcp, udp, sctp or the number.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	}
	return fmt.Sprintf("%d", uint8(p))
}

// Frontend is an address that clients use. Address 0.0.0.0 or :: means every address of the host of that family.
type Frontend struct {
	Addr  netip.Addr
	Port  uint16
	Proto Protocol
}

// Backend is where a frontend's connections go.
type Backend struct {
	Addr netip.Addr
	Port uint16
}
