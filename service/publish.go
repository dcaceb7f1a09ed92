package service

import (
	"fmt"
	"net/netip"
)

// Mapping asks for a container's port to be reachable at a port of the host (docker run -p).
type Mapping struct {
	Proto Protocol
	Port  uint16 // the container's
	// HostIP is the host's address to listen on. Invalid: every address of the host, of each family that the
	// container has an address of.
	HostIP netip.Addr
	// HostPort to HostPortEnd are the host's ports to choose one from. 0: an ephemeral port. HostPortEnd 0: HostPort.
	HostPort, HostPortEnd uint16
}

// String returns the mapping as docker run -p takes it, such as 127.0.0.1:8080:80/tcp.
func (m Mapping) String() string {
	host := ""
	if m.HostIP.IsValid() {
		host = m.HostIP.String() + ":"
		if m.HostIP.Is6() {
			host = "[" + m.HostIP.String() + "]:"
		}
	}
	ports := ""
	if m.HostPort != 0 {
		ports = fmt.Sprint(m.HostPort)
		if m.HostPortEnd > m.HostPort {
			ports += fmt.Sprintf("-%d", m.HostPortEnd)
		}
	}
	return fmt.Sprintf("%s%s:%d/%s", host, ports, m.Port, m.Proto)
}

// Published is a frontend with the container that answers: what one Mapping became for one address family.
type Published struct {
	Frontend Frontend
	Backend  Backend
}

// Claim asks for the ports of one owner.
type Claim struct {
	// Owner is who answers: an endpoint.
	Owner string
	// Sandbox is whose ports they are: a container's. Its owners share them, so that one of them can have those of
	// IPv4, the other those of IPv6, and one can take over from another. Empty: nobody shares them.
	Sandbox string
	// Addrs are the owner's addresses.
	Addrs []netip.Addr
	// Split says that the sandbox has one owner for IPv4 and another for IPv6. Which of them this one is, it does not
	// say: see Registry.Publish.
	Split    bool
	Mappings []Mapping
}

// TakenError says that somebody else has a host port. It is an ErrTaken.
type TakenError struct {
	Frontend Frontend
	// Owner is who has it; empty: a socket of the host.
	Owner string
	// Cause is what the Reserver said of the socket.
	Cause error
}

// Error names the frontend and who has it.
func (e *TakenError) Error() string {
	if e.Owner != "" {
		return fmt.Sprintf("%s: %v to endpoint %.12s", e.Frontend, ErrTaken, e.Owner)
	}
	return fmt.Sprintf("%s: %v: %v", e.Frontend, ErrTaken, e.Cause)
}

// Unwrap makes it an ErrTaken.
func (e *TakenError) Unwrap() error { return ErrTaken }
