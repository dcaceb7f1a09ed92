package listen

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := Unix(path, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plugins", "sluice.sock")
	l := listen(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket || info.Mode().Perm() != 0o660 {
		t.Fatalf("socket has mode %v (%v)", info.Mode(), err)
	}
	if conn, err := net.Dial("unix", path); err != nil {
		t.Error(err)
	} else {
		conn.Close()
	}
	if _, err := Unix(path, ""); !errors.Is(err, ErrServed) || !strings.Contains(err.Error(), path) {
		t.Errorf("second daemon: %v, want ErrServed", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v (%v)", entries, err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	listen(t, path)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestOtherFilesAreNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Unix(path, ""); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("Unix: %v", err)
	}
	if raw, _ := os.ReadFile(path); string(raw) != "x" {
		t.Error("the file was changed")
	}
}

// A daemon that ends late must not take the socket of the one that followed.
func TestCloseSparesTheSocketOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	first := listen(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	listen(t, path)
	first.Close()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal("the second socket is gone")
	}
	conn.Close()
}
