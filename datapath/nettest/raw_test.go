package nettest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// probe is a connected UDP socket that hears of ICMP errors.
type probe struct {
	fd int
	v4 bool
}

// newProbe connects one to addr.
func (n *node) newProbe(to netip.AddrPort) *probe {
	n.t.Helper()
	p := &probe{v4: to.Addr().Is4()}
	n.must(func() (err error) {
		family, level, recverr := unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVERR
		if p.v4 {
			family, level, recverr = unix.AF_INET, unix.IPPROTO_IP, unix.IP_RECVERR
		}
		if p.fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return errors.Join(unix.SetsockoptInt(p.fd, level, recverr, 1), unix.Connect(p.fd, sockaddr(to)))
	})
	n.t.Cleanup(func() { unix.Close(p.fd) })
	return p
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func (p *probe) set(v4option, v6option, value int) error {
	if p.v4 {
		return unix.SetsockoptInt(p.fd, unix.IPPROTO_IP, v4option, value)
	}
	return unix.SetsockoptInt(p.fd, unix.IPPROTO_IPV6, v6option, value)
}

// hops limits how far datagrams go.
func (p *probe) hops(n int) error { return p.set(unix.IP_TTL, unix.IPV6_UNICAST_HOPS, n) }

// whole forbids fragments.
func (p *probe) whole() error {
	return p.set(unix.IP_MTU_DISCOVER, unix.IPV6_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
}

func (p *probe) send(size int) error {
	_, err := unix.Write(p.fd, make([]byte, size))
	return err
}

// mtu is what the kernel knows of the path.
func (p *probe) mtu() (int, error) {
	if p.v4 {
		return unix.GetsockoptInt(p.fd, unix.IPPROTO_IP, unix.IP_MTU)
	}
	return unix.GetsockoptInt(p.fd, unix.IPPROTO_IPV6, unix.IPV6_MTU)
}

// icmpError is an ICMP error as a socket hears of it.
type icmpError struct {
	from       netip.Addr // who made it
	kind, code uint8
	info       uint32     // MTU, if that is what it is about
	to         netip.Addr // where the offending datagram went, as the socket sent it
	port       uint16
}

// heard waits for an ICMP error.
func (p *probe) heard() (icmpError, error) {
	var e icmpError
	fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLERR}}
	if n, err := unix.Poll(fds, int(patience/time.Millisecond)); n < 1 {
		return e, fmt.Errorf("no ICMP error was heard (%v)", err)
	}
	oob, b := make([]byte, 512), make([]byte, 2048)
	_, k, _, dst, err := unix.Recvmsg(p.fd, b, oob, unix.MSG_ERRQUEUE)
	if err != nil {
		return e, err
	}
	switch dst := dst.(type) {
	case *unix.SockaddrInet4:
		e.to, e.port = netip.AddrFrom4(dst.Addr), uint16(dst.Port)
	case *unix.SockaddrInet6:
		e.to, e.port = netip.AddrFrom16(dst.Addr), uint16(dst.Port)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:k])
	if err != nil || len(messages) == 0 {
		return e, fmt.Errorf("no control message: %v", err)
	}
	// struct sock_extended_err, then the offender's socket address.
	d := messages[0].Data
	e.kind, e.code, e.info = d[5], d[6], binary.NativeEndian.Uint32(d[8:])
	if p.v4 {
		e.from = netip.AddrFrom4([4]byte(d[16+4:]))
	} else {
		e.from = netip.AddrFrom16([16]byte(d[16+8:]))
	}
	return e, nil
}

// ping sends an echo request with a payload of a size and waits for the reply with the same.
func (n *node) ping(to string, size int) error {
	network, kind, reply := "ip6:ipv6-icmp", byte(128), byte(129)
	if netip.MustParseAddr(to).Is4() {
		network, kind, reply = "ip4:icmp", 8, 0
	}
	var c net.PacketConn
	if err := n.do(func() (err error) { c, err = net.ListenPacket(network, ""); return err }); err != nil {
		return err
	}
	defer c.Close()
	m := append([]byte{kind, 0, 0, 0, 0x12, 0x34, 0, 1}, make([]byte, size)...)
	for i := range size {
		m[8+i] = byte(i)
	}
	if kind == 8 { // for ICMPv6 the kernel computes it
		binary.BigEndian.PutUint16(m[2:], ^sum16(m))
	}
	if _, err := c.WriteTo(m, &net.IPAddr{IP: net.ParseIP(to)}); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	b := make([]byte, 65536)
	for {
		k, from, err := c.ReadFrom(b)
		if err != nil {
			return err
		}
		if k < 8 || b[0] != reply {
			continue
		}
		if string(b[4:k]) != string(m[4:]) {
			return errors.New("the reply is not the request's")
		}
		if from.String() != to {
			return fmt.Errorf("the reply is from %s", from)
		}
		return nil
	}
}

func sum16(b []byte) uint16 {
	var sum uint32
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
