package driver

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

const socketMode = 0o660

// dialTime bounds the test whether somebody answers on a socket.
const dialTime = time.Second

// ErrServed: another daemon answers on the socket.
var ErrServed = errors.New("another daemon serves it")

// Listen listens on a unix socket that only root and group 0 may use. It makes the directory, replaces a socket that
// nobody answers on, and refuses one that somebody does. Closing the listener removes the socket.
func Listen(path string) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make directory of socket: %w", err)
	}
	if err := checkStale(path); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	// The socket appears under its name in one step, when its mode is right: Docker may look at any moment.
	private, err := os.MkdirTemp(dir, ".s*")
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	defer os.RemoveAll(private)
	l, err := listenIn(private, path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

func listenIn(private, path string) (net.Listener, error) {
	made := filepath.Join(private, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it would remove the first name
	err = os.Chmod(made, socketMode)
	if err == nil {
		err = os.Rename(made, path)
	}
	var own os.FileInfo
	if err == nil {
		own, err = os.Lstat(path)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return &listener{Listener: l, path: path, own: own}, nil
}

// listener removes its socket, and no other that took its name.
type listener struct {
	net.Listener
	path string
	own  os.FileInfo
}

func (l *listener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(l.own, now) {
		_ = os.Remove(l.path)
	}
	return l.Listener.Close()
}

// checkStale refuses a path that must not be replaced: anything but a socket that a killed daemon left.
func checkStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("it exists and is no socket: remove it")
	}
	conn, err := net.DialTimeout("unix", path, dialTime)
	if err == nil {
		conn.Close()
		return fmt.Errorf("%w: stop it, or give this one directories of its own (--run-dir, --plugin-dir, --driver)", ErrServed)
	}
	return nil
}
