package nettest

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/datapath/obj"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/testutil"
)

// burst is that of the tests' limits, as of those that name none.
const burst = 250 * time.Millisecond

// newLimitedWorld is a world whose containers may have limits, and whose sockets know them.
func newLimitedWorld(t testing.TB) *world {
	t.Helper()
	w := newWorld(t, map[string]any{"FEATURE_RATE_EGRESS": uint8(1), "FEATURE_RATE_INGRESS": uint8(1)})
	coll := w.collection(w.load(obj.Socket()), nil)
	l, err := link.AttachCgroup(link.CgroupOptions{Path: inGroup(t), Attach: ebpf.AttachCGroupSockOps, Program: coll.Programs["pace"]})
	if err != nil {
		t.Fatalf("attach pace: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return w
}

// limit sets what a container may send or be sent in a second, 0: what it wants. The burst is used up.
func (w *world) limit(c *container, direction uint32, bits uint64) {
	w.t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		w.t.Fatal(err)
	}
	w.put("rates", c.slot*2+direction, abi.Rate{BitsPerSecond: bits, Burst: uint64(burst), Used: uint64(now.Nano()) + uint64(burst)})
}

// sink counts the bytes that arrive at a port.
func (n *node) sink(network, addr string) *atomic.Int64 {
	n.t.Helper()
	var got atomic.Int64
	read := func(c net.Conn) {
		defer c.Close()
		b := make([]byte, 1<<17)
		for {
			k, err := c.Read(b)
			got.Add(int64(k))
			if err != nil {
				return
			}
		}
	}
	if network == "udp" {
		var c *net.UDPConn
		n.must(func() error {
			l, err := net.ListenPacket(network, addr)
			if err == nil {
				c = l.(*net.UDPConn)
				err = c.SetReadBuffer(4 << 20)
			}
			return err
		})
		n.t.Cleanup(func() { c.Close() })
		go read(c)
		return &got
	}
	var l net.Listener
	n.must(func() (err error) { l, err = net.Listen(network, addr); return err })
	n.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go read(c)
		}
	}()
	return &got
}

// flood sends as much as it can by a connection of its own, until stop is called, which returns what ended it before.
// TCP is controlled as nearly everybody's is.
func (n *node) flood(network, addr string) (stop func() error) {
	n.t.Helper()
	var c net.Conn
	n.must(func() (err error) {
		d := net.Dialer{Timeout: patience, Control: func(_, _ string, raw syscall.RawConn) (err error) {
			if network == "tcp" {
				raw.Control(func(fd uintptr) { err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic") })
			}
			return err
		}}
		c, err = d.Dial(network, addr)
		return err
	})
	size := 1 << 16
	if network == "udp" {
		size = 1300
	}
	done := make(chan error, 1)
	go func() {
		b := make([]byte, size)
		for {
			if _, err := c.Write(b); err != nil && !(network == "udp" && errors.Is(err, unix.ECONNREFUSED)) {
				done <- err
				return
			}
		}
	}()
	return sync.OnceValue(func() error {
		c.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
}

// keeps fails unless what arrives comes within a tenth of the rate. On a busy machine senders pause, and then use what they
// may at once: so there is time for the mean to settle.
func keeps(t *testing.T, got *atomic.Int64, rate float64, window time.Duration) {
	t.Helper()
	time.Sleep(window / 4) // connections begin slowly
	share := func(since time.Time, bytes int64) float64 {
		return float64(got.Load()-bytes) * 8 / time.Since(since).Seconds() / rate
	}
	began, first := time.Now(), got.Load()
	var all, last float64
	for time.Since(began) < 20*time.Second {
		then, before := time.Now(), got.Load()
		time.Sleep(window)
		all, last = share(began, first), share(then, before)
		if all < 1.1 && (all > 0.9 || last > 0.9) {
			t.Logf("%.1f %%, in the end %.1f %%", all*100, last*100)
			return
		}
	}
	t.Errorf("%.1f %% of the rate arrived, in the end %.1f %%", all*100, last*100)
}

// TestPrivilegedRates: containers send and are sent what their limits say, over each protocol and family, whatever the
// rate.
func TestPrivilegedRates(t *testing.T) {
	w := newLimitedWorld(t)
	port := uint16(9000)
	rates, networks := []uint64{20, 500}, []string{"tcp", "udp"}
	if testing.Short() { // an emulated machine is slow, and floods stop it
		rates, networks = []uint64{5}, []string{"tcp"}
	}
	for direction, name := range map[uint32]string{abi.DirectionEgress: "egress", abi.DirectionIngress: "ingress"} {
		for _, mbit := range rates {
			for _, network := range networks {
				for _, to := range []string{w.bob.addr4.String(), w.bob.addr6.String()} {
					t.Run(fmt.Sprintf("%s %s %d mbit to %s", name, network, mbit, to), func(t *testing.T) {
						c := w.alice
						if direction == abi.DirectionIngress {
							c = w.bob
						}
						port++
						got := w.bob.sink(network, join(to, port))
						w.limit(c, direction, mbit*1e6)
						stop := w.alice.flood(network, join(to, port))
						keeps(t, got, float64(mbit)*1e6, time.Second)
						if err := stop(); err != nil {
							t.Errorf("the connection ended: %v", err)
						}
						w.limit(c, direction, 0)
					})
				}
			}
		}
	}
}

// TestPrivilegedRateOfMany: connections share a limit.
func TestPrivilegedRateOfMany(t *testing.T) {
	testutil.Short(t) // an emulated machine is too slow
	w := newLimitedWorld(t)
	got := w.bob.sink("tcp", ":9000")
	w.limit(w.alice, abi.DirectionEgress, 20e6)
	for i := range 8 {
		to := w.bob.addr4
		if i%2 == 1 {
			to = w.bob.addr6
		}
		defer w.alice.flood("tcp", join(to.String(), 9000))()
	}
	keeps(t, got, 20e6, time.Second)
}

// TestPrivilegedRateWithHost: the host's processes are an end like any other.
func TestPrivilegedRateWithHost(t *testing.T) {
	testutil.Short(t) // an emulated machine is too slow
	w := newLimitedWorld(t)
	for _, to := range []string{w.bob.addr4.String(), w.bob.addr6.String()} {
		got := w.bob.sink("tcp", join(to, 9000))
		w.limit(w.bob, abi.DirectionIngress, 20e6)
		stop := w.host.flood("tcp", join(to, 9000))
		keeps(t, got, 20e6, time.Second)
		stop()
	}
	w.limit(w.alice, abi.DirectionEgress, 20e6)
	for _, to := range []string{gateway4, gateway6} {
		got := w.host.sink("udp", join(to, 9001))
		stop := w.alice.flood("udp", join(to, 9001))
		keeps(t, got, 20e6, time.Second)
		stop()
	}
}

// TestPrivilegedRateWithOutside: limits hold for what leaves by an uplink and for what comes by a published port, whose
// senders nobody here can slow down.
func TestPrivilegedRateWithOutside(t *testing.T) {
	testutil.Short(t) // an emulated machine is too slow
	w := newLimitedWorld(t)
	w.publishAll(w.bob)
	for _, c := range []struct{ far, host string }{{far4, host4}, {far6, host6}} {
		for _, network := range []string{"tcp", "udp"} {
			t.Run(network+" to "+c.far, func(t *testing.T) {
				got := w.far.sink(network, join(c.far, 9000))
				w.limit(w.alice, abi.DirectionEgress, 20e6)
				stop := w.alice.flood(network, join(c.far, 9000))
				defer stop()
				keeps(t, got, 20e6, time.Second)
			})
			t.Run(network+" by "+c.host, func(t *testing.T) {
				to := w.bob.addr4.String()
				if c.host == host6 {
					to = w.bob.addr6.String()
				}
				got := w.bob.sink(network, join(to, 80))
				w.limit(w.bob, abi.DirectionIngress, 20e6)
				stop := w.far.flood(network, join(c.host, 8080))
				defer stop()
				window := time.Second
				if network == "tcp" {
					window = 3 * time.Second // what loses packets comes in waves
				}
				keeps(t, got, 20e6, window)
			})
		}
	}
}

// TestPrivilegedRateWaits: what leaves by an uplink with fq waits there, so that TCP loses nothing even if its socket knows of
// no limit.
func TestPrivilegedRateWaits(t *testing.T) {
	w := newWorld(t, map[string]any{"FEATURE_RATE_EGRESS": uint8(1)})
	up := w.host.link("up0").Attrs().Index
	err := w.host.nl.QdiscReplace(netlink.NewFq(netlink.QdiscAttrs{LinkIndex: up, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT}))
	if err != nil {
		testutil.NotSupported(t, "fq", "", err)
	}
	var u abi.Uplink
	if err := w.maps["uplinks"].Lookup(uint32(up), &u); err != nil {
		t.Fatal(err)
	}
	u.Flags |= abi.UplinkPaces
	w.put("uplinks", uint32(up), u)
	for _, far := range []string{far4, far6} {
		got := w.far.sink("tcp", join(far, 9000))
		w.limit(w.alice, abi.DirectionEgress, 5e6)
		stop := w.alice.flood("tcp", join(far, 9000))
		keeps(t, got, 5e6, time.Second) // until the window has found its size
		before := w.dropped(abi.DropRate)
		keeps(t, got, 5e6, time.Second)
		stop()
		if n := w.dropped(abi.DropRate) - before; n > 3 {
			t.Errorf("to %s: %d packets were dropped", far, n)
		}
	}
}

// TestPrivilegedRateChanges: a running connection follows its limit as that comes, changes and goes.
func TestPrivilegedRateChanges(t *testing.T) {
	testutil.Short(t) // an emulated machine is too slow
	w := newLimitedWorld(t)
	for _, to := range []string{w.bob.addr4.String(), w.bob.addr6.String()} {
		got := w.bob.sink("tcp", join(to, 9000))
		stop := w.alice.flood("tcp", join(to, 9000))
		for _, mbit := range []float64{50, 20, 100} {
			w.limit(w.alice, abi.DirectionEgress, uint64(mbit*1e6))
			keeps(t, got, mbit*1e6, time.Second)
		}
		w.limit(w.alice, abi.DirectionEgress, 0)
		before := got.Load()
		for deadline := time.Now().Add(10 * time.Second); got.Load()-before < 100<<20; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("without limit %d bytes arrived in 10 s", got.Load()-before)
			}
		}
		if err := stop(); err != nil {
			t.Errorf("the connection ended: %v", err)
		}
	}
}
