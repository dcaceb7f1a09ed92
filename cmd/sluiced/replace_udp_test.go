package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// phase is what is in force while a datagram is sent, and on its way: each bears it.
type phase uint32

const (
	changing phase = iota // a version is being replaced
	open                  // one that allows what flips
	closed                // one that denies it
	between               // one of them, and nothing but the end of the phase before is waited for
	phases
)

const (
	inFlight   = 32 // datagrams of a stream that are sent before the first of them has come
	streamWait = time.Millisecond
	roomBytes  = 8 << 20 // of a socket: none is lost for want of it
	arrival    = 20 * time.Second
)

// stream are datagrams to one port and address of the server.
type stream struct {
	fate     fate
	to       netip.AddrPort
	sent     [phases]atomic.Int64
	received [phases]atomic.Int64
	returned atomic.Int64 // to the client, of allowed ones
}

// streams sends all of them by one thread on one processor: so they stay in order, and when a mark has come, all that
// was sent before it has.
type streams struct {
	th     *theatre
	all    []*stream
	client [2]*net.UDPConn
	phase  atomic.Uint32
	rounds atomic.Int64
	marked atomic.Uint32 // how often the phase has changed for the sender, when the newest mark was sent
	wanted atomic.Uint32 // how often it was to change
	seen   atomic.Uint32 // as of the newest mark that has come
	stop   atomic.Bool
	done   sync.WaitGroup
}

func newStreams(th *theatre) *streams {
	th.t.Helper()
	s := &streams{th: th}
	for family, addr := range th.addrs {
		any := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
		if family == 1 {
			any = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
		}
		s.client[family] = s.socket(th.client, any)
		for _, f := range []fate{allowed, denied, flipping} {
			for _, port := range ports[f] {
				one := &stream{fate: f, to: netip.AddrPortFrom(addr, uint16(port))}
				s.all = append(s.all, one)
				server := s.socket(th.server, one.to)
				go s.serve(server)
			}
		}
	}
	for _, c := range s.client {
		go s.collect(c)
	}
	return s
}

// socket opens one with much room, until the test ends.
func (s *streams) socket(in sandbox, at netip.AddrPort) *net.UDPConn {
	s.th.t.Helper()
	var c *net.UDPConn
	err := in.Do(func() (err error) {
		c, err = net.ListenUDP(map[bool]string{true: "udp4", false: "udp6"}[at.Addr().Is4()], net.UDPAddrFromAddrPort(at))
		return err
	})
	if err != nil {
		s.th.t.Fatal(err)
	}
	s.th.t.Cleanup(func() { c.Close() })
	raw, err := c.SyscallConn()
	if err != nil {
		s.th.t.Fatal(err)
	}
	var inner error
	err = raw.Control(func(fd uintptr) { inner = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, roomBytes) })
	if err = errors.Join(err, inner); err != nil {
		s.th.t.Fatal(err)
	}
	return c
}

// A datagram is the number of its stream, its phase and, in a mark, how often the phase has changed.
const datagramSize = 64

// serve counts what comes, and sends back what is allowed.
func (s *streams) serve(c *net.UDPConn) {
	b := make([]byte, datagramSize)
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if n != datagramSize {
			continue
		}
		if b[2] != 0 {
			s.seen.Store(uint32(b[3]) | uint32(b[4])<<8 | uint32(b[5])<<16)
			continue
		}
		one := s.all[b[0]]
		one.received[b[1]].Add(1)
		if one.fate == allowed {
			_, _ = c.WriteToUDPAddrPort(b, from)
		}
	}
}

// collect counts what comes back.
func (s *streams) collect(c *net.UDPConn) {
	b := make([]byte, datagramSize)
	for {
		if _, _, err := c.ReadFromUDPAddrPort(b); err != nil {
			return
		}
		s.all[b[0]].returned.Add(1)
	}
}

// run sends until the end.
func (s *streams) run() {
	s.th.t.Cleanup(func() { s.stop.Store(true); s.done.Wait() })
	s.done.Go(func() {
		runtime.LockOSThread() // for ever: the thread ends with the processor that it is bound to
		var one unix.CPUSet
		one.Set(0)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			s.th.t.Error(err)
			return
		}
		for !s.stop.Load() {
			s.round()
			time.Sleep(streamWait)
		}
	})
}

// round sends a datagram of each stream, after a mark if the phase is another.
func (s *streams) round() {
	if wanted := s.wanted.Load(); wanted != s.marked.Load() {
		s.marked.Store(wanted)
		s.send(0, [datagramSize]byte{2: 1, 3: byte(wanted), 4: byte(wanted >> 8), 5: byte(wanted >> 16)})
	}
	now := s.phase.Load()
	for i, one := range s.all {
		arrives := one.fate == allowed || one.fate == flipping && phase(now) == open
		if arrives && one.sent[now].Load()-one.received[now].Load() >= inFlight {
			continue
		}
		one.sent[now].Add(1)
		s.send(i, [datagramSize]byte{byte(i), byte(now)})
	}
	s.rounds.Add(1)
}

func (s *streams) send(i int, b [datagramSize]byte) {
	to := s.all[i].to
	c := s.client[0]
	if to.Addr().Is6() {
		c = s.client[1]
	}
	if _, err := c.WriteToUDPAddrPort(b[:], to); err != nil {
		s.th.t.Errorf("send a datagram to %s: %v", to, err)
	}
}

// enter changes the phase, and waits until all datagrams of the one before have come or were dropped.
func (s *streams) enter(p phase) {
	s.th.t.Helper()
	s.phase.Store(uint32(p))
	wanted := s.wanted.Add(1)
	s.until("a mark to come", func() bool { return s.seen.Load() == wanted })
}

// wait lets so many datagrams of each stream be sent.
func (s *streams) wait(rounds int64) {
	s.th.t.Helper()
	from := s.rounds.Load()
	s.until("datagrams to be sent", func() bool { return s.rounds.Load() >= from+rounds })
}

func (s *streams) until(what string, holds func() bool) {
	s.th.t.Helper()
	for deadline := time.Now().Add(arrival); !holds(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			s.th.t.Fatalf("waited in vain for %s: %s", what, s)
		}
	}
}

// check compares what was sent in the phases that have ended with what came.
func (s *streams) check(version int) {
	s.th.t.Helper()
	for _, one := range s.all {
		for p := range phases {
			if one.fate == denied || one.fate == flipping && p == closed {
				if n := one.received[p].Load(); n != 0 {
					s.th.t.Fatalf("version %d: %d datagrams to %s came, which is denied", version, n, one.to)
				}
			}
		}
		if one.fate == flipping {
			s.until(fmt.Sprintf("datagrams to %s that version %d or one before allows", one.to, version), func() bool {
				return one.received[open].Load() == one.sent[open].Load()
			})
		}
	}
}

// end stops the sender and waits until every allowed datagram has come, and has come back.
func (s *streams) end() {
	s.th.t.Helper()
	s.stop.Store(true)
	s.done.Wait()
	for _, one := range s.all {
		if one.fate != allowed {
			continue
		}
		s.until(fmt.Sprintf("datagrams to %s, and back", one.to), func() bool {
			sent, received := one.total()
			return sent == received && received == one.returned.Load()
		})
	}
}

func (one *stream) total() (sent, received int64) {
	for p := range phases {
		sent, received = sent+one.sent[p].Load(), received+one.received[p].Load()
	}
	return sent, received
}

// String lists the counters by fate.
func (s *streams) String() string {
	var b strings.Builder
	for f, name := range []string{"allowed", "denied", "flipping"} {
		var sent, received, returned int64
		for _, one := range s.all {
			if one.fate == fate(f) {
				x, y := one.total()
				sent, received, returned = sent+x, received+y, returned+one.returned.Load()
			}
		}
		fmt.Fprintf(&b, "%s: %d sent, %d received, %d returned; ", name, sent, received, returned)
	}
	return strings.TrimSuffix(b.String(), "; ")
}
