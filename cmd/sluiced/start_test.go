package main

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/store/bolt"
)

// directories are those of a daemon of the test's own.
func directories(t *testing.T) (c *config, dir string) {
	t.Helper()
	dir = t.TempDir()
	c, _, err := parseConfig([]string{"--run-dir", dir + "/run", "--plugin-dir", dir + "/plugins", "--state-dir", dir + "/state", "--policy-dir", dir + "/policy.d",
		"--pin-dir", dir + "/pins", "--docker", "unix://" + dir + "/docker.sock"})
	if err != nil {
		t.Fatal(err)
	}
	c.checkHost = func(datapath.HostOptions) datapath.Host { // no start goes further than this
		return datapath.Host{Requirements: []datapath.Requirement{{Name: "kernel", Err: errors.New("release 5.10.0 is older than 6.1"), Remedy: "boot Linux 6.1 or newer"}}}
	}
	return c, dir
}

// TestStartRefused: whatever keeps the daemon from starting is one line that says what to do, exit status 1, and nothing
// of it is left.
func TestStartRefused(t *testing.T) {
	garbage := bytes.Repeat([]byte("garbage "), 5000)
	for name, c := range map[string]struct {
		prepare func(t *testing.T, dir string)
		want    []string
		keeps   string // a socket that must stay
	}{
		"another daemon's API": {func(t *testing.T, dir string) { serve(t, dir+"/run/sluice.sock") },
			[]string{"another daemon serves it", "--run-dir"}, "run/sluice.sock"},
		"another daemon's plugin": {func(t *testing.T, dir string) { serve(t, dir+"/plugins/sluice.sock") },
			[]string{"another daemon serves it"}, "plugins/sluice.sock"},
		"another daemon's store": {func(t *testing.T, dir string) {
			s, err := bolt.Open(dir+"/state/sluice.db", bolt.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
		}, []string{"in use", "sluice.db"}, ""},
		"a file in place of the socket": {func(t *testing.T, dir string) { write(t, dir+"/run/sluice.sock", nil) },
			[]string{"no socket", "remove it"}, ""},
		"corrupt store":     {func(t *testing.T, dir string) { write(t, dir+"/state/sluice.db", garbage) }, []string{"sluice.db", "corrupt"}, ""},
		"truncated store":   {func(t *testing.T, dir string) { write(t, dir+"/state/sluice.db", garbage[:100]) }, []string{"sluice.db"}, ""},
		"unsupported host":  {func(*testing.T, string) {}, []string{"kernel", "5.10.0", "boot Linux 6.1"}, ""},
		"stale sockets too": {func(t *testing.T, dir string) { stale(t, dir+"/run/sluice.sock"); stale(t, dir+"/plugins/sluice.sock") }, []string{"5.10.0"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			config, dir := directories(t)
			c.prepare(t, dir)
			var stderr bytes.Buffer
			status := act(config, &stderr)
			if lines := strings.Count(stderr.String(), "\n"); status != 1 || lines != 1 {
				t.Errorf("status %d, printed %q", status, &stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("printed %q, want %q in it", &stderr, want)
				}
			}
			for _, socket := range []string{"run/sluice.sock", "plugins/sluice.sock"} {
				info, err := os.Lstat(filepath.Join(dir, socket))
				left := err == nil && info.Mode().Type() == os.ModeSocket
				if left != (socket == c.keeps) {
					t.Errorf("%s is there: %v", socket, left)
				}
			}
		})
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func listenOn(t *testing.T, path string) *net.UnixListener {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serve answers on a socket, as another daemon would.
func serve(t *testing.T, path string) {
	t.Helper()
	l := listenOn(t, path)
	t.Cleanup(func() { l.Close() })
}

// stale leaves a socket that nobody answers on, as a killed daemon does.
func stale(t *testing.T, path string) {
	t.Helper()
	l := listenOn(t, path)
	l.SetUnlinkOnClose(false)
	l.Close()
}
