package datapath

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	ebpflink "github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/datapath/link"
	"github.com/sluice-net/sluice/internal/netns"
	"github.com/sluice-net/sluice/internal/testutil"
)

// hung counts the programs at the hooks of a device.
func hung(t testing.TB, ifindex int, clsact bool) int {
	t.Helper()
	h, err := link.Open("slc")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	found := 0
	for d, at := range map[link.Direction]ebpf.AttachType{link.Ingress: ebpf.AttachTCXIngress, link.Egress: ebpf.AttachTCXEgress} {
		if clsact {
			if _, err := h.FilterProgram(ifindex, d); err == nil {
				found++
			}
			continue
		}
		if r, err := ebpflink.QueryPrograms(ebpflink.QueryOptions{Target: ifindex, Attach: at}); err == nil {
			found += len(r.Programs)
		}
	}
	return found
}

// container moves the peer of a pair into a new namespace and sets it up as Docker would.
func container(t *testing.T, v Veth, c LinkConfig) *netns.Namespace {
	t.Helper()
	n := netns.Temp(t, "")
	nl := netlinkHandle(t)
	peer, err := nl.LinkByName(v.Peer)
	if err != nil {
		t.Fatal(err)
	}
	if err := nl.LinkSetNsFd(peer, n.FD()); err != nil {
		t.Fatal(err)
	}
	inside, err := n.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	if peer, err = inside.LinkByName(v.Peer); err != nil {
		t.Fatal(err)
	}
	if err := inside.LinkSetUp(peer); err != nil {
		t.Fatal(err)
	}
	for i, a := range c.Addrs {
		bits := a.BitLen()
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits/2, bits)}, Flags: unix.IFA_F_NODAD}
		if err := inside.AddrAdd(peer, addr); err != nil {
			t.Fatal(err)
		}
		gateway := &netlink.Neigh{LinkIndex: peer.Attrs().Index, State: netlink.NUD_PERMANENT,
			IP: c.Gateways[i].AsSlice(), HardwareAddr: v.HostMAC}
		if err := inside.NeighSet(gateway); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// listen opens a UDP socket in a namespace, or in this one.
func listen(t *testing.T, n *netns.Namespace, addr netip.Addr) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	open := func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		return err
	}
	err := open
	if n != nil {
		err = func() error { return n.Do(open) }
	}
	if err := err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func send(t *testing.T, from, to *net.UDPConn, text string) {
	t.Helper()
	if _, err := from.WriteTo([]byte(text), to.LocalAddr()); err != nil {
		t.Fatal(err)
	}
}

// warm is what warmUp sends.
const warm = "warm"

// warmUp fills the slot until a packet arrives: a device that has just got its carrier may still drop what is sent.
func warmUp(t *testing.T, array *ebpf.Map, slot uint32, pass *ebpf.Program, from, to *net.UDPConn) {
	t.Helper()
	if err := array.Put(slot, uint32(pass.FD())); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		send(t, from, to, warm)
		if err := to.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err := to.Read(make([]byte, 100))
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if err := to.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := array.Delete(slot); err != nil {
		t.Fatal(err)
	}
}

// first returns the first packet that arrives, other than late ones of warmUp.
func first(t *testing.T, conn *net.UDPConn) string {
	t.Helper()
	b := make([]byte, 100)
	for {
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(b[:n]); text != warm {
			return text
		}
	}
}

// TestPrivilegedDoorsOfPairs: an empty slot drops, a filled one decides, in both directions and for both families.
func TestPrivilegedDoorsOfPairs(t *testing.T) {
	bothWays(t, func(t *testing.T, clsact bool) {
		l := openLinks(t, LinksConfig{Pool: 1, Clsact: clsact})
		c := LinkConfig{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, Addrs: addrs("10.9.0.2", "fd09::2"), Gateways: addrs("10.9.0.1", "fd09::1")}
		if err := l.Gateways(c.Gateways); err != nil {
			t.Fatal(err)
		}
		v := l.take(t)
		if err := l.Configure(v, c); err != nil {
			t.Fatal(err)
		}
		n := container(t, v, c)
		pass := verdict(t, 0)
		for i := range c.Addrs {
			inside, outside := listen(t, n, c.Addrs[i]), listen(t, nil, c.Gateways[i])
			for array, conns := range map[*ebpf.Map][2]*net.UDPConn{l.doors.egress: {inside, outside}, l.doors.ingress: {outside, inside}} {
				warmUp(t, array, v.Slot, pass, conns[0], conns[1])
				for round := range 3 {
					// Packets keep their order, so the first to arrive tells what became of those before.
					send(t, conns[0], conns[1], fmt.Sprint("closed ", round))
					if err := array.Put(v.Slot, uint32(pass.FD())); err != nil {
						t.Fatal(err)
					}
					want := fmt.Sprint("open ", round)
					send(t, conns[0], conns[1], want)
					if got := first(t, conns[1]); got != want {
						t.Errorf("%s: %q arrived first, want %q", conns[1].LocalAddr(), got, want)
					}
					if err := array.Delete(v.Slot); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	})
}

// TestPrivilegedHooksReplace: attaching again replaces the program without detaching; the other way of attaching is
// cleared away.
func TestPrivilegedHooksReplace(t *testing.T) {
	bothWays(t, func(t *testing.T, clsact bool) {
		p := makePair(t, 5)
		h, err := link.Open("slc")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = h.Delete(5); h.Close(); os.RemoveAll(testPins) })
		k := hooks{host: h, dir: filepath.Join(testPins, "doors"), clsact: clsact}
		for range 2 {
			for _, d := range []link.Direction{link.Ingress, link.Egress} {
				if err := k.attach("5", p.Ifindex, d, verdict(t, 0)); err != nil {
					t.Fatal(err)
				}
			}
			if got := hung(t, p.Ifindex, clsact); got != 2 {
				t.Errorf("%d programs at two hooks", got)
			}
		}
		if !haveTCX() {
			return
		}
		other := hooks{host: h, dir: k.dir, clsact: !clsact}
		for _, d := range []link.Direction{link.Ingress, link.Egress} {
			if err := other.attach("5", p.Ifindex, d, verdict(t, 0)); err != nil {
				t.Fatal(err)
			}
		}
		if err := other.settle("5", p.Ifindex); err != nil {
			t.Fatal(err)
		}
		eventually(t, "only the other way is left", func() bool {
			return hung(t, p.Ifindex, clsact) == 0 && hung(t, p.Ifindex, !clsact) == 2
		})
	})
}

// TestPrivilegedHooksStalePin: the pin of a device that is gone makes way for the next one of that name.
func TestPrivilegedHooksStalePin(t *testing.T) {
	testutil.Privileged(t)
	if !haveTCX() {
		testutil.NotSupported(t, "tcx", "6.6", fmt.Errorf("query refused"))
	}
	netns.Unchanged(t, netns.BPFDir)
	h, err := link.Open("slc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Delete(5); h.Close(); os.RemoveAll(testPins) })
	k := hooks{host: h, dir: filepath.Join(testPins, "doors")}
	for range 2 {
		p := makePair(t, 5)
		if err := k.attach("5", p.Ifindex, link.Ingress, verdict(t, 0)); err != nil {
			t.Fatal(err)
		}
		if got := hung(t, p.Ifindex, false); got != 1 {
			t.Errorf("%d programs at the hook", got)
		}
		if err := h.Delete(5); err != nil {
			t.Fatal(err)
		}
	}
}
