package load

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// server answers one client from the calling thread. It calls ready when it listens.
func server(s Spec, ready func()) (Result, error) {
	kind, count := unix.SOCK_STREAM, 1
	switch s.Mode {
	case CRR:
		count = Ports
	case UDP:
		kind, count = unix.SOCK_DGRAM, 2
	}
	fds, err := listen(s.Addr, kind, count)
	if err != nil {
		return Result{}, err
	}
	ready()
	before := threadCPU()
	var r Result
	switch s.Mode {
	case RR, Stream:
		r, err = serveConnection(fds[0], s.Mode)
	case CRR:
		r, err = serveConnections(fds)
	case UDP:
		r, err = serveDatagrams(fds[0], fds[1])
	}
	r.CPU = threadCPU() - before
	return r, err
}

// serveConnection answers each byte, or swallows a stream, until the client closes.
func serveConnection(listener int, mode Mode) (Result, error) {
	fd, err := accept(listener)
	if err != nil {
		return Result{}, fmt.Errorf("accept: %w", err)
	}
	defer closeRaw(fd)
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return Result{}, fmt.Errorf("set no delay: %w", err)
	}
	var r Result
	for b := make([]byte, streamBlock); ; {
		n, err := read(fd, b)
		if err != nil {
			return r, fmt.Errorf("receive: %w", err)
		}
		if n == 0 {
			return r, nil
		}
		r.Bytes += uint64(n)
		r.Transactions++
		if mode == Stream {
			continue
		}
		if _, err := write(fd, b[:n]); err != nil {
			return r, fmt.Errorf("send: %w", err)
		}
	}
}

// serveConnections accepts from the listeners in turn, as the client connects to them.
func serveConnections(listeners []int) (Result, error) {
	var r Result
	for b := make([]byte, 1); ; r.Transactions++ {
		fd, err := accept(listeners[r.Transactions%uint64(len(listeners))])
		if err != nil {
			return r, fmt.Errorf("accept: %w", err)
		}
		if err := answerOnce(fd, b); err != nil {
			return r, err
		}
		closeRaw(fd)
		if b[0] == wantEnd {
			return r, nil
		}
	}
}

// answerOnce answers one byte and waits for the client to close. b keeps the byte.
func answerOnce(fd int, b []byte) error {
	if _, err := read(fd, b); err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	if _, err := write(fd, b); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	said := b[0]
	if _, err := read(fd, b); err != nil {
		return fmt.Errorf("wait for the end: %w", err)
	}
	b[0] = said
	return nil
}

// serveDatagrams waits for the last datagram of each burst, which comes to the second socket, then takes the others from
// the first and acknowledges. So the server is woken once a burst.
func serveDatagrams(data, last int) (Result, error) {
	var r Result
	b := make([]byte, datagram)
	_, from, err := unix.Recvfrom(last, b, 0)
	if err == nil {
		// Connected, the socket can be read and written without addresses.
		err = unix.Connect(last, from)
	}
	for ; ; _, err = read(last, b) {
		if err != nil {
			return r, fmt.Errorf("receive datagram: %w", err)
		}
		if b[0] == wantEnd {
			return r, nil
		}
		r.Transactions++
		for readNow(data, b) {
			r.Transactions++
		}
		if _, err := write(last, b[:1]); err != nil {
			return r, fmt.Errorf("send acknowledgement: %w", err)
		}
	}
}
