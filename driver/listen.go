package driver

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// dialTime bounds the test whether somebody answers on a socket.
const dialTime = time.Second

// ErrServed: another daemon answers on the socket.
var ErrServed = errors.New("another daemon serves it")

// Listen listens on a unix socket that only root and group 0 may use. It makes the directory, removes a socket that
// nobody answers on, and refuses one that somebody does. Closing the listener removes the socket.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make directory of socket: %w", err)
	}
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	// The socket appears under its name only when its mode is right.
	old := syscall.Umask(0o117)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen on socket: %w", err)
	}
	return l, nil
}

// removeStale removes what is left of a daemon that was killed.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("it exists and is no socket: remove it")
	}
	conn, err := net.DialTimeout("unix", path, dialTime)
	if err == nil {
		conn.Close()
		return fmt.Errorf("%w: stop it, or give this one directories of its own (--run-dir, --plugin-dir, --driver)", ErrServed)
	}
	return os.Remove(path)
}
