package nettest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// node is a network namespace.
type node struct {
	t  testing.TB
	ns netns.NsHandle
	nl *netlink.Handle
}

// newNode makes a namespace.
func newNode(t testing.TB) *node {
	t.Helper()
	n := &node{t: t, ns: netns.None()}
	done := make(chan error)
	go func() {
		// The thread is not unlocked in the new namespace: it ends with the goroutine.
		runtime.LockOSThread()
		var err error
		n.ns, err = netns.New()
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("make namespace: %v", err)
	}
	var err error
	if n.nl, err = netlink.NewHandleAt(n.ns, unix.NETLINK_ROUTE); err != nil {
		t.Fatalf("open netlink: %v", err)
	}
	t.Cleanup(func() {
		n.nl.Close()
		n.ns.Close()
	})
	n.sysctl("ipv6/conf/default/accept_dad", "0") // addresses work at once
	n.sysctl("ipv6/conf/all/accept_dad", "0")
	n.up("lo")
	return n
}

// do runs f in the namespace. Sockets that it makes stay there.
func (n *node) do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(n.ns); err != nil {
			done <- fmt.Errorf("enter namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// must runs f in the namespace and fails the test on an error.
func (n *node) must(f func() error) {
	n.t.Helper()
	if err := n.do(f); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) link(name string) netlink.Link {
	n.t.Helper()
	l, err := n.nl.LinkByName(name)
	if err != nil {
		n.t.Fatalf("find device %s: %v", name, err)
	}
	return l
}

func (n *node) up(name string) {
	n.t.Helper()
	if err := n.nl.LinkSetUp(n.link(name)); err != nil {
		n.t.Fatalf("set %s up: %v", name, err)
	}
}

// addr adds addresses with their prefix lengths to a device.
func (n *node) addr(name string, addrs ...string) {
	n.t.Helper()
	for _, s := range addrs {
		a, err := netlink.ParseAddr(s)
		if err != nil {
			n.t.Fatal(err)
		}
		a.Flags = unix.IFA_F_NODAD
		if err := n.nl.AddrAdd(n.link(name), a); err != nil {
			n.t.Fatalf("add %s to %s: %v", s, name, err)
		}
	}
}

// route adds a route by a device; gateway and src may be empty.
func (n *node) route(name, dst, gateway, src string) {
	n.t.Helper()
	_, d, err := net.ParseCIDR(dst)
	if err != nil {
		n.t.Fatal(err)
	}
	r := &netlink.Route{LinkIndex: n.link(name).Attrs().Index, Dst: d, Gw: net.ParseIP(gateway), Src: net.ParseIP(src)}
	if gateway == "" {
		r.Scope = unix.RT_SCOPE_LINK
	}
	if err := n.nl.RouteReplace(r); err != nil {
		n.t.Fatalf("add route %s via %q dev %s: %v", dst, gateway, name, err)
	}
}

// sysctl sets net.PATH, slashes between the parts. Which namespace's it is depends on the thread.
func (n *node) sysctl(path, value string) {
	n.t.Helper()
	n.must(func() error {
		return os.WriteFile(filepath.Join("/proc/sys/net", path), []byte(value), 0)
	})
}

// veth joins two nodes.
func veth(a *node, aName string, b *node, bName string, mtu int) {
	a.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = aName, mtu
	l := &netlink.Veth{LinkAttrs: attrs, PeerName: bName, PeerNamespace: netlink.NsFd(b.ns), PeerMTU: uint32(mtu)}
	if err := a.nl.LinkAdd(l); err != nil {
		a.t.Fatalf("make veth %s-%s: %v", aName, bName, err)
	}
	a.up(aName)
	b.up(bName)
}

// announceMSS makes TCP of this node announce a segment size on its default routes.
func (n *node) announceMSS(mss int) {
	n.t.Helper()
	routes, err := n.nl.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, r := range routes {
		if r.Gw == nil {
			continue
		}
		r.AdvMSS = mss
		if err := n.nl.RouteReplace(&r); err != nil {
			n.t.Fatalf("set MSS of %v: %v", r, err)
		}
	}
}
