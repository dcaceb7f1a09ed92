package listen

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"
)

// DefaultMode is that of unix sockets: their owner and their group may use them.
const DefaultMode fs.FileMode = 0o660

// dialTime bounds the test whether somebody answers on a socket.
const dialTime = time.Second

// ErrServed: another daemon answers on the socket.
var ErrServed = errors.New("another daemon serves it")

// Unix listens on a unix socket that only root and the group may use, group 0 if none is named (by name or number). It
// makes the directory, replaces a socket that nobody answers on, and refuses one that somebody does. Closing the listener
// removes the socket.
func Unix(path, group string) (net.Listener, error) {
	gid, err := groupID(group)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
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
	l, err := listenIn(private, path, gid)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

// groupID returns the number of a group.
func groupID(group string) (int, error) {
	if group == "" {
		return 0, nil
	}
	if id, err := strconv.Atoi(group); err == nil && id >= 0 {
		return id, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("find group %s of the socket: %w", group, err)
	}
	return strconv.Atoi(g.Gid)
}

func listenIn(private, path string, gid int) (net.Listener, error) {
	made := filepath.Join(private, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it would remove the first name
	err = os.Chown(made, -1, gid)
	if err == nil {
		err = os.Chmod(made, DefaultMode)
	}
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
	return &socket{Listener: l, path: path, own: own}, nil
}

// socket removes its file, and no other that took its name.
type socket struct {
	net.Listener
	path string
	own  os.FileInfo
}

func (l *socket) Close() error {
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
