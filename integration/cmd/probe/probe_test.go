package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startServer serves TCP, UDP and HTTP on free ports of loopback and returns their addresses.
func startServer(t *testing.T) (tcp, udp, web string) {
	t.Helper()
	s := server{name: "srv", log: t.Output()}
	tcp, udp, web = freePort(t, "tcp"), freePort(t, "udp"), freePort(t, "tcp")
	if err := errors.Join(s.serveTCP(tcp, s.talk), s.serveUDP(udp), s.serveHTTP(web)); err != nil {
		t.Fatal(err)
	}
	return tcp, udp, web
}

func freePort(t *testing.T, network string) string {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket(network, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().String()
	}
	l, err := net.Listen(network, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestAsk(t *testing.T) {
	tcp, udp, web := startServer(t)
	tests := []struct {
		name string
		args []string
		want string // prefix of the output, or the word for the error
	}{
		{"tcp", []string{"tcp", tcp}, "ok srv saw 127.0.0.1:"},
		{"tcp with bytes", []string{"tcp", "-bytes", "100000", tcp}, "ok srv"},
		{"tcp refused", []string{"tcp", freePort(t, "tcp")}, "refused"},
		{"tcp from a port that is taken", []string{"tcp", "-from", tcp, tcp}, "error: "},
		{"udp", []string{"udp", udp}, "ok srv saw 127.0.0.1:"},
		{"udp of a size", []string{"udp", "-size", "4000", udp}, "ok 4000 bytes"},
		{"udp refused", []string{"udp", freePort(t, "udp")}, "refused"},
		{"http", []string{"http", "http://" + web + "/path"}, "ok 200 srv saw"},
		{"http with a body", []string{"http", "-post", "{}", "http://" + web + "/path"}, "ok 200 srv saw"},
		{"http with a file that is missing", []string{"http", "-post", "@/missing", "http://" + web}, "error: open /missing"},
		{"http by a socket that is missing", []string{"http", "-unix", "/missing", "http://" + web}, "error: "},
		{"no argument", []string{"tcp"}, "error: tcp: want 1 arguments, got 0"},
		{"unknown flag", []string{"udp", "-x", udp}, "error: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			err := commands()[tt.args[0]].run(tt.args[1:], &out)
			got := out.String()
			if err != nil {
				got = describe(err)
			}
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q, want %q…", got, tt.want)
			}
		})
	}
}

func TestSilenceIsATimeout(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = askUDP([]string{"-w", "50ms", c.LocalAddr().String()}, &bytes.Buffer{})
	if got := describe(err); got != "timeout" {
		t.Errorf("got %q (%v)", got, err)
	}
}

func TestDescribe(t *testing.T) {
	tests := map[error]string{
		syscall.ECONNREFUSED: "refused",
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}: "unreachable",
		fmt.Errorf("write: %w", syscall.EPIPE):                                             "reset",
		os.ErrDeadlineExceeded:                                                             "timeout",
		syscall.EMSGSIZE:                                                                   "too big",
		errors.New("else"):                                                                 "error: else",
	}
	for err, want := range tests {
		if got := describe(err); got != want {
			t.Errorf("describe(%v) = %q, want %q", err, got, want)
		}
	}
}

func TestStream(t *testing.T) {
	tcp, udp, _ := startServer(t)
	for _, args := range [][]string{{"tcp", tcp}, {"udp", udp}, {"-pull", "tcp", tcp}} {
		t.Run(strings.Join(args[:len(args)-1], " "), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state")
			go func() { _ = stream(append(args, path), nil) }()
			var out bytes.Buffer
			if err := printState([]string{"-more", "20", path}, &out); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), ` lost=0 `) || !strings.Contains(out.String(), `error=""`) {
				t.Errorf("state: %s", out.String())
			}
		})
	}
}

func TestStateFailsWhenNothingMoves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, []byte(`{"received": 7}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := printState([]string{path}, &bytes.Buffer{}); err != nil {
		t.Error(err)
	}
	if err := printState([]string{"-more", "1", "-w", "20ms", path}, &bytes.Buffer{}); err == nil {
		t.Error("waiting for a record that never comes succeeded")
	}
}

func TestCount(t *testing.T) {
	s := streamer{last: time.Now()}
	for _, n := range []uint64{0, 1, 4, 3, 5} { // 2 and 3 are missed when 4 comes; 3 comes late
		s.count(n)
	}
	if s.state.Received != 5 || s.state.Lost != 2 || s.state.Bytes != 5*recordSize {
		t.Errorf("state %+v", s.state)
	}
}

func TestEchoesParse(t *testing.T) {
	v4 := &echoes{request: 8, reply: 0, unreachable: 3, timeExceeded: 11}
	v6 := &echoes{v6: true, request: 128, reply: 129, unreachable: 1, timeExceeded: 3}
	echo := []byte{0, 0, 0, 0, 0x12, 0x34, 0, 7}
	reply6 := append([]byte{129}, echo[1:]...)
	quoted4 := append(append([]byte{11, 0, 0, 0, 0, 0, 0, 0, 0x45}, make([]byte, 19)...), echo...)
	quoted6 := append(append([]byte{3, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 40)...), echo...)
	tests := []struct {
		name     string
		e        *echoes
		message  []byte
		kind     byte
		id, sequ uint16
	}{
		{"reply", v4, echo, 0, 0x1234, 7},
		{"reply v6", v6, reply6, 129, 0x1234, 7},
		{"time exceeded", v4, quoted4, 11, 0x1234, 7},
		{"time exceeded v6", v6, quoted6, 3, 0x1234, 7},
		{"cut short", v4, quoted4[:20], 0, 0, 0},
		{"empty", v4, nil, 0, 0, 0},
		{"something else", v6, []byte{135, 0, 0, 0, 1, 2, 3, 4}, 0, 0, 0},
	}
	for _, tt := range tests {
		kind, id, sequ := tt.e.parse(tt.message)
		if kind != tt.kind || id != tt.id || sequ != tt.sequ {
			t.Errorf("%s: %d %x %d", tt.name, kind, id, sequ)
		}
	}
}

// TestFrame checks the checksums: summed with their own checksum, header and datagram give zero.
func TestFrame(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	for _, pair := range [][2]string{{"10.0.0.1", "10.0.0.2"}, {"fd00::1", "fd00::2"}} {
		f := frame{sourceMAC: mac, targetMAC: mac, source: netip.MustParseAddr(pair[0]),
			target: netip.MustParseAddr(pair[1]), port: 80, payload: "odd"}
		b := f.bytes()[14:]
		header, addresses := 40, 32
		if f.source.Is4() {
			header, addresses = 20, 8
			if got := checksum(0, b[:header]); got != 0 {
				t.Errorf("%v: header sums to %x", pair, got)
			}
		}
		udp := b[header:]
		pseudo := append([]byte{}, b[header-addresses:header]...)
		pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(udp)))
		pseudo = binary.BigEndian.AppendUint32(pseudo, 17)
		if got := checksum(0, append(pseudo, udp...)); got != 0 {
			t.Errorf("%v: datagram sums to %x", pair, got)
		}
	}
}

func TestAnswerDNS(t *testing.T) {
	address := netip.MustParseAddr("203.0.113.10")
	question := "\x01a\x04test\x00\x00\x01\x00\x01"
	query := "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + question
	got, err := answerDNS([]byte(query), address)
	want := "\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + question +
		"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04" + string(address.AsSlice())
	if err != nil || string(got) != want {
		t.Errorf("answer %q (%v), want %q", got, err, want)
	}
	for i := range query {
		if _, err := answerDNS([]byte(query[:i]), address); err == nil {
			t.Errorf("%d bytes of a query are answered", i)
		}
	}
}
