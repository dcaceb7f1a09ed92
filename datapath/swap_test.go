package datapath

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/testutil"
)

const swaps = 10_000

// box is a namespace with a container's end of a veth pair.
type box struct {
	ns   string
	veth Veth
	p    Program
}

// TestPrivilegedSwapUnderTraffic: replacing programs loses no packet, by the counters of the devices.
func TestPrivilegedSwapUnderTraffic(t *testing.T) {
	testutil.Privileged(t)
	testutil.Short(t)
	dir := pinDir(t)
	l := openLoader(t, dir)
	links, err := OpenLinks(LinksConfig{Prefix: "slw", PinDir: dir, Slots: l.Slots(), Log: l.log}, l, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the boxes are released
		if err := links.Close(); err != nil {
			t.Error(err)
		}
	})
	a, b := newBox(t, l, links, 2), newBox(t, l, links, 3)
	reach(t, a, b) // whatever starts a device's life has happened
	waitCounted(t, a, b)
	first, second := load(t, l, b.p), load(t, l, revised(b.p))
	sentBefore, receivedBefore := counter(t, a, "tx_packets"), counter(t, b, "rx_packets")

	done := make(chan error)
	stop := make(chan struct{})
	go func() { done <- a.flood(b.p.IPv4.Addr(), stop) }()
	for i := range swaps {
		pair := first
		if i%2 == 1 {
			pair = second
		}
		if err := l.write(b.p.Slot, pair[0], pair[1]); err != nil {
			t.Fatal(err)
		}
		if i%500 == 0 { // the whole of a replacement now and then, on the sender's side too
			p := a.p
			p.Revision = uint32(i) + 2
			mustReplace(t, l, p)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	waitCounted(t, a, b)
	sent := counter(t, a, "tx_packets") - sentBefore
	received := counter(t, b, "rx_packets") - receivedBefore
	t.Logf("%d swaps under %d packets", swaps, sent)
	if sent != received || sent < swaps/10 {
		t.Errorf("%d packets sent, %d received", sent, received)
	}
}

func revised(p Program) Program {
	p.Revision++
	p.Egress = nil
	return p
}

func load(t *testing.T, l *Loader, p Program) [2]*ebpf.Program {
	t.Helper()
	egress, ingress, use, err := l.load(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		egress.Close()
		ingress.Close()
		l.tables.release(use)
	})
	return [2]*ebpf.Program{egress, ingress}
}

// newBox makes a container of the slot's number: namespace, address, programs, entry among the endpoints.
func newBox(t *testing.T, l *Loader, links *Links, n byte) *box {
	t.Helper()
	b := &box{ns: fmt.Sprintf("loader%d-%d", os.Getpid(), n)}
	ip(t, "netns", "add", b.ns)
	t.Cleanup(func() { ip(t, "netns", "delete", b.ns) })
	var err error
	if b.veth, err = links.Take(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := links.Release(b.veth.Slot); err != nil {
			t.Error(err)
		}
	})
	b.p = sample(b.veth.Slot)
	b.p.HostIfindex, b.p.HostMAC = b.veth.Ifindex, b.veth.HostMAC
	b.p.MAC = net.HardwareAddr{2, 0, 0, 0, 1, n}
	b.p.IPv4 = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, 0, n}), 16)
	b.p.IPv6 = Program{}.IPv6
	c := LinkConfig{MAC: b.p.MAC, MTU: 1500, Addrs: []netip.Addr{b.p.IPv4.Addr()}}
	if err := links.Configure(b.veth, c); err != nil {
		t.Fatal(err)
	}
	ip(t, "link", "set", b.veth.Peer, "netns", b.ns)
	ip(t, "-n", b.ns, "address", "add", b.p.IPv4.String(), "dev", b.veth.Peer)
	run(t, "ip", "netns", "exec", b.ns, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/"+b.veth.Peer+"/disable_ipv6")
	ip(t, "-n", b.ns, "link", "set", b.veth.Peer, "up")
	mustReplace(t, l, b.p)
	key, entry := abi.FromAddr(b.p.IPv4.Addr()), abi.Endpoint{
		Ifindex: uint32(b.veth.Ifindex), Identity: b.p.Identity, Network: b.p.Network, Slot: b.p.Slot}
	copy(entry.MAC[:], b.p.MAC)
	if err := l.Map("endpoints").Put(&key, &entry); err != nil {
		t.Fatal(err)
	}
	return b
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	run(t, "ip", args...)
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// counter reads a counter of the container's end.
func counter(t *testing.T, b *box, name string) int {
	t.Helper()
	out := run(t, "ip", "netns", "exec", b.ns, "cat", "/sys/class/net/"+b.veth.Peer+"/statistics/"+name)
	n, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// waitCounted waits until nothing is under way between the two.
func waitCounted(t *testing.T, a, b *box) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for last := -1; time.Now().Before(deadline); {
		now := counter(t, a, "tx_packets") + counter(t, b, "rx_packets")
		if now == last {
			return
		}
		last = now
	}
	t.Fatal("the counters do not come to rest")
}

// reach makes sure that packets get from one to the other.
func reach(t *testing.T, a, b *box) {
	t.Helper()
	stop := make(chan struct{})
	close(stop)
	if err := a.flood(b.p.IPv4.Addr(), stop); err != nil {
		t.Fatal(err)
	}
}

// flood sends datagrams out of the box until stop is closed.
func (b *box) flood(to netip.Addr, stop <-chan struct{}) error {
	fd, err := socketIn(b.ns)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	payload := make([]byte, 64)
	for {
		for range 100 {
			err := unix.Sendto(fd, payload, 0, &unix.SockaddrInet4{Port: 9, Addr: to.As4()})
			if err != nil && err != unix.ECONNREFUSED {
				return fmt.Errorf("send: %w", err)
			}
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}
