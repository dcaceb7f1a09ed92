package load

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// streamBlock is what a stream writes and reads at once.
	streamBlock = 128 << 10
	// datagram is the length of a datagram's payload.
	datagram = 64
	// burst is how many datagrams go out before one is acknowledged; a socket's buffer takes them all.
	burst = 128
	// ackPatience is how long a burst waits for its acknowledgement before it counts as stalled.
	ackPatience = 200 * time.Millisecond
)

// What the first byte of a message says.
const (
	wantNothing = 'd' // and only in datagrams
	wantAnswer  = 'a'
	wantEnd     = 'q'
)

// client measures from the calling thread.
func client(s Spec) (Result, error) {
	switch s.Mode {
	case RR:
		return requests(s)
	case CRR:
		return connections(s)
	case Stream:
		return stream(s)
	default:
		return datagrams(s)
	}
}

// meter counts after a time of warming up.
type meter struct {
	start, end, last time.Time
	cpu              time.Duration
	times            histogram
}

func newMeter(d time.Duration) *meter {
	now := time.Now()
	return &meter{start: now.Add(d / 10), end: now.Add(d / 10).Add(d), last: now, cpu: -1}
}

// tick notes that a transaction ended, and says whether there is time for another.
func (m *meter) tick() bool {
	now := time.Now()
	if now.Before(m.start) {
		m.last = now
		return true
	}
	if m.cpu < 0 {
		m.cpu, m.start, m.last = threadCPU(), now, now
		return true
	}
	m.times.add(now.Sub(m.last))
	m.last = now
	return now.Before(m.end)
}

func (m *meter) result() Result {
	return Result{CPU: threadCPU() - m.cpu, Transactions: m.times.total, P50: m.times.quantile(0.5),
		P99: m.times.quantile(0.99), Elapsed: m.last.Sub(m.start)}
}

// exchange sends one byte and waits for one.
func exchange(fd int, b []byte) error {
	if _, err := write(fd, b); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	n, err := read(fd, b)
	if err == nil && n == 0 {
		err = errors.New("the server hung up")
	}
	if err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	return nil
}

func requests(s Spec) (Result, error) {
	fd, err := dial(s.Addr, unix.SOCK_STREAM)
	if err != nil {
		return Result{}, err
	}
	defer closeRaw(fd)
	b := []byte{wantAnswer}
	for m := newMeter(s.Duration); ; {
		if err := exchange(fd, b); err != nil {
			return Result{}, err
		}
		if !m.tick() {
			return m.result(), nil
		}
	}
}

func connections(s Spec) (Result, error) {
	var to [Ports][]byte
	for i := range to {
		to[i] = encode(netip.AddrPortFrom(s.Addr.Addr(), s.Addr.Port()+uint16(i)))
	}
	kind, b := family(s.Addr), []byte{wantAnswer}
	for m, i := newMeter(s.Duration), 0; ; i++ {
		more := m.tick()
		if !more {
			b[0] = wantEnd
		}
		fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, uintptr(kind), unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if errno != 0 {
			return Result{}, fmt.Errorf("socket: %w", errno)
		}
		if err := connect(int(fd), to[i%Ports]); err != nil {
			return Result{}, fmt.Errorf("connect to port %d of %v: %w", int(s.Addr.Port())+i%Ports, s.Addr.Addr(), err)
		}
		if err := exchange(int(fd), b); err != nil {
			return Result{}, err
		}
		closeRaw(int(fd))
		if !more {
			return m.result(), nil
		}
	}
}

func stream(s Spec) (Result, error) {
	fd, err := dial(s.Addr, unix.SOCK_STREAM)
	if err != nil {
		return Result{}, err
	}
	defer closeRaw(fd)
	b, sent := make([]byte, streamBlock), 0
	before, start := threadCPU(), time.Now()
	for time.Since(start) < s.Duration {
		n, err := write(fd, b)
		if err != nil {
			return Result{}, fmt.Errorf("send: %w", err)
		}
		sent += n
	}
	return Result{CPU: threadCPU() - before, Bytes: uint64(sent), Elapsed: time.Since(start)}, nil
}

func datagrams(s Spec) (Result, error) {
	data, err := dial(s.Addr, unix.SOCK_DGRAM)
	if err != nil {
		return Result{}, err
	}
	defer closeRaw(data)
	last, err := dial(netip.AddrPortFrom(s.Addr.Addr(), s.Addr.Port()+1), unix.SOCK_DGRAM)
	if err != nil {
		return Result{}, err
	}
	defer closeRaw(last)
	if err := wait(last, ackPatience); err != nil {
		return Result{}, err
	}
	var r Result
	b := make([]byte, datagram)
	before, start := threadCPU(), time.Now()
	for time.Since(start) < s.Duration {
		answered, err := sendBurst(data, last, b)
		if err != nil {
			return Result{}, err
		}
		r.Transactions += burst
		if !answered {
			r.Stalls++
		}
	}
	r.CPU, r.Elapsed = threadCPU()-before, time.Since(start)
	if r.Stalls*burst == r.Transactions {
		return r, errors.New("receive acknowledgement: none came")
	}
	b[0] = wantEnd
	for range 3 { // it may be lost as any datagram
		_, _ = write(last, b)
	}
	return r, nil
}

// sendBurst sends all datagrams of a burst but the last, then that one, and says whether it was acknowledged.
func sendBurst(data, last int, b []byte) (bool, error) {
	b[0] = wantNothing
	for range burst - 1 {
		if _, err := write(data, b); err != nil {
			return false, fmt.Errorf("send datagram: %w", err)
		}
	}
	b[0] = wantAnswer
	if _, err := write(last, b); err != nil {
		return false, fmt.Errorf("send datagram: %w", err)
	}
	if _, err := read(last, b); err != nil {
		if !errors.Is(err, unix.EAGAIN) {
			return false, fmt.Errorf("receive acknowledgement: %w", err)
		}
		return false, nil
	}
	return true, nil
}
