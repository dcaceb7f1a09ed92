package nettest

import (
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// option is a socket option to set before connecting.
type option struct{ level, name, value int }

// rawConn is a connection whose kernel's view of the peer can be asked for.
type rawConn struct {
	net.Conn
	file *os.File
}

// dialRaw connects exactly to an address, which may be v4-mapped or unspecified: net.Dial changes those.
func (n *node) dialRaw(network string, to netip.AddrPort, options ...option) (*rawConn, error) {
	return n.dialFrom(network, nil, to, options)
}

// dialBound binds the socket first.
func (n *node) dialBound(network string, from, to netip.AddrPort) (*rawConn, error) {
	return n.dialFrom(network, sockaddr(from), to, nil)
}

func (n *node) dialFrom(network string, from unix.Sockaddr, to netip.AddrPort, options []option) (*rawConn, error) {
	kind := map[string]int{"tcp": unix.SOCK_STREAM, "udp": unix.SOCK_DGRAM}[network]
	family := unix.AF_INET6
	if to.Addr().Is4() {
		family = unix.AF_INET
	}
	var fd int
	err := n.do(func() (err error) {
		if fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		for _, o := range options {
			if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
				return err
			}
		}
		if from != nil {
			if err := unix.Bind(fd, from); err != nil {
				return err
			}
		}
		limit := unix.NsecToTimeval(int64(patience))
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
			return err
		}
		return unix.Connect(fd, sockaddr(to))
	})
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "socket")
	c, err := net.FileConn(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &rawConn{c, f}, c.SetDeadline(time.Now().Add(patience))
}

// Close closes both descriptors.
func (c *rawConn) Close() error {
	c.file.Close()
	return c.Conn.Close()
}

// peer asks the kernel.
func (c *rawConn) peer() (netip.AddrPort, error) {
	a, err := unix.Getpeername(int(c.file.Fd()))
	if err != nil {
		return netip.AddrPort{}, err
	}
	return addrPort(a), nil
}

func addrPort(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// datagrams opens a UDP socket that is not connected.
func (n *node) datagrams(v4 bool) (fd int) {
	n.t.Helper()
	n.must(func() (err error) {
		family := unix.AF_INET6
		if v4 {
			family = unix.AF_INET
		}
		if fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		limit := unix.NsecToTimeval(int64(patience))
		return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
	})
	n.t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// receive waits for a datagram.
func receive(fd int) (string, netip.AddrPort, error) {
	b := make([]byte, 2048)
	k, from, err := unix.Recvfrom(fd, b, 0)
	if err != nil {
		return "", netip.AddrPort{}, err
	}
	return string(b[:k]), addrPort(from), nil
}
