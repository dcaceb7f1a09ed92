package command

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/api/server/servertest"
)

const capturedNote = "sluice: capturing db; interrupt to end\nsluice: 2 packets captured, 2 lost\n"

func TestCapture(t *testing.T) {
	f := servertest.Sample()
	got := sluice(t, f, "capture", "db", "tcp", "port", "5432", "or", "host", "web", "--duration", "400ms", "--drops-only", "--snaplen", "54")
	want := "15:04:05.000000 db ingress 172.31.0.2:40212 > 172.31.0.3:5432 TCP [S] seq 1 win 64240 payload 0, 54 bytes, dropped: policy denied by allow-web ingress[0]\n" +
		"15:04:05.001000 db egress 172.31.0.2:40212 > 172.31.0.3:5432 TCP [S] seq 1 win 64240 payload 0, 1500 bytes\n" +
		"15:04:06.000000 db: 2 packets lost so far: they came faster than they are read\n"
	if got.code != exitGood || got.out != want || got.err != capturedNote {
		t.Errorf("got %+v", got)
	}
	call := servertest.CaptureCall{Containers: []string{"db"}, Request: api.CaptureRequest{Refs: []string{"db"}, Filter: "tcp port 5432 or host web",
		DropsOnly: true, SnapLength: 54}}
	asked, ok := f.Calls()[0].Args.(servertest.CaptureCall)
	if diff := cmp.Diff(call, asked, cmpopts.IgnoreFields(call, "Web")); !ok || diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if len(asked.Web) == 0 || !asked.Web[0].IsValid() || asked.Web[0] == netip.IPv4Unspecified() {
		t.Errorf("a container's name is %v", asked.Web)
	}
	poll(t, "the capture ends", func() bool { calls := f.Calls(); return calls[len(calls)-1].Method == "EndCapture" })
}

// pcapng returns how many packets a file has.
func pcapng(t *testing.T, b []byte) (n int) {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.NgReaderOptions{})
	for err == nil {
		if _, _, err = r.ReadPacketData(); err == nil {
			n++
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	return n
}

func TestCaptureToAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "db.pcapng")
	got := sluice(t, servertest.Sample(), "capture", "db", "-w", file, "--duration", "400ms")
	b, err := os.ReadFile(file)
	if err != nil || got.code != exitGood || got.out != "" || got.err != capturedNote || pcapng(t, b) != 2 {
		t.Errorf("%v; got %+v", err, got)
	}
	got = sluice(t, servertest.Sample(), "capture", "db", "-w", "-", "-c", "1")
	if got.code != exitGood || pcapng(t, []byte(got.out)) != 1 || !strings.Contains(got.err, "1 packets captured") {
		t.Errorf("got %+v", got)
	}
}

// What is refused leaves the file as it was.
func TestCaptureRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "db.pcapng")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		err  string
	}{
		{"nobody", exitRefused, `"nobody"`},
		{"db port x", exitUsage, "port x: it is no port"},
		{"db tcp and", exitUsage, "it ends where"},
		{"db --snaplen 5", exitUsage, "--snaplen 5: use 14 to 9216"},
		{"db -c -1", exitUsage, "cannot be negative"},
		{"", exitUsage, "requires at least 1 arg"},
	} {
		got := sluice(t, servertest.Sample(), append(append([]string{"capture"}, strings.Fields(c.args)...), "-w", file)...)
		if got.code != c.code || !strings.Contains(got.err, c.err) {
			t.Errorf("%s: %+v, want %q", c.args, got, c.err)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "mine" {
		t.Errorf("the file has become %q, %v", b, err)
	}
	if got := sluice(t, servertest.Sample(), "capture", "db", "-w", "/nonexistent/x"); got.code != exitRefused || !strings.Contains(got.err, "no such file") {
		t.Errorf("got %+v", got)
	}
}

// A daemon that stops ends the capture, and what there was is kept.
func TestCaptureWhenTheDaemonStops(t *testing.T) {
	f := servertest.Sample()
	f.Fail = api.Errorf(api.CodeUnavailable, "capture packets: the daemon stops")
	fake := f.Backend()
	fake.Endpoints = servertest.Sample() // which do not fail
	file := filepath.Join(t.TempDir(), "db.pcapng")
	got := sluiceOf(t, fake, "capture", "db", "-w", file)
	b, err := os.ReadFile(file)
	if err != nil || got.code != exitRefused || !strings.Contains(got.err, "the daemon stops") || pcapng(t, b) != 2 {
		t.Errorf("%v; got %+v", err, got)
	}
}
