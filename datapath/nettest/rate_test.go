package nettest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/datapath/obj"
	"github.com/sluice-net/sluice/internal/abi"
)

// limit sets what a container may send or be sent, in a second and at once.
func (w *world) limit(slot, direction uint32, bits uint64, burst time.Duration) {
	w.t.Helper()
	w.put("rates", slot*2+direction, abi.Rate{BitsPerSecond: bits, Burst: uint64(burst)})
}

// sink counts the bytes that arrive.
func (n *node) sink(network, addr string) *atomic.Int64 {
	n.t.Helper()
	var got atomic.Int64
	read := func(c net.Conn) {
		defer c.Close()
		b := make([]byte, 1<<17)
		for {
			k, err := c.Read(b)
			got.Add(int64(k))
			if err != nil && !errors.Is(err, unix.ECONNREFUSED) {
				return
			}
		}
	}
	if network == "udp" {
		var c net.PacketConn
		n.must(func() (err error) { c, err = net.ListenPacket(network, addr); return err })
		c.(*net.UDPConn).SetReadBuffer(4 << 20)
		n.t.Cleanup(func() { c.Close() })
		go read(c.(*net.UDPConn))
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

func (n *node) flood(network, addr, cc string, stop <-chan struct{}) error {
	var c net.Conn
	err := n.do(func() (err error) {
		d := net.Dialer{Timeout: patience, Control: func(_, _ string, rc syscall.RawConn) (e error) {
			rc.Control(func(fd uintptr) {
				if cc != "" {
					e = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, cc)
				}
			})
			return e
		}}
		c, err = d.Dial(network, addr)
		return err
	})
	if err != nil {
		return err
	}
	go func() { <-stop; c.Close() }()
	size := 1 << 16
	if network == "udp" {
		size = 1400
	}
	b := make([]byte, size)
	go func() {
		for {
			if _, err := c.Write(b); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
				return
			}
		}
	}()
	return nil
}

func TestPrivilegedExplore(t *testing.T) {
	w := newWorld(t, map[string]any{"FEATURE_RATE_EGRESS": uint8(1), "FEATURE_RATE_INGRESS": uint8(1)})
	if os.Getenv("SOCKOPS") != "" {
		coll := w.collection(w.load(obj.Socket()), nil)
		l, err := link.AttachCgroup(link.CgroupOptions{Path: inGroup(t), Attach: ebpf.AttachCGroupSockOps, Program: coll.Programs["pace"]})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
	rate, _ := strconv.ParseFloat(os.Getenv("RATE"), 64)
	burst, _ := time.ParseDuration(os.Getenv("BURST"))
	conns, _ := strconv.Atoi(os.Getenv("CONNS"))
	secs, _ := strconv.Atoi(os.Getenv("SECS"))
	dir, _ := strconv.Atoi(os.Getenv("DIR"))
	slot := w.alice.slot
	w.limit(slot, uint32(dir), uint64(rate), burst)
	from, to := w.alice.node, w.bob.node
	addr := join(w.bob.addr4.String(), 9)
	if dir == 1 {
		from, to = to, from
		addr = join(w.alice.addr4.String(), 9)
	}
	if os.Getenv("FROM") == "host" {
		from = w.host
	}
	for _, cc := range strings.Fields(os.Getenv("CC")) {
		network := "tcp"
		if cc == "udp" {
			network = "udp"
		}
		got := to.sink(network, addr)
		stop := make(chan struct{})
		for range conns {
			c := cc
			if cc == "udp" {
				c = ""
			}
			if err := from.flood(network, addr, c, stop); err != nil {
				t.Fatal(err)
			}
		}
		line := ""
		last := got.Load()
		time.Sleep(time.Second)
		first := got.Load()
		for range secs {
			time.Sleep(time.Second)
			n := got.Load()
			line += fmt.Sprintf(" %.0f", float64(n-last)*8/rate*100)
			last = n
		}
		close(stop)
		t.Logf("%s rate %.0f burst %v conns %d: %.1f%% by second:%s", cc, rate, burst, conns, float64(last-first)*8/rate/float64(secs)*100, line)
		time.Sleep(300 * time.Millisecond)
		addr = strings.Replace(addr, ":9", ":1"+"9", 1)
	}
	t.Log(w.drops())
}
