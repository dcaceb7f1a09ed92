package load

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a socket waits for anything before the measurement has failed.
const patience = 5 * time.Second

// encode returns an address as the kernel wants it.
func encode(a netip.AddrPort) []byte {
	port := binary.BigEndian.AppendUint16(nil, a.Port())
	if a.Addr().Is4() {
		b := append(binary.NativeEndian.AppendUint16(nil, unix.AF_INET), port...)
		b = append(b, a.Addr().AsSlice()...)
		return append(b, make([]byte, 8)...)
	}
	b := append(binary.NativeEndian.AppendUint16(nil, unix.AF_INET6), port...)
	b = append(b, 0, 0, 0, 0) // flow label
	b = append(b, a.Addr().AsSlice()...)
	return append(b, 0, 0, 0, 0) // scope
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func family(a netip.AddrPort) int {
	if a.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// socket makes a socket that waits patience at most.
func socket(a netip.AddrPort, kind int) (int, error) {
	fd, err := unix.Socket(family(a), kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	return fd, wait(fd, patience)
}

// wait limits how long calls on a socket block.
func wait(fd int, limit time.Duration) error {
	tv := unix.NsecToTimeval(int64(limit))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return os.NewSyscallError("set receive timeout", err)
	}
	return os.NewSyscallError("set send timeout", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv))
}

// listen returns sockets that listen on the first of the address's ports, and on the ones after it.
func listen(a netip.AddrPort, kind, count int) ([]int, error) {
	var fds []int
	for i := range count {
		at := netip.AddrPortFrom(a.Addr(), a.Port()+uint16(i))
		fd, err := socket(at, kind)
		if err != nil {
			return nil, err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return nil, os.NewSyscallError("set reuse", err)
		}
		if err := unix.Bind(fd, sockaddr(at)); err != nil {
			return nil, fmt.Errorf("bind %v: %w", at, err)
		}
		if kind == unix.SOCK_STREAM {
			if err := unix.Listen(fd, 128); err != nil {
				return nil, fmt.Errorf("listen on %v: %w", at, err)
			}
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// dial connects a socket.
func dial(a netip.AddrPort, kind int) (int, error) {
	fd, err := socket(a, kind)
	if err != nil {
		return -1, err
	}
	if kind == unix.SOCK_STREAM {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return -1, os.NewSyscallError("set no delay", err)
		}
	}
	if err := connect(fd, encode(a)); err != nil {
		return -1, fmt.Errorf("connect to %v: %w", a, err)
	}
	return fd, nil
}
