package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/netns"
)

// sandbox is the namespace of a container.
type sandbox struct{ *netns.Namespace }

// container runs a container: it joins and has its interface moved in, as Docker does.
func (h *host) container(endpoint, name string) sandbox {
	h.t.Helper()
	if _, err := h.attach(endpoint, name); err != nil {
		h.t.Fatalf("start %s: %v\n%s", name, err, &h.output)
	}
	joined, err := h.engine.call("NetworkDriver.Join", of(endpoint, map[string]any{"SandboxKey": "/run/docker/netns/" + endpoint}))
	if err != nil {
		h.t.Fatal(err)
	}
	ns, err := netns.New("")
	if err != nil {
		h.t.Fatal(err)
	}
	addresses := []netip.Prefix{h.held[endpoint]}
	if h.dual {
		addresses = append(addresses, h.held6[endpoint])
	}
	if err := moveIn(ns, joined, addresses); err != nil {
		h.t.Fatalf("set up %s: %v", name, err)
	}
	return sandbox{ns}
}

// moveIn moves a pair's peer into a namespace and sets it up.
func moveIn(ns *netns.Namespace, joined answer, addresses []netip.Prefix) error {
	outer, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer outer.Close()
	peer, err := outer.LinkByName(joined.InterfaceName.SrcName)
	if err != nil {
		return err
	}
	if err := outer.LinkSetNsFd(peer, ns.FD()); err != nil {
		return err
	}
	inner, err := ns.Netlink()
	if err != nil {
		return err
	}
	defer inner.Close()
	if peer, err = inner.LinkByName(joined.InterfaceName.SrcName); err != nil {
		return err
	}
	if err := inner.LinkSetName(peer, "eth0"); err != nil {
		return err
	}
	for _, a := range addresses {
		mask := net.CIDRMask(a.Bits(), a.Addr().BitLen())
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.Addr().AsSlice(), Mask: mask}, Flags: unix.IFA_F_NODAD}
		if err := inner.AddrAdd(peer, addr); err != nil {
			return err
		}
	}
	if err := inner.LinkSetUp(peer); err != nil {
		return err
	}
	for _, gateway := range []string{joined.Gateway, joined.GatewayIPv6}[:len(addresses)] {
		if err := inner.RouteAdd(&netlink.Route{LinkIndex: peer.Attrs().Index, Gw: net.ParseIP(gateway)}); err != nil {
			return err
		}
	}
	return nil
}

func (s sandbox) close(t *testing.T) {
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// transfer sends numbered blocks to a server that sends them back, over one connection.
type transfer struct {
	t      *testing.T
	conn   net.Conn
	server net.Listener
	blocks atomic.Int64
	done   chan error
}

const blockSize = 8 << 10

func newTransfer(t *testing.T, client, server sandbox, addr netip.Addr) *transfer {
	t.Helper()
	tr := &transfer{t: t, done: make(chan error, 1)}
	err := server.Do(func() (err error) {
		tr.server, err = net.Listen("tcp", "0.0.0.0:7000")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		conn, err := tr.server.Accept()
		if err == nil {
			_, _ = io.Copy(conn, conn)
			conn.Close()
		}
	}()
	err = client.Do(func() (err error) {
		tr.conn, err = net.DialTimeout("tcp", netip.AddrPortFrom(addr, 7000).String(), 10*time.Second)
		return err
	})
	if err != nil {
		t.Fatalf("connect to the server: %v", err)
	}
	go func() { tr.done <- tr.run() }()
	return tr
}

func (tr *transfer) run() error {
	sent, back := make([]byte, blockSize), make([]byte, blockSize)
	for n := 0; ; n++ {
		copy(sent, fmt.Sprint(n))
		_ = tr.conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := tr.conn.Write(sent); err != nil {
			return err
		}
		if _, err := io.ReadFull(tr.conn, back); err != nil {
			return err
		}
		if !bytes.Equal(sent, back) {
			return fmt.Errorf("block %d came back changed", n)
		}
		tr.blocks.Add(1)
		time.Sleep(time.Millisecond) // it is to go on, not to load the machine
	}
}

// progress reports whether blocks come back now.
func (tr *transfer) progress(within time.Duration) bool {
	tr.t.Helper()
	from, deadline := tr.blocks.Load(), time.Now().Add(within)
	for tr.blocks.Load() < from+3 {
		select {
		case err := <-tr.done:
			tr.t.Fatalf("the transfer broke: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(time.Millisecond)
	}
	return true
}

func (tr *transfer) end() {
	tr.t.Logf("%d blocks", tr.blocks.Load())
	tr.conn.Close()
	tr.server.Close()
	<-tr.done
}

// settled repeats a reading of the kernel's tables until they did not change meanwhile.
func settled[T any](t *testing.T, read func() ([]T, error)) []T {
	t.Helper()
	for range 50 {
		all, err := read()
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	t.Fatal("the devices change all the time")
	return nil
}

// links lists what the test's host has: devices without those of the pool, routes.
func links(t *testing.T) []string {
	t.Helper()
	var kept []string
	for _, line := range settled(t, func() ([]string, error) { return netns.Snapshot() }) {
		if !strings.Contains(line, "slk") {
			kept = append(kept, line)
		}
	}
	devices := settled(t, netlink.LinkList)
	pairs := 0
	for _, d := range devices {
		if strings.HasPrefix(d.Attrs().Name, "slk") && !strings.HasPrefix(d.Attrs().Name, "slkp") {
			pairs++
		}
	}
	return append(kept, fmt.Sprintf("%d pairs beyond the pool", max(0, pairs-1)))
}

func difference(before, after []string) string {
	var b strings.Builder
	for _, line := range after {
		if !slices.Contains(before, line) {
			fmt.Fprintf(&b, "left: %s\n", line)
		}
	}
	for _, line := range before {
		if !slices.Contains(after, line) {
			fmt.Fprintf(&b, "lost: %s\n", line)
		}
	}
	return b.String()
}
