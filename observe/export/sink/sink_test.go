package sink_test

import (
	"crypto/tls"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/observe/export/sink"
	"github.com/sluice-net/sluice/observe/export/sinktest"
)

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]sink.Bytes{
		"0": 0, "512": 512, "512B": 512, "5KB": 5000, "5KiB": 5120, "10 MiB": 10 << 20, "1GB": 1e9, "2GiB": 2 << 30, "9223372036854775807": math.MaxInt64,
	} {
		if got, err := sink.ParseBytes(text); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5MiB", "5 apples", "9223372036854775807KiB", "1kib"} {
		if got, err := sink.ParseBytes(text); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"500ms": 500 * time.Millisecond, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "0": 0, "0d": 0} {
		if got, err := sink.ParseDuration(text); err != nil || time.Duration(got) != want {
			t.Errorf("%q: %v, %v", text, time.Duration(got), err)
		}
	}
	for _, text := range []string{"", "5", "-1s", "-1d", "d", "1.5d", "999999999d", "soon"} {
		if got, err := sink.ParseDuration(text); err == nil {
			t.Errorf("%q: %v", text, time.Duration(got))
		}
	}
	if got := sink.Duration(0).Or(time.Second); got != time.Second {
		t.Errorf("%v", got)
	}
	if got := sink.Duration(5).Or(time.Second); got != 5 {
		t.Errorf("%v", got)
	}
}

// FuzzUnits checks that no text breaks the readers of sizes and times, and that none becomes negative.
func FuzzUnits(f *testing.F) {
	for _, s := range []string{"5MiB", "7d", "1h", "9223372036854775807GiB", "106752d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if b, err := sink.ParseBytes(s); err == nil && b < 0 {
			t.Errorf("%q is %d bytes", s, b)
		}
		if d, err := sink.ParseDuration(s); err == nil && d < 0 {
			t.Errorf("%q is %v", s, time.Duration(d))
		}
	})
}

func TestUnitsInYAML(t *testing.T) {
	var c struct {
		Size sink.Bytes
		Time sink.Duration
	}
	if err := yaml.Unmarshal([]byte("{size: 5MiB, time: 2d}"), &c); err != nil || c.Size != 5<<20 || time.Duration(c.Time) != 48*time.Hour {
		t.Errorf("%+v, %v", c, err)
	}
	if err := yaml.Unmarshal([]byte("{size: big}"), &c); err == nil {
		t.Error("big is a size")
	}
}

// TestTLSFiles: a renewed certificate is taken for the next connection.
func TestTLSFiles(t *testing.T) {
	a := testutil.NewAuthority(t)
	cert, key := a.Issue("client")
	settings := &sink.TLS{CA: a.CA, Cert: cert, Key: key}
	if err := settings.Check(); err != nil {
		t.Fatal(err)
	}
	first, err := settings.Client("host")
	if err != nil || first.ServerName != "host" || first.MinVersion != tls.VersionTLS12 || first.InsecureSkipVerify || first.RootCAs == nil {
		t.Fatalf("%+v, %v", first, err)
	}
	a.Issue("client") // over the same files
	second, err := settings.Client("host")
	if err != nil || string(first.Certificates[0].Certificate[0]) == string(second.Certificates[0].Certificate[0]) {
		t.Errorf("the old certificate is used, %v", err)
	}
	if err := os.WriteFile(a.CA, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := settings.Client("host"); err == nil || !strings.Contains(err.Error(), "there is none in PEM form") {
		t.Errorf("%v", err)
	}
	if c, err := (*sink.TLS)(nil).Client("host"); err != nil || c.RootCAs != nil || c.ServerName != "host" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := (&sink.TLS{Cert: a.CA, Key: key}).Client("host"); err == nil {
		t.Error("a certificate that is none is taken")
	}
}

func TestEvent(t *testing.T) {
	for name, r := range map[string]sink.Record{"flow": sinktest.Record(sinktest.Closed(6)), "lost": sinktest.Record(sinktest.Lost(5))} {
		e := r.Event()
		if e.GetNodeName() != "node-1" || !e.GetTime().AsTime().Equal(r.Flow.Time) || (e.GetFlow() != nil) != (name == "flow") ||
			(e.GetLostEvents().GetNumEventsLost() == 5) != (name == "lost") {
			t.Errorf("%s: %v", name, e)
		}
	}
}
