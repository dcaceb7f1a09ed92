package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// namedDir is where iproute2 looks for named namespaces.
const namedDir = "/run/netns"

// Namespace is an open network namespace. It lives until Close, or as long as a process or a name keeps it.
type Namespace struct {
	fd   int
	path string // of the name, empty if it has none
}

// New makes a namespace with its loopback device up. With a name it appears in /run/netns, for `ip netns`.
func New(name string) (*Namespace, error) {
	n := &Namespace{fd: -1}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		var err error
		if n.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		if err := setUpLoopback(); err != nil || name == "" {
			return err
		}
		return n.bind(filepath.Join(namedDir, name))
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make network namespace %s: %w", name, err), n.Close())
	}
	return n, nil
}

// Temp makes a namespace that goes with the test.
func Temp(t testing.TB, name string) *Namespace {
	t.Helper()
	n, err := New(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// Open opens the namespace at a path, such as /run/netns/NAME or /proc/PID/ns/net.
func Open(path string) (*Namespace, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	return &Namespace{fd: fd}, nil
}

func (n *Namespace) bind(path string) error {
	if err := os.MkdirAll(namedDir, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	f.Close()
	n.path = path
	return unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
}

// Close lets go of the namespace and removes the name that New gave it. Closing again is nothing.
func (n *Namespace) Close() error {
	if n.fd >= 0 {
		unix.Close(n.fd)
		n.fd = -1
	}
	if n.path == "" {
		return nil
	}
	path := n.path
	n.path = ""
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("close network namespace: unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("close network namespace: %w", err)
	}
	return nil
}

// FD is the descriptor, valid until Close, as netlink wants it to move devices in.
func (n *Namespace) FD() int { return n.fd }

// Do runs f on a thread that is in the namespace, and returns its error. Goroutines that f starts are not in it;
// sockets and files that f opens stay in it.
func (n *Namespace) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// Netlink returns a connection to the namespace, which the caller closes.
func (n *Namespace) Netlink() (*netlink.Handle, error) {
	var h *netlink.Handle
	err := n.Do(func() (err error) {
		// The family is named because kernels without IPsec lack another that the library would want.
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	return h, err
}

// onThread runs f on a thread of its own, which ends with f: it may be in another namespace then.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

// setUpLoopback sets lo up in the calling thread's namespace.
func setUpLoopback() error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := h.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}
