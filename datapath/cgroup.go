package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	ebpflink "github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// SocketPrograms makes the programs of the cgroup hooks (implemented by Loader).
type SocketPrograms interface {
	// Sockets returns the programs by name, for sockets of the network namespace with this cookie; the caller closes
	// them.
	Sockets(netnsCookie uint64) (map[string]*ebpf.Program, error)
}

// socketHooks are the hooks of the programs in bpf/socket.bpf.c.
var socketHooks = map[string]ebpf.AttachType{
	"connect4":     ebpf.AttachCGroupInet4Connect,
	"connect6":     ebpf.AttachCGroupInet6Connect,
	"sendmsg4":     ebpf.AttachCGroupUDP4Sendmsg,
	"sendmsg6":     ebpf.AttachCGroupUDP6Sendmsg,
	"recvmsg4":     ebpf.AttachCGroupUDP4Recvmsg,
	"recvmsg6":     ebpf.AttachCGroupUDP6Recvmsg,
	"getpeername4": ebpf.AttachCgroupInet4GetPeername,
	"getpeername6": ebpf.AttachCgroupInet6GetPeername,
	"bind4":        ebpf.AttachCGroupInet4Bind,
	"bind6":        ebpf.AttachCGroupInet6Bind,
	"getsockname4": ebpf.AttachCgroupInet4GetSockname,
	"getsockname6": ebpf.AttachCgroupInet6GetSockname,
	paceHook:       ebpf.AttachCGroupSockOps,
}

// AttachSockets attaches the socket programs at the root of the control groups and pins the links in
// PINDIR/cgroup/NAME. Links that a former daemon pinned there get the new programs without a gap; those of names that
// there are no more are removed. Nothing has to be kept open.
func AttachSockets(cgroup, pinDir string, programs SocketPrograms) error {
	cookie, err := NetnsCookie()
	if err != nil {
		return fmt.Errorf("attach socket programs: %w", err)
	}
	loaded, err := programs.Sockets(cookie)
	if err != nil {
		return fmt.Errorf("attach socket programs: %w", err)
	}
	dir := filepath.Join(pinDir, "cgroup")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("attach socket programs: %w", err)
	}
	for name, p := range loaded {
		err = errors.Join(err, attachSocket(cgroup, filepath.Join(dir, name), name, p))
		p.Close()
	}
	if err != nil {
		return fmt.Errorf("attach socket programs: %w", err)
	}
	return pruneSockets(dir, loaded)
}

func attachSocket(cgroup, pin, name string, p *ebpf.Program) error {
	hook, ok := socketHooks[name]
	if !ok {
		return fmt.Errorf("attach %s: no such hook", name)
	}
	switch err := updateSocket(cgroup, pin, p); {
	case err == nil:
		return nil
	case !errors.Is(err, errNoLink):
		return fmt.Errorf("attach %s: %w", name, err)
	}
	l, err := ebpflink.AttachCgroup(ebpflink.CgroupOptions{Path: cgroup, Attach: hook, Program: p})
	if err != nil {
		return fmt.Errorf("attach %s to control group %s: %w", name, cgroup, err)
	}
	defer l.Close()
	if err := l.Pin(pin); err != nil {
		return fmt.Errorf("attach %s: pin link: %w", name, err)
	}
	return nil
}

// updateSocket replaces the program of a pinned link. The pin of a link to another control group, or to one that is
// gone, makes way.
func updateSocket(cgroup, pin string, p *ebpf.Program) error {
	l, err := ebpflink.LoadPinnedLink(pin, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return errNoLink
	}
	if err != nil {
		return fmt.Errorf("open pinned link: %w", err)
	}
	defer l.Close()
	if err = sameCgroup(l, cgroup); err == nil {
		err = l.Update(p)
	}
	if !errors.Is(err, errNoLink) && !errors.Is(err, unix.ENOLINK) {
		return err
	}
	if err := os.Remove(pin); err != nil {
		return fmt.Errorf("remove stale pin: %w", err)
	}
	return errNoLink
}

// sameCgroup says whether a link is attached to the group at a path: the id of a group is its inode's number.
func sameCgroup(l ebpflink.Link, path string) error {
	info, err := l.Info()
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return err
	}
	if c := info.Cgroup(); c == nil || c.CgroupId != st.Ino {
		return errNoLink
	}
	return nil
}

func pruneSockets(dir string, keep map[string]*ebpf.Program) error {
	pins, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("prune socket programs: %w", err)
	}
	for _, pin := range pins {
		if keep[pin.Name()] != nil {
			continue
		}
		if err := os.Remove(filepath.Join(dir, pin.Name())); err != nil {
			return fmt.Errorf("prune socket programs: %w", err)
		}
	}
	return nil
}

// NetnsCookie returns what the kernel calls the network namespace of the calling thread in bpf_get_netns_cookie.
func NetnsCookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("read cookie of the network namespace: %w", err)
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0, fmt.Errorf("read cookie of the network namespace: %w", err)
	}
	return cookie, nil
}
