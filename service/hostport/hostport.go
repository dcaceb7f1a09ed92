package hostport

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/service"
)

// Sockets reserves ports by binding.
type Sockets struct{}

var _ service.Reserver = Sockets{}

// Reserve binds a socket to the frontend's address and port until it is closed. A port that is in use is an error that
// names the process; so is an address that the host does not have.
func (Sockets) Reserve(f service.Frontend) (io.Closer, error) {
	kind, protocol := unix.SOCK_STREAM, 0
	switch f.Proto {
	case service.TCP:
	case service.UDP:
		kind = unix.SOCK_DGRAM
	case service.SCTP:
		protocol = unix.IPPROTO_SCTP
	default:
		return nil, fmt.Errorf("protocol %s has no ports", f.Proto)
	}
	family, address := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(f.Port)})
	if f.Addr.Is4() {
		address = &unix.SockaddrInet4{Port: int(f.Port), Addr: f.Addr.As4()}
	} else {
		family, address = unix.AF_INET6, &unix.SockaddrInet6{Port: int(f.Port), Addr: f.Addr.As16()}
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
	if f.Proto == service.SCTP && errors.Is(err, unix.EPROTONOSUPPORT) {
		return io.NopCloser(nil), nil // a kernel without SCTP has no sockets that could conflict
	}
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	s := os.NewFile(uintptr(fd), f.String())
	if family == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err == nil {
		err = bind(fd, kind, address)
	}
	if err != nil {
		s.Close()
		switch {
		case errors.Is(err, unix.EADDRINUSE):
			return nil, &inUseError{f}
		case errors.Is(err, unix.EADDRNOTAVAIL):
			return nil, errors.New("the host does not have the address")
		}
		return nil, fmt.Errorf("bind: %w", err)
	}
	return s, nil
}

// inUseError says who has a port. That is found out only when somebody reads it: a search for a free port meets many.
type inUseError struct{ frontend service.Frontend }

func (e *inUseError) Error() string { return holder("/proc", e.frontend) }

// bind binds also where only connections of a former TCP server still wait for their end. The option that permits this
// is cleared again, since with it any other server could bind the port beside ours.
func bind(fd, kind int, address unix.Sockaddr) error {
	err := unix.Bind(fd, address)
	if !errors.Is(err, unix.EADDRINUSE) || kind != unix.SOCK_STREAM {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, address); err != nil {
		return err
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0)
}
