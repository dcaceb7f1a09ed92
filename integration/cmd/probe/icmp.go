package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// echoes are an ICMP socket and the message types of its family (RFC 792, RFC 4443).
type echoes struct {
	conn                      *net.IPConn
	v6                        bool
	request, reply            byte
	unreachable, timeExceeded byte
	id                        uint16
}

func openEchoes(to netip.Addr) (*echoes, error) {
	e := &echoes{request: 8, reply: 0, unreachable: 3, timeExceeded: 11, id: uint16(os.Getpid())}
	network, local := "ip4:icmp", "0.0.0.0"
	if to.Is6() {
		e = &echoes{v6: true, request: 128, reply: 129, unreachable: 1, timeExceeded: 3, id: e.id}
		network, local = "ip6:ipv6-icmp", "::"
	}
	conn, err := net.ListenPacket(network, local)
	if err != nil {
		return nil, err
	}
	e.conn = conn.(*net.IPConn)
	return e, nil
}

// set sets an option whose number depends on the family.
func (e *echoes) set(v4, v6, value int) error {
	level, option := unix.IPPROTO_IP, v4
	if e.v6 {
		level, option = unix.IPPROTO_IPV6, v6
	}
	sc, err := e.conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := sc.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, option, value) }); err != nil {
		return err
	}
	return failed
}

func (e *echoes) send(to netip.Addr, sequence uint16, size int) error {
	m := make([]byte, 8+size)
	m[0] = e.request
	binary.BigEndian.PutUint16(m[4:], e.id)
	binary.BigEndian.PutUint16(m[6:], sequence)
	if !e.v6 { // the kernel does it for ICMPv6
		binary.BigEndian.PutUint16(m[2:], checksum(0, m))
	}
	_, err := e.conn.WriteTo(m, &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()})
	return err
}

// answer is what came back for an echo request: the type, and who sent it.
type answer struct {
	kind byte
	from netip.Addr
	size int
}

// receive waits for what answers the request with the sequence number: a reply, or an error that quotes it.
func (e *echoes) receive(sequence uint16, deadline time.Time) (answer, error) {
	if err := e.conn.SetReadDeadline(deadline); err != nil {
		return answer{}, err
	}
	buf := make([]byte, 1<<16)
	for {
		n, peer, err := e.conn.ReadFrom(buf)
		if err != nil {
			return answer{}, err
		}
		kind, id, seq := e.parse(buf[:n])
		if id != e.id || seq != sequence {
			continue
		}
		from, _ := netip.AddrFromSlice(peer.(*net.IPAddr).IP)
		return answer{kind: kind, from: from.Unmap(), size: n - 8}, nil
	}
}

// parse finds type, id and sequence number, in errors those of the packet that they quote.
func (e *echoes) parse(m []byte) (kind byte, id, sequence uint16) {
	if len(m) < 8 {
		return 0, 0, 0
	}
	inner := m
	switch m[0] {
	case e.reply:
	case e.unreachable, e.timeExceeded:
		header := 40
		if !e.v6 && len(m) > 8 {
			header = int(m[8]&15) * 4
		}
		if len(m) < 8+header+8 {
			return 0, 0, 0
		}
		inner = m[8+header:]
	default:
		return 0, 0, 0
	}
	return m[0], binary.BigEndian.Uint16(inner[4:]), binary.BigEndian.Uint16(inner[6:])
}

// echoTo reads the arguments of a command that sends echoes, and opens what sends them.
func echoTo(f *flag.FlagSet, args []string) (netip.Addr, *echoes, error) {
	args, err := parse(f, args, 1)
	if err != nil {
		return netip.Addr{}, nil, err
	}
	to, err := address(args[0])
	if err != nil {
		return netip.Addr{}, nil, err
	}
	e, err := openEchoes(to)
	return to, e, err
}

func ping(args []string, out io.Writer) error {
	f := flags("ping")
	limit := f.Duration("w", defaultWait, "time limit")
	size := f.Int("size", 56, "bytes of payload")
	df := f.Bool("df", false, "don't fragment")
	to, e, err := echoTo(f, args)
	if err != nil {
		return err
	}
	defer e.conn.Close()
	if *df {
		if err := e.set(unix.IP_MTU_DISCOVER, unix.IPV6_MTU_DISCOVER, unix.IP_PMTUDISC_DO); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(*limit)
	for sequence := uint16(1); ; sequence++ {
		if err := e.send(to, sequence, *size); err != nil {
			return err
		}
		next := time.Now().Add(500 * time.Millisecond)
		a, err := e.receive(sequence, earlier(next, deadline))
		switch {
		case err == nil && a.kind == e.reply:
			fmt.Fprintf(out, "ok %s %d bytes\n", a.from, a.size)
			return nil
		case err == nil:
			return fmt.Errorf("%s says: %w", a.from, syscall.EHOSTUNREACH)
		case !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().After(deadline):
			return err
		}
	}
}

func trace(args []string, out io.Writer) error {
	f := flags("trace")
	limit := f.Duration("w", time.Second, "time limit for each hop")
	hops := f.Int("hops", 8, "most hops")
	to, e, err := echoTo(f, args)
	if err != nil {
		return err
	}
	defer e.conn.Close()
	for hop := 1; hop <= *hops; hop++ {
		if err := e.set(unix.IP_TTL, unix.IPV6_UNICAST_HOPS, hop); err != nil {
			return err
		}
		if err := e.send(to, uint16(hop), 32); err != nil {
			return err
		}
		a, err := e.receive(uint16(hop), time.Now().Add(*limit))
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			fmt.Fprintf(out, "%d *\n", hop)
		case err != nil:
			return err
		default:
			fmt.Fprintf(out, "%d %s\n", hop, a.from)
			if a.kind != e.timeExceeded {
				return nil
			}
		}
	}
	return fmt.Errorf("trace %s: not reached in %d hops", to, *hops)
}

// address takes an address or a name.
func address(s string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap(), nil
	}
	a, err := net.ResolveIPAddr("ip", s)
	if err != nil {
		return netip.Addr{}, err
	}
	got, _ := netip.AddrFromSlice(a.IP)
	return got.Unmap(), nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// checksum is the Internet checksum (RFC 1071) of b, begun with a sum of other parts.
func checksum(sum uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
