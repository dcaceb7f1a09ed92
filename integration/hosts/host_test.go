package hosts

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/testutil"
)

func TestParseVersion(t *testing.T) {
	tests := map[string]string{
		"Docker version 20.10.24+dfsg1, build 5d6db84": "20.10.24",
		"Docker version 28.5.2, build ecc6942":         "28.5.2",
		"":                                             "unknown",
	}
	for line, want := range tests {
		if got := parseVersion(line); got != want {
			t.Errorf("parseVersion(%q) = %q, want %q", line, got, want)
		}
	}
}

func TestEngineGenerations(t *testing.T) {
	for version, want := range map[string][2]bool{
		"20.10.24": {true, false}, "26.1.5": {true, false}, "28.5.2": {false, false}, "29.0.1": {false, true},
		"29.0.0-moby-v2.0.0-beta.24": {false, true}, "unknown": {false, true},
	} {
		e := Engine{Version: version}
		if got := [2]bool{e.Old(), e.Splits()}; got != want {
			t.Errorf("Old and Splits of %s = %v, want %v", version, got, want)
		}
	}
}

// TestPrivilegedHost runs a container on every engine's own bridge and reaches the outside world from it, so that a
// failing scenario can be blamed on Sluice and not on the test host.
func TestPrivilegedHost(t *testing.T) {
	testutil.Privileged(t)
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, suite := range Suites() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			engine, err := GetEngine(suite)
			if err != nil {
				t.Fatal(err)
			}
			h := upWithDocker(t, engine, bin)
			for _, to := range []string{"10.77.0.2", "198.51.100.1"} {
				out, err := h.Output(t.Context(), "docker", "run", "--rm", Image, "probe", "ping", to)
				if err != nil || !strings.HasPrefix(out, "ok ") {
					t.Errorf("ping %s: %v %s\n%s", to, err, out, h.Log("docker.log"))
				}
			}
			if err := h.StopDocker(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
			if err := h.Ping(); err == nil {
				t.Error("dockerd answers after its end")
			}
		})
	}
}

func upWithDocker(t *testing.T, engine Engine, bin string) *Host {
	t.Helper()
	dir, err := os.MkdirTemp("", "sluice-host-")
	if err != nil {
		t.Fatal(err)
	}
	h, err := Up(dir, engine, bin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := h.StartDocker(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := h.LoadImage(ctx); err != nil {
		t.Fatal(err)
	}
	return h
}
