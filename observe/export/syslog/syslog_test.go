package syslog

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"

	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/observe/export/sink"
	"github.com/sluice-net/sluice/observe/export/sinktest"
)

const patience = 10 * time.Second

// receiver takes messages.
type receiver struct {
	address  string
	messages chan []byte
	stop     func()
}

// next returns the next message.
func (r *receiver) next(t *testing.T) parsed {
	t.Helper()
	select {
	case m := <-r.messages:
		return parse(t, m)
	case <-time.After(patience):
		t.Fatal("no message came")
		panic("unreachable")
	}
}

// datagrams begins to receive datagrams.
func datagrams(t *testing.T, network, address string) *receiver {
	t.Helper()
	c, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{address: c.LocalAddr().String(), messages: make(chan []byte, 1000), stop: func() { _ = c.Close() }}
	t.Cleanup(r.stop)
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, _, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			r.messages <- append([]byte(nil), b[:n]...)
		}
	}()
	return r
}

// stream begins to receive streams, of counted messages or of lines.
func stream(t *testing.T, l net.Listener, read func(*bufio.Reader) ([]byte, error)) *receiver {
	t.Helper()
	r := &receiver{address: l.Addr().String(), messages: make(chan []byte, 1000), stop: func() { _ = l.Close() }}
	t.Cleanup(r.stop)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			go func() {
				for b := bufio.NewReader(c); ; {
					m, err := read(b)
					if err != nil {
						return
					}
					r.messages <- m
				}
			}()
		}
	}()
	return r
}

// counted reads a message by RFC 5425, strictly.
func counted(b *bufio.Reader) ([]byte, error) {
	number, err := b.ReadString(' ')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(number, " "))
	if err != nil || n <= 0 || number[0] == '0' {
		return nil, errors.New("no length")
	}
	m := make([]byte, n)
	_, err = io.ReadFull(b, m)
	return m, err
}

func line(b *bufio.Reader) ([]byte, error) {
	m, err := b.ReadString('\n')
	return []byte(strings.TrimSuffix(m, "\n")), err
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newSink(t *testing.T, c Config) *Sink {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	s := New(c, "node 1", "0.4.0")
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSend(t *testing.T) {
	authority := testutil.NewAuthority(t)
	secure := func(mutual bool) net.Listener {
		return tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), authority.Server("127.0.0.1", mutual))
	}
	cert, key := authority.Issue("client")
	dir := t.TempDir()
	for name, make := range map[string]func(t *testing.T) (*receiver, Config){
		"udp": func(t *testing.T) (*receiver, Config) {
			r := datagrams(t, "udp", "127.0.0.1:0")
			return r, Config{Address: "udp://" + r.address}
		},
		"udp6": func(t *testing.T) (*receiver, Config) {
			r := datagrams(t, "udp", "[::1]:0")
			return r, Config{Address: "udp://" + r.address}
		},
		"tcp": func(t *testing.T) (*receiver, Config) {
			r := stream(t, listen(t, "tcp", "127.0.0.1:0"), counted)
			return r, Config{Address: "tcp://" + r.address}
		},
		"tcp6, lines": func(t *testing.T) (*receiver, Config) {
			r := stream(t, listen(t, "tcp", "[::1]:0"), line)
			return r, Config{Address: "tcp://" + r.address, Framing: "newline"}
		},
		"tls": func(t *testing.T) (*receiver, Config) {
			r := stream(t, secure(false), counted)
			return r, Config{Address: "tls://" + r.address, TLS: &sink.TLS{CA: authority.CA}}
		},
		"tls, both sides": func(t *testing.T) (*receiver, Config) {
			r := stream(t, secure(true), counted)
			return r, Config{Address: "tls://" + r.address, TLS: &sink.TLS{CA: authority.CA, Cert: cert, Key: key}}
		},
		"unix, datagrams": func(t *testing.T) (*receiver, Config) {
			r := datagrams(t, "unixgram", filepath.Join(dir, "gram"))
			return r, Config{Address: "unix://" + r.address}
		},
		"unix, stream": func(t *testing.T) (*receiver, Config) {
			r := stream(t, listen(t, "unix", filepath.Join(dir, "stream")), counted)
			return r, Config{Address: "unix://" + r.address}
		},
	} {
		for _, format := range []string{formatCEF, formatJSON} {
			t.Run(name+", "+format, func(t *testing.T) {
				dir = t.TempDir()
				r, c := make(t)
				c.Format, c.Facility, c.AppName = format, "audit", "flows"
				checkSend(t, r, c)
			})
		}
	}
}

func checkSend(t *testing.T, r *receiver, c Config) {
	t.Helper()
	s := newSink(t, c)
	records := sinktest.Records(20)
	if got := s.Send(t.Context(), records); got.Sent != 20 || got.Err != nil {
		t.Fatalf("%+v", got)
	}
	for i, record := range records {
		m := r.next(t)
		want := severityWarning
		if i%2 == 1 {
			want = severityInfo
		}
		switch {
		case *m.Facility != 13 || *m.Severity != uint8(want) || *m.Hostname != "node1" || *m.Appname != "flows":
			t.Fatalf("message %d: facility %d, severity %d, %s, %s", i, *m.Facility, *m.Severity, *m.Hostname, *m.Appname)
		case !m.Timestamp.Equal(record.Flow.Time) || *m.ProcID != strconv.Itoa(os.Getpid()):
			t.Fatalf("message %d: %v, process %s", i, m.Timestamp, *m.ProcID)
		}
		port := m.fields["spt"]
		if c.Format == formatJSON {
			var e observerpb.ExportEvent
			if err := e.UnmarshalJSON([]byte(*m.Message)); err != nil {
				t.Fatal(err)
			}
			port = strconv.Itoa(int(e.GetFlow().GetL4().GetTCP().GetSourcePort()))
		}
		if want := strconv.Itoa(10000 + i); port != want {
			t.Errorf("message %d is of port %s, want %s", i, port, want)
		}
	}
}

func TestTooLong(t *testing.T) {
	for name, make := range map[string]func(t *testing.T) *receiver{
		"udp://": func(t *testing.T) *receiver { return datagrams(t, "udp", "127.0.0.1:0") },
		"tcp://": func(t *testing.T) *receiver { return stream(t, listen(t, "tcp", "127.0.0.1:0"), counted) },
	} {
		r := make(t)
		s := newSink(t, Config{Address: name + r.address, Longest: 700})
		records := sinktest.Records(3)
		records[1].Hubble.Summary = strings.Repeat("x", 700) //nolint:staticcheck // any field would do
		got := s.Send(t.Context(), records)
		if got.Sent != 2 || got.Refused != 1 || !errors.Is(got.Err, sink.ErrRefused) {
			t.Errorf("%s: %+v", name, got)
		}
		if a, b := r.next(t).fields["spt"], r.next(t).fields["spt"]; a != "10000" || b != "10002" {
			t.Errorf("%s: messages %s and %s came", name, a, b)
		}
	}
}

// TestReceiverRestarts: nothing is lost of what is sent after the receiver came back.
func TestReceiverRestarts(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	accepted := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	s := newSink(t, Config{Address: "tcp://" + l.Addr().String(), Timeout: sink.Duration(5 * time.Second)})
	if got := s.Send(t.Context(), sinktest.Records(1)); got.Sent != 1 {
		t.Fatalf("%+v", got)
	}
	_ = l.Close()
	_ = (<-accepted).Close()
	<-s.conn.over
	if got := s.Send(t.Context(), sinktest.Records(5)); got.Sent != 0 || got.Err == nil || errors.Is(got.Err, sink.ErrRefused) {
		t.Fatalf("nobody listens: %+v", got)
	}
	r := stream(t, listen(t, "tcp", l.Addr().String()), counted)
	if got := s.Send(t.Context(), sinktest.Records(5)); got.Sent != 5 || got.Err != nil {
		t.Fatalf("back: %+v", got)
	}
	for i := range 5 {
		if port := r.next(t).fields["spt"]; port != strconv.Itoa(10000+i) {
			t.Errorf("message %d: %s", i, port)
		}
	}
}

// TestSlowReceiver: a receiver that reads nothing blocks for the timeout only, and what is sent again follows on.
func TestSlowReceiver(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	defer l.Close()
	slow := make(chan net.Conn, 2)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			slow <- c
		}
	}()
	s := newSink(t, Config{Address: "tcp://" + l.Addr().String(), Timeout: sink.Duration(200 * time.Millisecond)})
	records := sinktest.Records(40000)
	got := s.Send(t.Context(), records)
	if got.Err == nil || got.Sent == 0 || got.Sent == len(records) {
		t.Fatalf("%+v", got)
	}
	c := <-slow
	defer c.Close()
	b := bufio.NewReader(c)
	for i := range got.Sent { // all that counts as sent can be read
		m, err := counted(b)
		if err != nil {
			t.Fatalf("message %d of %d: %v", i, got.Sent, err)
		}
		if i%1000 == 0 {
			parse(t, m)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := s.Send(ctx, records[got.Sent:]); got.Err == nil || got.Sent > 0 {
		t.Errorf("after the end: %+v", got)
	}
}

func TestNoReceiver(t *testing.T) {
	authority := testutil.NewAuthority(t)
	secure := stream(t, tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), authority.Server("127.0.0.1", true)), counted)
	free := listen(t, "tcp", "127.0.0.1:0")
	_ = free.Close()
	for name, c := range map[string]Config{
		"connection refused":   {Address: "tcp://" + free.Addr().String()},
		"no such file":         {Address: "unix:///nonexistent/socket"},
		"unknown authority":    {Address: "tls://" + secure.address},
		"not " + "127.0.0.1":   {Address: "tls://" + secure.address, TLS: &sink.TLS{CA: authority.CA, ServerName: "collector"}},
		"read CA certificates": {Address: "tls://" + secure.address, TLS: &sink.TLS{CA: "/nonexistent"}},
	} {
		s := newSink(t, c)
		if got := s.Send(t.Context(), sinktest.Records(2)); got.Err == nil || got.Sent+got.Refused > 0 {
			t.Errorf("%s: %+v", name, got)
		} else if !strings.HasPrefix(name, "not ") && !strings.Contains(got.Err.Error(), name) {
			t.Errorf("%s: %v", name, got.Err)
		}
	}
}

func TestCheck(t *testing.T) {
	for want, c := range map[string]Config{
		`begins with none of udp://`:                     {Address: "collector:514"},
		`"tcp://collector" is not tcp://HOST:PORT`:       {Address: "tcp://collector"},
		`"udp://:514" is not udp://HOST:PORT`:            {Address: "udp://:514"},
		`"udp://h:0" is not udp://HOST:PORT`:             {Address: "udp://h:0"},
		`"tcp://h:1/path" is not tcp://HOST:PORT`:        {Address: "tcp://h:1/path"},
		`is not one: write`:                              {Address: "tcp://user:secret@h:1"},
		`a socket has an absolute path`:                  {Address: "unix://dev/log"},
		`format: "leef" is none of [cef json]`:           {Address: "udp://h", Format: "leef"},
		`framing: "lf" is none of`:                       {Address: "tcp://h:1", Framing: "lf"},
		`framing: only tcp:// and unix:// have a choice`: {Address: "udp://h", Framing: "newline"},
		`facility: "local8" is none of`:                  {Address: "udp://h", Facility: "local8"},
		`appName: "a b" is not up to 48`:                 {Address: "udp://h", AppName: "a b"},
		`hostname: "ü" is not up to 255`:                 {Address: "udp://h", Hostname: "ü"},
		`tls: the address must begin with tls://`:        {Address: "tcp://h:1", TLS: &sink.TLS{}},
		`longest: receivers take at least 480 bytes`:     {Address: "udp://h", Longest: 100},
		`longest: a datagram has at most 65507 bytes`:    {Address: "udp://h", Longest: 65508},
		`tls: cert and key belong together`:              {Address: "tls://h", TLS: &sink.TLS{Cert: "/c"}},
		`tls.ca: "ca.pem" is not an absolute path`:       {Address: "tls://h", TLS: &sink.TLS{CA: "ca.pem"}},
	} {
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
	for address, target := range map[string]string{
		"udp://h": "h:514", "tls://h": "h:6514", "udp://[fd00::1]": "[fd00::1]:514", "tcp://10.0.0.1:601": "10.0.0.1:601", "unix:///dev/log": "/dev/log",
	} {
		if a, err := parseAddress(address); err != nil || a.target != target {
			t.Errorf("%s: %+v, %v", address, a, err)
		}
	}
}
