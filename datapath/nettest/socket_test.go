package nettest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/datapath/obj"
)

// hooks are the programs of socket.bpf.c and where they belong.
var hooks = map[string]ebpf.AttachType{
	"connect4": ebpf.AttachCGroupInet4Connect, "connect6": ebpf.AttachCGroupInet6Connect,
	"sendmsg4": ebpf.AttachCGroupUDP4Sendmsg, "sendmsg6": ebpf.AttachCGroupUDP6Sendmsg,
	"recvmsg4": ebpf.AttachCGroupUDP4Recvmsg, "recvmsg6": ebpf.AttachCGroupUDP6Recvmsg,
	"getpeername4": ebpf.AttachCgroupInet4GetPeername, "getpeername6": ebpf.AttachCgroupInet6GetPeername,
}

// cgroup2 is where control groups of version 2 are mounted.
func cgroup2(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		before, after, ok := strings.Cut(s.Text(), " - ")
		if f := strings.Fields(before); ok && len(f) > 4 && strings.HasPrefix(after, "cgroup2 ") {
			return f[4]
		}
	}
	t.Fatal("no cgroup2 file system is mounted")
	return ""
}

// inGroup moves the test into a control group of its own, whose sockets the hooks see.
func inGroup(t testing.TB) string {
	t.Helper()
	root := cgroup2(t)
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	_, was, ok := strings.Cut(string(self), "0::")
	if !ok {
		t.Fatalf("not in a control group of version 2: %s", self)
	}
	was, _, _ = strings.Cut(was, "\n")
	dir := filepath.Join(root, fmt.Sprintf("sluice-nettest-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	move := func(to string) {
		if err := os.WriteFile(filepath.Join(to, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
			t.Errorf("move to control group: %v", err)
		}
	}
	move(dir)
	t.Cleanup(func() {
		move(filepath.Join(root, was))
		if err := os.Remove(dir); err != nil {
			t.Errorf("remove control group: %v", err)
		}
	})
	return dir
}

// cookie of the node's namespace.
func (n *node) cookie() (c uint64) {
	n.t.Helper()
	n.must(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		c, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		return err
	})
	return c
}

// newSocketWorld is a world whose host's sockets are hooked.
func newSocketWorld(t testing.TB) *world {
	t.Helper()
	w := newWorld(t, nil)
	coll := w.collection(w.load(obj.Socket()), map[string]any{"NETNS_COOKIE": w.host.cookie()})
	dir := inGroup(t)
	for name, at := range hooks {
		l, err := link.AttachCgroup(link.CgroupOptions{Path: dir, Attach: at, Program: coll.Programs[name]})
		if err != nil {
			t.Fatalf("attach %s: %v", name, err)
		}
		t.Cleanup(func() { l.Close() })
	}
	return w
}

// TestPrivilegedHostSockets: processes of the host reach a published port by loopback and every address of the host,
// and see the peer that they named; the container sees them as the gateway.
func TestPrivilegedHostSockets(t *testing.T) {
	w := newSocketWorld(t)
	w.publishAll(w.bob)
	w.bob.echoTCP(":80")
	w.bob.echoUDP(":80")
	for network := range protocols {
		for to, want := range map[string]netip.Addr{
			"127.0.0.1": w.bob.gw4, "127.0.0.2": w.bob.gw4, "0.0.0.0": w.bob.gw4, host4: w.bob.gw4, gateway4: w.bob.gw4,
			"::1": w.bob.gw6, "::": w.bob.gw6, host6: w.bob.gw6, gateway6: w.bob.gw6, "::ffff:127.0.0.1": w.bob.gw4,
		} {
			t.Run(network+" "+to, func(t *testing.T) {
				c, err := w.host.dialRaw(network, netip.AddrPortFrom(netip.MustParseAddr(to), 8080))
				if err != nil {
					t.Fatalf("%v; dropped:%s", err, w.drops())
				}
				defer c.Close()
				seen, err := ask(c, "hello")
				if err != nil {
					t.Fatalf("%v; dropped:%s", err, w.drops())
				}
				if seen.Addr() != want {
					t.Errorf("the container saw %v, want %v", seen, want)
				}
				peer, err := c.peer()
				if err != nil || peer != netip.AddrPortFrom(netip.MustParseAddr(to), 8080) {
					t.Errorf("getpeername says %v, %v", peer, err)
				}
			})
		}
	}
}

// TestPrivilegedHostDatagrams: answers to a socket that is not connected come from the address that it sent to.
func TestPrivilegedHostDatagrams(t *testing.T) {
	w := newSocketWorld(t)
	w.publishAll(w.bob)
	w.bob.echoUDP(":80")
	for _, to := range []string{"127.0.0.1", host4, gateway4, "::1", host6, "::ffff:192.0.2.1"} {
		t.Run(to, func(t *testing.T) {
			c := w.host.datagrams(netip.MustParseAddr(to).Is4())
			want := netip.AddrPortFrom(netip.MustParseAddr(to), 8080)
			for range 2 {
				if err := unix.Sendto(c, []byte("hello"), 0, sockaddr(want)); err != nil {
					t.Fatal(err)
				}
				answer, from, err := receive(c)
				if err != nil {
					t.Fatalf("%v; dropped:%s", err, w.drops())
				}
				if from != want || !strings.HasSuffix(answer, "\nhello") {
					t.Errorf("%q came from %v, want %v", answer, from, want)
				}
			}
		})
	}
}

// TestPrivilegedHostIPv6ToIPv4: [::1] leads to a container that has only IPv4, unless the socket is IPv6 only.
func TestPrivilegedHostIPv6ToIPv4(t *testing.T) {
	w := newSocketWorld(t)
	w.bob.echoTCP(":80")
	w.publish("::", 8080, protoTCP, w.bob.addr4, 80)
	to := netip.AddrPortFrom(netip.IPv6Loopback(), 8080)
	c, err := w.host.dialRaw("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if seen, err := ask(c, "hello"); err != nil || seen.Addr() != w.bob.gw4 {
		t.Errorf("the container saw %v, %v", seen, err)
	}
	if peer, err := c.peer(); err != nil || peer != to {
		t.Errorf("getpeername says %v, %v", peer, err)
	}
	if _, err := w.host.dialRaw("tcp", to, option{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1}); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("a socket that is IPv6 only got %v, want ENETUNREACH", err)
	}
}

// TestPrivilegedHostBound: a socket bound to a loopback address is refused at once; bound to another one it works.
func TestPrivilegedHostBound(t *testing.T) {
	w := newSocketWorld(t)
	w.publishAll(w.bob)
	w.bob.echoTCP(":80")
	w.bob.echoUDP(":80")
	for network := range protocols {
		for bind, works := range map[string]bool{"127.0.0.1": false, "::1": false, host4: true, host6: true, gateway4: true} {
			t.Run(network+" "+bind, func(t *testing.T) {
				a := netip.MustParseAddr(bind)
				to := map[bool]string{true: "127.0.0.1", false: "::1"}[a.Is4()]
				c, err := w.host.dialBound(network, netip.AddrPortFrom(a, 0), netip.AddrPortFrom(netip.MustParseAddr(to), 8080))
				if err == nil {
					defer c.Close()
					_, err = ask(c, "hello")
				}
				if works && err != nil {
					t.Errorf("%v; dropped:%s", err, w.drops())
				}
				if !works && !errors.Is(err, unix.EINVAL) {
					t.Errorf("got %v, want EINVAL", err)
				}
			})
		}
	}
}

// TestPrivilegedOtherSockets: sockets of other namespaces, and destinations that are no frontends, are left alone.
func TestPrivilegedOtherSockets(t *testing.T) {
	w := newSocketWorld(t)
	w.publishAll(w.bob)
	w.bob.echoTCP(":80")
	if c, err := w.alice.dial("tcp", "127.0.0.1:8080"); err == nil {
		c.Close()
		t.Error("a container's loopback leads to the published port")
	}
	w.host.echoTCP("127.0.0.1:9000")
	w.far.echoTCP(":8080")
	for to, n := range map[string]string{"127.0.0.1:9000": "127.0.0.1", net.JoinHostPort(far4, "8080"): host4} {
		if seen, _, err := w.host.reach("tcp", to); err != nil || seen.Addr().String() != n {
			t.Errorf("%s saw %v, %v", to, seen, err)
		}
	}
}
