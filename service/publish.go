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
