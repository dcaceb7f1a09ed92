package load

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/netns"
	"github.com/sluice-net/sluice/internal/testutil"
)

// TestMain lets the processes that Measure starts be this program.
func TestMain(m *testing.M) {
	if Main() {
		return
	}
	os.Exit(m.Run())
}

func TestSpecCheck(t *testing.T) {
	good := Spec{Mode: RR, Addr: netip.MustParseAddrPort("192.0.2.1:7000"), Duration: time.Second}
	tests := []struct {
		name   string
		change func(*Spec)
		want   string // in the error, empty: none
	}{
		{"good", func(*Spec) {}, ""},
		{"IPv6", func(s *Spec) { s.Addr = netip.MustParseAddrPort("[2001:db8::1]:7000") }, ""},
		{"mode", func(s *Spec) { s.Mode = "sctp" }, `unknown mode "sctp"`},
		{"no address", func(s *Spec) { s.Addr = netip.AddrPort{} }, "no room"},
		{"no room for ports", func(s *Spec) { s.Addr = netip.MustParseAddrPort("192.0.2.1:65530") }, "no room"},
		{"no time", func(s *Spec) { s.Duration = 0 }, "duration"},
		{"too long", func(s *Spec) { s.Duration = time.Hour }, "duration"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := good
			test.change(&s)
			err := s.check()
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("median of nothing: %v", got)
	}
	for i := 1; i <= 99; i++ {
		h.add(time.Duration(i) * time.Microsecond)
	}
	h.add(time.Hour)
	h.add(-time.Second)
	for q, want := range map[float64]time.Duration{0: 0, 0.5: 50 * time.Microsecond, 0.99: 99 * time.Microsecond} {
		if got := h.quantile(q); got < want || got > want+bucketWidth {
			t.Errorf("quantile %v: got %v, want %v", q, got, want)
		}
	}
	if got := h.quantile(1); got < (buckets-1)*bucketWidth {
		t.Errorf("what is longer than all buckets: got %v", got)
	}
}

func TestEncode(t *testing.T) {
	tests := map[string][]byte{
		"192.0.2.1:7000": {unix.AF_INET, 0, 0x1b, 0x58, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0},
		"[2001:db8::1]:7000": {unix.AF_INET6, 0, 0x1b, 0x58, 0, 0, 0, 0,
			0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0},
	}
	for address, want := range tests {
		if got := encode(netip.MustParseAddrPort(address)); !bytes.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", address, got, want)
		}
	}
}

func TestParseSchedstat(t *testing.T) {
	for text, want := range map[string]time.Duration{"123456 789 12\n": 123456, "": 0, "nonsense": 0} {
		if got := parseSchedstat(text); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestSample(t *testing.T) {
	s := Sample{Client: Result{CPU: 3 * time.Second, Transactions: 10}, Softirq: time.Second,
		Server: Result{CPU: 4 * time.Second, Bytes: 4e9, Transactions: 8}}
	if got := s.CPUPerGB(); got != 2*time.Second {
		t.Errorf("CPU per GB: %v", got)
	}
	if got := s.CPUPerPacket(); got != time.Second {
		t.Errorf("CPU per packet: %v", got)
	}
	if got := s.Lost(); got != 2 {
		t.Errorf("lost: %d", got)
	}
}

// TestPrivilegedMeasure runs every mode over the loopback device of a namespace, by IPv4 and by IPv6.
func TestPrivilegedMeasure(t *testing.T) {
	testutil.Privileged(t)
	n := netns.Temp(t, "")
	for _, address := range []string{"127.0.0.1:7000", "[::1]:7000"} {
		for _, mode := range []Mode{RR, CRR, Stream, UDP} {
			t.Run(string(mode)+" "+address, func(t *testing.T) {
				s := measureLoopback(t, n, mode, address)
				if s.Server.CPU <= 0 || s.Client.CPU <= 0 || s.Client.Elapsed <= 0 {
					t.Errorf("nothing was measured: %+v", s)
				}
				switch mode {
				case Stream:
					if s.Server.Bytes == 0 || s.Server.Bytes != s.Client.Bytes {
						t.Errorf("sent %d bytes, received %d", s.Client.Bytes, s.Server.Bytes)
					}
				case UDP:
					if s.Lost() != 0 || s.Client.Transactions == 0 {
						t.Errorf("sent %d datagrams, received %d", s.Client.Transactions, s.Server.Transactions)
					}
				default:
					if s.Client.P50 <= 0 || s.Client.P99 < s.Client.P50 || s.Server.Transactions < s.Client.Transactions {
						t.Errorf("got %+v", s)
					}
				}
			})
		}
	}
}

func measureLoopback(t *testing.T, n *netns.Namespace, mode Mode, address string) Sample {
	t.Helper()
	spec := Spec{Namespace: path(n), Addr: netip.MustParseAddrPort(address), Mode: mode, Duration: 50 * time.Millisecond}
	s, err := Measure(t.Context(), spec, spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestPrivilegedRefused: a client that nobody answers says so, at once.
func TestPrivilegedRefused(t *testing.T) {
	testutil.Privileged(t)
	here, there := netns.Temp(t, ""), netns.Temp(t, "")
	at := netip.MustParseAddrPort("127.0.0.1:7000")
	_, err := Measure(t.Context(), Spec{Namespace: path(here), Addr: at},
		Spec{Namespace: path(there), Addr: at, Mode: RR, Duration: time.Second})
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}

// TestPrivilegedServerComplains: what the server's process says against itself is in the error.
func TestPrivilegedServerComplains(t *testing.T) {
	testutil.Privileged(t)
	at := netip.MustParseAddrPort("192.0.2.77:7000") // nobody's
	spec := Spec{Namespace: path(netns.Temp(t, "")), Addr: at, Mode: CRR, Duration: time.Second}
	_, err := Measure(t.Context(), spec, spec)
	if err == nil || !strings.Contains(err.Error(), "cannot assign requested address") {
		t.Errorf("got %v", err)
	}
}

// path names a namespace for other processes.
func path(n *netns.Namespace) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.FD()) }
