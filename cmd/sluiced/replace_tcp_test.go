package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// connections are how many there are of each fate, half of them over IPv6.
var connections = map[fate]int{allowed: 100, denied: 40, flipping: 60}

const (
	pause     = 25 * time.Millisecond // between the blocks of a connection: it is to go on, not to load the machine
	blockTCP  = 64
	knockWait = 2 * time.Millisecond
	// tcpRTOMax limits how long a connection waits that was denied for a while; Linux 6.15.
	tcpRTOMax = 44
)

// pair is both ends of a connection. One sends blocks, the other sends them back.
type pair struct {
	fate           fate
	port           int
	client, server *net.TCPConn
	fromServer     bool // the server sends
	blocks         atomic.Int64
	done           sync.WaitGroup
	stopped        chan struct{} // closed when no more blocks are sent
	failure        error         // why, set before
}

// connect opens all connections.
func (th *theatre) connect() []*pair {
	th.t.Helper()
	var pairs []*pair
	for _, f := range []fate{allowed, denied, flipping} {
		for i := range connections[f] {
			port, addr := ports[f][i/4%len(ports[f])], th.addrs[i%2]
			pairs = append(pairs, th.pair(f, netip.AddrPortFrom(addr, uint16(port)), i/2%2 == 1))
		}
	}
	return pairs
}

func (th *theatre) pair(f fate, to netip.AddrPort, fromServer bool) *pair {
	th.t.Helper()
	p := &pair{fate: f, port: int(to.Port()), fromServer: fromServer, stopped: make(chan struct{})}
	var l net.Listener
	err := errors.Join(
		th.server.Do(func() (err error) { l, err = net.Listen("tcp", to.String()); return err }),
		th.client.Do(func() error {
			c, err := net.DialTimeout("tcp", to.String(), 10*time.Second)
			if err == nil {
				p.client = c.(*net.TCPConn)
			}
			return err
		}))
	if err != nil {
		th.t.Fatalf("connect to %s: %v", to, err)
	}
	defer l.Close()
	c, err := l.Accept()
	if err != nil {
		th.t.Fatal(err)
	}
	p.server = c.(*net.TCPConn)
	for _, c := range []*net.TCPConn{p.client, p.server} {
		_ = control(c, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, tcpRTOMax, 1000) }) // if there is such a thing
		err := control(c, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 1e6) })
		if err != nil {
			th.t.Fatal(err)
		}
	}
	return p
}

// run sends blocks until the connection is closed.
func (p *pair) run() {
	from, to := p.client, p.server
	if p.fromServer {
		from, to = to, from
	}
	p.done.Go(func() { _, _ = io.Copy(to, to) })
	p.done.Go(func() {
		defer close(p.stopped)
		sent, back := make([]byte, blockTCP), make([]byte, blockTCP)
		for n := 0; p.failure == nil; n++ {
			copy(sent, fmt.Sprintf("%d of %d ", n, p.port))
			if _, p.failure = from.Write(sent); p.failure == nil {
				_, p.failure = io.ReadFull(from, back)
			}
			if p.failure == nil && string(sent) != string(back) {
				p.failure = fmt.Errorf("block %d came back changed", n)
			}
			if p.failure != nil {
				return
			}
			p.blocks.Add(1)
			time.Sleep(pause)
		}
	})
}

// progress waits until blocks come back.
func (p *pair) progress(t *testing.T) {
	t.Helper()
	from, deadline := p.blocks.Load(), time.Now().Add(30*time.Second)
	for p.blocks.Load() < from+2 {
		if time.Now().After(deadline) {
			t.Errorf("a connection to port %d stands still though the policies allow it", p.port)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// end closes the connection, which must not have failed before.
func (p *pair) end(t *testing.T) {
	t.Helper()
	select {
	case <-p.stopped:
		t.Errorf("a connection to port %d broke: %v", p.port, p.failure)
	default:
	}
	p.client.Close()
	p.server.Close()
	p.done.Wait()
}

func control(c *net.TCPConn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	return errors.Join(raw.Control(func(fd uintptr) { inner = f(int(fd)) }), inner)
}

func info(c *net.TCPConn) unix.TCPInfo {
	var i *unix.TCPInfo
	err := control(c, func(fd int) (err error) {
		i, err = unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		return err
	})
	if err != nil {
		return unix.TCPInfo{}
	}
	return *i
}

// segments is how many segments have come to both ends, those without data too.
func (p *pair) segments() uint32 {
	client, server := info(p.client), info(p.server)
	return client.Segs_in + server.Segs_in
}

// segments are those of the connections of some fates.
func segments(pairs []*pair, fates ...fate) map[*pair]uint32 {
	all := map[*pair]uint32{}
	for _, p := range pairs {
		for _, f := range fates {
			if p.fate == f {
				all[p] = p.segments()
			}
		}
	}
	return all
}

// lost is how many segments were sent again though the other end had not got them: what was sent again in vain, since an
// acknowledgement was late, the other end reports.
func (p *pair) lost() int { return lost(p.client) + lost(p.server) }

// lostNone: nothing was lost. The report of what was sent in vain may be on its way.
func (p *pair) lostNone(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for p.lost() != 0 && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if lost := p.lost(); lost != 0 {
		t.Errorf("%d segments of an allowed connection to port %d were lost", lost, p.port)
	}
}

func lost(c *net.TCPConn) int {
	i := info(c)
	return int(i.Total_retrans) - int(i.Dsack_dups)
}

// caller opens connections one after the other until it is told to stop.
type caller struct {
	stop chan struct{}
	out  chan called
}

type called struct {
	done, lost int
	err        error
}

func (c *caller) end() called {
	close(c.stop)
	return <-c.out
}

// in runs a step in a container until the caller ends.
func (th *theatre) in(s sandbox, step func(n int, sum *called) error) *caller {
	c := &caller{make(chan struct{}), make(chan called, 1)}
	go func() {
		var sum called
		sum.err = s.Do(func() error {
			for n := 0; ; n++ {
				select {
				case <-c.stop:
					return nil
				default:
				}
				if err := step(n, &sum); err != nil {
					return err
				}
			}
		})
		if sum.err != nil {
			th.t.Error(sum.err)
		}
		c.out <- sum
	}()
	return c
}

// call opens connections that each version allows, each for one block.
func (th *theatre) call() *caller {
	th.t.Helper()
	port := uint16(ports[allowed][0])
	for _, addr := range th.addrs {
		th.listen(addr, port, func(c net.Conn) { _, _ = io.Copy(c, c) })
	}
	return th.in(th.client, func(n int, sum *called) error {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(th.addrs[n%2], port).String(), 10*time.Second)
		if err != nil {
			return fmt.Errorf("open an allowed connection: %w", err)
		}
		defer c.Close()
		block := make([]byte, blockTCP)
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write(block); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, block); err != nil {
			return fmt.Errorf("speak over an allowed connection: %w", err)
		}
		sum.done, sum.lost = sum.done+1, sum.lost+lost(c.(*net.TCPConn))
		time.Sleep(pause)
		return nil
	})
}

// knock tries to open connections that each version denies; the server must not see one.
func (th *theatre) knock() *caller {
	th.t.Helper()
	port := uint16(ports[denied][0])
	for _, addr := range th.addrs {
		th.listen(addr, port, func(c net.Conn) { th.t.Errorf("a connection from %s came, which is denied", c.RemoteAddr()) })
	}
	return th.in(th.client, func(n int, sum *called) error {
		sum.done++
		time.Sleep(knockWait)
		return knockOnce(netip.AddrPortFrom(th.addrs[n%2], port))
	})
}

// knockOnce sends one SYN.
func knockOnce(to netip.AddrPort) error {
	family, addr := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()})
	if to.Addr().Is4() {
		family, addr = unix.AF_INET, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, addr); !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("send a SYN to %s: %w", to, err)
	}
	return nil
}

// listen serves in the server's container until the test ends.
func (th *theatre) listen(addr netip.Addr, port uint16, serve func(net.Conn)) {
	th.t.Helper()
	var l net.Listener
	err := th.server.Do(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(addr, port).String())
		return err
	})
	if err != nil {
		th.t.Fatal(err)
	}
	th.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
}
