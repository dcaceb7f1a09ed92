package datapath

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sluice-net/sluice/datapath/link"
	"github.com/sluice-net/sluice/internal/netns"
	"github.com/sluice-net/sluice/internal/testutil"
)

func TestPrivilegedTake(t *testing.T) {
	bothWays(t, func(t *testing.T, clsact bool) {
		l := openLinks(t, LinksConfig{Pool: 4, Clsact: clsact})
		eventually(t, "pool is full", func() bool { return l.pooled() == 4 })
		start := time.Now()
		a := l.take(t)
		t.Logf("take from the pool: %v", time.Since(start))
		start = time.Now()
		b := l.take(t)
		t.Logf("and again: %v", time.Since(start))
		if a.Slot == b.Slot || a.Host == b.Host || a.HostMAC.String() == b.HostMAC.String() {
			t.Errorf("two pairs are alike: %+v, %+v", a, b)
		}
		ifi, err := net.InterfaceByName(a.Host)
		if err != nil {
			t.Fatal(err)
		}
		if ifi.Index != a.Ifindex || ifi.HardwareAddr.String() != a.HostMAC.String() || ifi.Flags&net.FlagUp == 0 {
			t.Errorf("device %+v is not the pair %+v, up", ifi, a)
		}
		if peer, err := net.InterfaceByName(a.Peer); err != nil || peer.Flags&net.FlagUp != 0 {
			t.Errorf("peer %s is not here and down: %+v, %v", a.Peer, peer, err)
		}
		eventually(t, "pool is full again", func() bool { return l.pooled() == 4 })
		list, err := l.List()
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != 2 || list[0].Slot != a.Slot || list[1].Slot != b.Slot {
			t.Errorf("pairs in use: %+v, want slots %d and %d", list, a.Slot, b.Slot)
		}
	})
}

func TestPrivilegedTakeSkipsDeletedPairs(t *testing.T) {
	testutil.Privileged(t)
	netns.Unchanged(t, netns.BPFDir)
	l := openLinks(t, LinksConfig{Pool: 1, Settle: time.Hour})
	eventually(t, "pool is full", func() bool { return l.pooled() == 1 })
	l.mu.Lock()
	pooled := l.slots[l.ready[0]].pair
	l.mu.Unlock()
	if err := netlinkHandle(t).LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: pooled.Ifindex}}); err != nil {
		t.Fatal(err)
	}
	v := l.take(t)
	if v.Slot == pooled.Slot {
		t.Errorf("took slot %d, whose pair somebody deleted", v.Slot)
	}
	if _, err := net.InterfaceByName(v.Host); err != nil {
		t.Error(err)
	}
}

func TestPrivilegedConfigure(t *testing.T) {
	testutil.Privileged(t)
	netns.Unchanged(t, netns.BPFDir)
	l := openLinks(t, LinksConfig{Pool: 1})
	nl := netlinkHandle(t)
	gateways := addrs("10.9.0.1", "fd09::1")
	if err := l.Gateways(gateways); err != nil {
		t.Fatal(err)
	}
	v := l.take(t)
	c := LinkConfig{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, MTU: 1400, Addrs: addrs("10.9.0.2", "fd09::2"), Gateways: gateways}
	for range 2 {
		start := time.Now()
		if err := l.Configure(v, c); err != nil {
			t.Fatal(err)
		}
		t.Logf("configure: %v", time.Since(start))
		for _, name := range []string{v.Host, v.Peer} {
			if ifi, err := net.InterfaceByName(name); err != nil || ifi.MTU != 1400 {
				t.Errorf("%s has not the MTU 1400: %+v, %v", name, ifi, err)
			}
		}
		if peer, _ := net.InterfaceByName(v.Peer); peer.HardwareAddr.String() != c.MAC.String() {
			t.Errorf("peer has MAC %s, want %s", peer.HardwareAddr, c.MAC)
		}
		for i, a := range c.Addrs {
			routes, err := nl.RouteGet(a.AsSlice())
			if err != nil {
				t.Fatal(err)
			}
			if r := routes[0]; r.LinkIndex != v.Ifindex || !r.Src.Equal(gateways[i].AsSlice()) {
				t.Errorf("route to %s is %v, want by %s from %s", a, r, v.Host, gateways[i])
			}
		}
		if got := permanent(t, nl, v.Ifindex); len(got) != 2 || got["10.9.0.2"] != c.MAC.String() || got["fd09::2"] != c.MAC.String() {
			t.Errorf("neighbours %v", got)
		}
	}
	c.Addrs = addrs("10.9.0.3")
	if err := l.Configure(v, c); err != nil {
		t.Fatal(err)
	}
	if got := permanent(t, nl, v.Ifindex); len(got) != 1 || got["10.9.0.3"] == "" {
		t.Errorf("after the change of address: neighbours %v", got)
	}
	if routes, err := nl.RouteGet(net.ParseIP("fd09::2")); err == nil && routes[0].LinkIndex == v.Ifindex {
		t.Errorf("the route to fd09::2 is still there: %v", routes)
	}
	if err := l.Configure(Veth{Slot: 99}, c); !errors.Is(err, link.ErrNotFound) {
		t.Errorf("configuring a pair that is not there: %v", err)
	}
}

func permanent(t testing.TB, nl *netlink.Handle, ifindex int) map[string]string {
	t.Helper()
	neighbours, err := nl.NeighList(ifindex, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, n := range neighbours {
		if n.State&netlink.NUD_PERMANENT != 0 {
			found[n.IP.String()] = n.HardwareAddr.String()
		}
	}
	return found
}

func TestPrivilegedRelease(t *testing.T) {
	bothWays(t, func(t *testing.T, clsact bool) {
		l := openLinks(t, LinksConfig{Pool: 0, Clsact: clsact, Settle: 50 * time.Millisecond})
		v := l.take(t)
		c := LinkConfig{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, Addrs: addrs("10.9.0.2", "fd09::2")}
		if err := l.Configure(v, c); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := l.Release(v.Slot); err != nil {
			t.Fatal(err)
		}
		t.Logf("release: %v", time.Since(start))
		if list, err := l.List(); err != nil || len(list) != 0 {
			t.Errorf("released pairs are still in use: %+v, %v", list, err)
		}
		if routes, err := netlinkHandle(t).RouteGet(net.ParseIP("10.9.0.2")); err == nil && routes[0].LinkIndex == v.Ifindex {
			t.Errorf("the route is still there: %v", routes)
		}
		if other := l.take(t); other.Slot == v.Slot {
			t.Error("the slot was given away while its pair was there")
		}
		eventually(t, "slot is free", func() bool { return l.busy() == 1 })
		if _, err := net.InterfaceByName(v.Host); err == nil {
			t.Error("the slot is free, but its pair is there")
		}
		if _, err := os.Stat(filepath.Join(testPins, "doors", strconv.Itoa(int(v.Slot)))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the slot is free, but its pins are there: %v", err)
		}
		for _, slot := range []uint32{v.Slot, 77} {
			if err := l.Release(slot); err != nil {
				t.Errorf("release of free slot %d: %v", slot, err)
			}
		}
	})
}

func TestPrivilegedSlotsAreFinite(t *testing.T) {
	testutil.Privileged(t)
	netns.Unchanged(t, netns.BPFDir)
	l := openLinks(t, LinksConfig{Pool: 2, Slots: 3})
	a := l.take(t)
	l.take(t)
	if v, err := l.Take(t.Context()); !errors.Is(err, ErrNoSlot) {
		t.Fatalf("took %+v of two slots, error %v", v, err)
	}
	if err := l.Release(a.Slot); err != nil {
		t.Fatal(err)
	}
	if v := l.take(t); v.Slot != a.Slot {
		t.Errorf("took slot %d, only %d can be free", v.Slot, a.Slot)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Release(a.Slot); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Take(stopped); !errors.Is(err, context.Canceled) && err != nil {
		t.Errorf("take without time to wait: %v", err)
	}
}

// TestPrivilegedPeerNamespaceDies: with a container's namespace both ends of its pair go, and nobody asked.
func TestPrivilegedPeerNamespaceDies(t *testing.T) {
	bothWays(t, func(t *testing.T, clsact bool) {
		l := openLinks(t, LinksConfig{Clsact: clsact})
		v := l.take(t)
		container, err := netns.New("")
		if err != nil {
			t.Fatal(err)
		}
		nl := netlinkHandle(t)
		peer, err := nl.LinkByName(v.Peer)
		if err != nil {
			t.Fatal(err)
		}
		if err := nl.LinkSetNsFd(peer, container.FD()); err != nil {
			t.Fatal(err)
		}
		container.Close()
		eventually(t, "the pair is gone", func() bool { _, err := net.InterfaceByName(v.Host); return err != nil })
		if list, err := l.List(); err != nil || len(list) != 0 {
			t.Errorf("a pair that is gone is in use: %+v, %v", list, err)
		}
		if err := l.Release(v.Slot); err != nil {
			t.Error(err)
		}
		eventually(t, "slot is free", func() bool { return l.busy() == 0 })
	})
}

func TestPrivilegedManyPairs(t *testing.T) {
	testutil.Short(t)
	bothWays(t, func(t *testing.T, clsact bool) {
		l := openLinks(t, LinksConfig{Pool: 4, Clsact: clsact})
		const pairs, workers = 200, 8
		start := time.Now()
		slots := make(chan uint32, pairs)
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range pairs / workers {
					v, err := l.Take(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					slots <- v.Slot
				}
			})
		}
		wg.Wait()
		close(slots)
		t.Logf("%d pairs made in %v", pairs, time.Since(start))
		seen := map[uint32]bool{}
		for slot := range slots {
			if seen[slot] {
				t.Errorf("slot %d was given twice", slot)
			}
			seen[slot] = true
		}
		if list, err := l.List(); err != nil || len(list) != pairs {
			t.Fatalf("%d pairs in use, error %v", len(list), err)
		}
		start = time.Now()
		for slot := range seen {
			if err := l.Release(slot); err != nil {
				t.Error(err)
			}
		}
		t.Logf("released in %v", time.Since(start))
		eventually(t, "all are gone", func() bool { return l.busy() == l.cfg.Pool })
		t.Logf("gone after %v", time.Since(start))
	})
}

// TestPrivilegedOpenLinksAfterCrash leaves every state that a kill can leave, and opens again.
func TestPrivilegedOpenLinksAfterCrash(t *testing.T) {
	bothWays(t, func(t *testing.T, clsact bool) {
		l := openLinks(t, LinksConfig{Pool: 2, Clsact: clsact})
		eventually(t, "pool is full", func() bool { return l.pooled() == 2 })
		kept, unknown, released := l.take(t), l.take(t), l.take(t)
		if err := l.Configure(kept, LinkConfig{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, Addrs: addrs("10.9.0.2")}); err != nil {
			t.Fatal(err)
		}
		if err := l.Release(released.Slot); err != nil {
			t.Fatal(err)
		}
		l.abandon()
		doorless := makePair(t, 100)
		makePair(t, 101) // its owner never heard of it
		if err := os.MkdirAll(filepath.Join(testPins, "doors", "102"), 0o700); err != nil {
			t.Fatal(err)
		}

		again := openLinks(t, LinksConfig{Pool: 2, Clsact: clsact}, kept.Slot, doorless.Slot, 103)
		eventually(t, "only the pool and the kept are left", func() bool { return again.busy() == 4 && again.pooled() == 2 })
		list, err := again.List()
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != 2 || list[0].Ifindex != kept.Ifindex || list[1].Ifindex != doorless.Ifindex {
			t.Errorf("in use %+v, want %+v and %+v", list, kept, doorless)
		}
		if list[0].HostMAC.String() != kept.HostMAC.String() || list[0].Peer != kept.Peer || list[0].Host != kept.Host {
			t.Errorf("adopted %+v, was %+v", list[0], kept)
		}
		for _, v := range list {
			if hung(t, v.Ifindex, clsact) != 2 {
				t.Errorf("%s has not its two doors", v.Host)
			}
		}
		for _, v := range []Veth{unknown, released} {
			if ifi, err := net.InterfaceByIndex(v.Ifindex); err == nil {
				t.Errorf("%s is still there", ifi.Name)
			}
		}
		if routes, err := netlinkHandle(t).RouteGet(net.ParseIP("10.9.0.2")); err != nil || routes[0].LinkIndex != kept.Ifindex {
			t.Errorf("the kept pair lost its route: %v, %v", routes, err)
		}
	})
}

func makePair(t *testing.T, slot uint32) link.Pair {
	t.Helper()
	h, err := link.Open("slc")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	p, err := h.Create(slot)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOpenLinksRefuses(t *testing.T) {
	for name, cfg := range map[string]LinksConfig{
		"no slots":   {Prefix: "slc", Slots: 1},
		"bad prefix": {Prefix: "slc1", Slots: 16},
	} {
		if _, err := OpenLinks(cfg, nil, nil); err == nil || !strings.HasPrefix(err.Error(), "open links: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
