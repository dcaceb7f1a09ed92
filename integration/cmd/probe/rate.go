package main

import (
	"fmt"
	"io"
	"net"
	"time"
)

const (
	// sink begins what a server is to count: a TCP connection by this line, datagrams each by it.
	sink = "sink\n"
	// sunk asks a UDP server what it has counted of the sender; a TCP connection asks by closing its half.
	sunk = "sunk\n"
	// settle is left out of the count: bursts, and connections that begin slowly.
	settle = time.Second
)

// meter counts what arrives.
type meter struct {
	first, last time.Time
	bytes       int64
}

func (m *meter) add(now time.Time, n int) {
	if m.first.IsZero() {
		m.first = now
	}
	if now.Sub(m.first) > settle {
		m.bytes += int64(n)
		m.last = now
	}
}

// String is the rate in bits per second, after settle.
func (m *meter) String() string {
	if m == nil || m.bytes == 0 {
		return "0\n"
	}
	return fmt.Sprintf("%.0f\n", float64(m.bytes)*8/(m.last.Sub(m.first)-settle).Seconds())
}

// drain counts a connection to its end and tells the client.
func drain(conn net.Conn, r io.Reader) {
	var m meter
	b := make([]byte, 1<<17)
	for {
		n, err := r.Read(b)
		m.add(time.Now(), n)
		if err != nil {
			break
		}
	}
	fmt.Fprint(conn, m.String())
}

// rate sends as much as it may for a time, and prints what rate arrived.
func rate(args []string, out io.Writer) error {
	f := flags("rate")
	length := f.Duration("t", 3*time.Second, "how long")
	at := f.Float64("at", 100e6, "bits in a second that datagrams are sent at")
	args, err := parse(f, args, 2)
	if err != nil {
		return err
	}
	conn, err := net.DialTimeout(args[0], args[1], defaultWait)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(*length + 10*time.Second)); err != nil {
		return err
	}
	measure := func() (string, error) { return rateOfDatagrams(conn, *length, *at) }
	if tcp, ok := conn.(*net.TCPConn); ok {
		measure = func() (string, error) { return rateOfStream(tcp, *length) }
	}
	bits, err := measure()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "ok %s", bits)
	return nil
}

func rateOfStream(conn *net.TCPConn, length time.Duration) (string, error) {
	greeting := make([]byte, 1)
	for greeting[0] != '\n' {
		if _, err := io.ReadFull(conn, greeting); err != nil {
			return "", err
		}
	}
	if _, err := conn.Write([]byte(sink)); err != nil {
		return "", err
	}
	data := make([]byte, 1<<16)
	for end := time.Now().Add(length); time.Now().Before(end); {
		if _, err := conn.Write(data); err != nil {
			return "", err
		}
	}
	if err := conn.CloseWrite(); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

func rateOfDatagrams(conn net.Conn, length time.Duration, bits float64) (string, error) {
	data := make([]byte, 1400)
	copy(data, sink)
	began := time.Now()
	for sent := 0.0; ; {
		since := time.Since(began)
		if since > length {
			break
		}
		for ; sent < bits/8*since.Seconds(); sent += float64(len(data)) {
			_, _ = conn.Write(data) // a full queue is not the end
		}
		time.Sleep(time.Millisecond)
	}
	answer, err := exchange(conn, []byte(sunk))
	return string(answer), err
}
