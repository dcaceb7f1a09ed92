package datapath

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	ebpflink "github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/sirupsen/logrus"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/datapath/link"
	"github.com/sluice-net/sluice/internal/netns"
	"github.com/sluice-net/sluice/internal/testutil"
)

// memoryMap stands for a BPF map.
type memoryMap[K comparable, V any] struct {
	mu      sync.Mutex
	entries map[K]V
	refuse  error
	writes  int
}

func (m *memoryMap[K, V]) Put(k K, v V) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return m.refuse
	}
	if m.entries == nil {
		m.entries = map[K]V{}
	}
	m.entries[k] = v
	m.writes++
	return nil
}

func (m *memoryMap[K, V]) Delete(k K) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, k)
	m.writes++
	return nil
}

// written counts the writes.
func (m *memoryMap[K, V]) written() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.writes
}

func (m *memoryMap[K, V]) List() (map[K]V, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.entries), nil
}

// testUplinkPrograms gives programs that pass everything.
type testUplinkPrograms struct{ t testing.TB }

func (p testUplinkPrograms) Uplink() (*ebpf.Program, error) {
	const unspec = -1 // TC_ACT_UNSPEC
	return verdict(p.t, unspec).Clone()
}

type testUplinks struct {
	*Uplinks
	table     *memoryMap[int, Uplink]
	addresses *memoryMap[netip.Addr, Address]
}

// follow starts a follower that ends, with all that it attached, with the test.
func follow(t *testing.T, clsact bool, before *testUplinks) testUplinks {
	t.Helper()
	u := testUplinks{table: &memoryMap[int, Uplink]{}, addresses: &memoryMap[netip.Addr, Address]{}}
	if before != nil {
		u.table, u.addresses = before.table, before.addresses
	}
	var err error
	u.Uplinks, err = FollowUplinks(UplinksConfig{Prefix: "slc", PinDir: testPins, Clsact: clsact, Log: testLog(t)},
		testUplinkPrograms{t}, u.table, u.addresses)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		u.Close()
		if err := os.RemoveAll(testPins); err != nil {
			t.Error(err)
		}
	})
	return u
}

// has waits until the map uplinks has exactly these devices, each with its programs attached.
func (u testUplinks) has(t *testing.T, want map[int]Uplink) {
	t.Helper()
	var diff string
	defer func() {
		if t.Failed() {
			t.Logf("uplinks differ (-want +got):\n%s", diff)
		}
	}()
	eventually(t, "the uplinks are as wanted", func() bool {
		got, err := u.table.List()
		if err != nil {
			t.Fatal(err)
		}
		diff = cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }))
		if diff != "" {
			return false
		}
		for ifindex := range want {
			if hung(t, ifindex, u.hooks.clsact) != 1 {
				diff = "device " + strconv.Itoa(ifindex) + " has not its program"
				return false
			}
		}
		return true
	})
}

// owns waits until the host's addresses in the map endpoints are these.
func (u testUplinks) owns(t *testing.T, want ...string) {
	t.Helper()
	var got map[netip.Addr]Address
	eventually(t, "the host's addresses are as wanted", func() bool {
		got, _ = u.addresses.List()
		for _, a := range want {
			if !got[netip.MustParseAddr(a)].Host {
				return false
			}
		}
		return len(got) == len(want)
	})
}

// wire adds a veth whose other end is in a namespace of the test, up.
func wire(t *testing.T, name string) netlink.Link {
	t.Helper()
	nl := netlinkHandle(t)
	other := netns.Temp(t, "")
	err := nl.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, TxQLen: -1, Flags: net.FlagUp}, PeerName: "eth0",
		PeerNamespace: netlink.NsFd(other.FD())})
	if err != nil {
		t.Fatal(err)
	}
	l, err := nl.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlinkHandle(t).LinkDel(l) })
	return l
}

func addAddr(t *testing.T, l netlink.Link, cidr string) {
	t.Helper()
	if err := netlinkHandle(t).AddrAdd(l, addrOf(t, cidr)); err != nil {
		t.Fatalf("add %s: %v", cidr, err)
	}
}

func addrOf(t *testing.T, cidr string) *netlink.Addr {
	t.Helper()
	a, err := netlink.ParseAddr(cidr)
	if err != nil {
		t.Fatal(err)
	}
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

func TestPrivilegedUplinks(t *testing.T) {
	bothWays(t, func(t *testing.T, clsact bool) {
		u := follow(t, clsact, nil)
		u.has(t, nil)
		nl := netlinkHandle(t)

		wan := wire(t, "wan")
		index := wan.Attrs().Index
		addAddr(t, wan, "10.7.0.5/24")
		ip4 := netip.MustParseAddr("10.7.0.5")
		u.has(t, map[int]Uplink{index: {Name: "wan", Addr4: ip4, MTU: 1500}})
		u.owns(t, "10.7.0.5")

		addAddr(t, wan, "2001:db8::5/64")
		if err := nl.LinkSetMTU(wan, 1400); err != nil {
			t.Fatal(err)
		}
		ip6 := netip.MustParseAddr("2001:db8::5")
		u.has(t, map[int]Uplink{index: {Name: "wan", Addr4: ip4, Addr6: ip6, MTU: 1400}})
		u.owns(t, "10.7.0.5", "2001:db8::5")

		// The address changes, with the new one there before the old one goes.
		addAddr(t, wan, "10.7.0.6/24")
		if err := nl.AddrDel(wan, addrOf(t, "10.7.0.5/24")); err != nil {
			t.Fatal(err)
		}
		// Unless the kernel promotes secondary addresses, the new one went with its primary.
		if err := nl.AddrReplace(wan, addrOf(t, "10.7.0.6/24")); err != nil {
			t.Fatal(err)
		}
		u.has(t, map[int]Uplink{index: {Name: "wan", Addr4: netip.MustParseAddr("10.7.0.6"), Addr6: ip6, MTU: 1400}})
		u.owns(t, "10.7.0.6", "2001:db8::5")

		lan := wire(t, "lan")
		if err := nl.RouteAdd(&netlink.Route{LinkIndex: lan.Attrs().Index, Dst: addrOf(t, "10.8.0.0/16").IPNet, Scope: netlink.SCOPE_LINK}); err != nil {
			t.Fatal(err)
		}
		u.has(t, map[int]Uplink{
			index:             {Name: "wan", Addr4: netip.MustParseAddr("10.7.0.6"), Addr6: ip6, MTU: 1400},
			lan.Attrs().Index: {Name: "lan", MTU: 1500},
		})
		if err := nl.LinkSetDown(wan); err != nil {
			t.Fatal(err)
		}
		u.has(t, map[int]Uplink{lan.Attrs().Index: {Name: "lan", MTU: 1500}})
		eventually(t, "programs are detached", func() bool { return hung(t, index, clsact) == 0 })
		u.owns(t)
		if err := nl.LinkDel(lan); err != nil {
			t.Fatal(err)
		}
		u.has(t, nil)
		eventually(t, "pins are gone", func() bool { names, err := u.hooks.names(); return err == nil && len(names) == 0 })
		if _, err := u.List(); err != nil {
			t.Error(err)
		}
	})
}

// TestPrivilegedUplinkKinds: which devices count.
func TestPrivilegedUplinkKinds(t *testing.T) {
	testutil.Privileged(t)
	netns.Unchanged(t, netns.BPFDir)
	nl := netlinkHandle(t)
	u := follow(t, false, nil)

	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "docker0", TxQLen: -1, Flags: net.FlagUp}}
	if err := nl.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlinkHandle(t).LinkDel(bridge) })
	addAddr(t, bridge, "172.17.0.1/16")
	port := wire(t, "port")
	if err := nl.LinkSetMaster(port, bridge); err != nil {
		t.Fatal(err)
	}
	addAddr(t, port, "10.70.0.1/24")

	tun := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tun0", TxQLen: -1}, Mode: netlink.TUNTAP_MODE_TUN}
	if err := nl.LinkAdd(tun); err != nil {
		t.Logf("without a tun device: %v", err)
	} else {
		t.Cleanup(func() { _ = netlinkHandle(t).LinkDel(tun) })
		if err := nl.LinkSetUp(tun); err != nil {
			t.Fatal(err)
		}
		addAddr(t, tun, "10.71.0.1/24")
	}

	// Another driver's container: nothing but a host route.
	foreign := wire(t, "cali0")
	if err := nl.RouteAdd(&netlink.Route{LinkIndex: foreign.Attrs().Index, Dst: addrOf(t, "10.72.0.9/32").IPNet, Scope: netlink.SCOPE_LINK}); err != nil {
		t.Fatal(err)
	}
	l := openLinks(t, LinksConfig{})
	if err := l.Gateways(addrs("10.9.0.1", "fd09::1")); err != nil {
		t.Fatal(err)
	}
	if err := l.Configure(l.take(t), LinkConfig{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, Addrs: addrs("10.9.0.2"), Gateways: addrs("10.9.0.1")}); err != nil {
		t.Fatal(err)
	}
	owned := []string{"172.17.0.1", "10.70.0.1", "10.9.0.1", "fd09::1"}
	uplinks := map[int]Uplink{bridge.Attrs().Index: {Name: "docker0", Addr4: netip.MustParseAddr("172.17.0.1"), MTU: 1500}}
	if index := tun.Attrs().Index; index != 0 {
		owned = append(owned, "10.71.0.1")
		uplinks[index] = Uplink{Name: "tun0", Addr4: netip.MustParseAddr("10.71.0.1"), MTU: 1500, NoEthernet: true}
	}
	u.owns(t, owned...)
	u.has(t, uplinks)
}

// TestPrivilegedUplinksAdopt: a restart keeps the links and replaces the programs, and clears what is stale.
func TestPrivilegedUplinksAdopt(t *testing.T) {
	bothWays(t, func(t *testing.T, clsact bool) {
		wan, other := wire(t, "wan"), wire(t, "other")
		addAddr(t, wan, "10.7.0.5/24")
		addAddr(t, other, "10.8.0.5/24")
		first := follow(t, clsact, nil)
		index := wan.Attrs().Index
		first.has(t, map[int]Uplink{
			index:               {Name: "wan", Addr4: netip.MustParseAddr("10.7.0.5"), MTU: 1500},
			other.Attrs().Index: {Name: "other", Addr4: netip.MustParseAddr("10.8.0.5"), MTU: 1500},
		})
		linkID, program := attachedAt(t, index, clsact)
		// An older version had a program for what leaves too.
		if err := first.hooks.attach(strconv.Itoa(index), index, link.Egress, first.program); err != nil {
			t.Fatal(err)
		}
		first.stop()
		first.done.Wait()

		// While no daemon runs, one uplink goes, and another stops being one.
		if err := netlinkHandle(t).AddrDel(other, addrOf(t, "10.8.0.5/24")); err != nil {
			t.Fatal(err)
		}
		if err := first.addresses.Put(netip.MustParseAddr("10.9.0.2"), Address{Slot: 3, Ifindex: 9, Identity: 300}); err != nil {
			t.Fatal(err)
		}
		again := follow(t, clsact, &first)
		again.has(t, map[int]Uplink{index: {Name: "wan", Addr4: netip.MustParseAddr("10.7.0.5"), MTU: 1500}})
		eventually(t, "the other device has no program", func() bool { return hung(t, other.Attrs().Index, clsact) == 0 })
		newLink, newProgram := attachedAt(t, index, clsact)
		if newLink != linkID || newProgram == program {
			t.Errorf("link %d program %d, before link %d program %d: want the same link, another program", newLink, newProgram, linkID, program)
		}
		got, _ := again.addresses.List()
		if len(got) != 2 || !got[netip.MustParseAddr("10.7.0.5")].Host || got[netip.MustParseAddr("10.9.0.2")].Slot != 3 {
			t.Errorf("addresses %v: want the host's and the container's", got)
		}
	})
}

// attachedAt returns the ids of the link (of tcx) and of the program at the ingress of a device.
func attachedAt(t *testing.T, ifindex int, clsact bool) (linkID, program uint32) {
	t.Helper()
	if clsact {
		h, err := link.Open("slc")
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		if program, err = h.FilterProgram(ifindex, link.Ingress); err != nil {
			t.Fatal(err)
		}
		return 0, program
	}
	r, err := ebpflink.QueryPrograms(ebpflink.QueryOptions{Target: ifindex, Attach: ebpf.AttachTCXIngress})
	if err != nil || len(r.Programs) != 1 {
		t.Fatalf("programs %+v, %v", r, err)
	}
	id, _ := r.Programs[0].LinkID()
	return uint32(id), uint32(r.Programs[0].ID)
}

// TestPrivilegedUplinksErrors: a map that refuses is reported and tried again, and spoils nothing else.
func TestPrivilegedUplinksErrors(t *testing.T) {
	testutil.Privileged(t)
	netns.Unchanged(t, netns.BPFDir)
	u := follow(t, false, nil)
	full := errors.New("full")
	u.addresses.mu.Lock()
	u.addresses.refuse = full
	u.addresses.mu.Unlock()
	wan := wire(t, "wan")
	addAddr(t, wan, "10.7.0.5/24")
	want := map[int]Uplink{wan.Attrs().Index: {Name: "wan", Addr4: netip.MustParseAddr("10.7.0.5"), MTU: 1500}}
	u.has(t, want)
	eventually(t, "the error is reported", func() bool { _, err := u.List(); return errors.Is(err, full) })
	u.addresses.mu.Lock()
	u.addresses.refuse = nil
	u.addresses.mu.Unlock()
	u.owns(t, "10.7.0.5")
	eventually(t, "the error is over", func() bool { _, err := u.List(); return err == nil })

	// An address that a container has is not taken from it.
	theirs := netip.MustParseAddr("10.7.0.9")
	if err := u.addresses.Put(theirs, Address{Slot: 3, Identity: 300}); err != nil {
		t.Fatal(err)
	}
	addAddr(t, wan, "10.7.0.9/24")
	eventually(t, "the conflict is reported", func() bool { _, err := u.List(); return err != nil })
	if got, _ := u.addresses.List(); got[theirs].Host {
		t.Error("a container's address became the host's")
	}
}

// TestPrivilegedUplinksLAN: the prefixes of the local network follow addresses, routes and devices.
func TestPrivilegedUplinksLAN(t *testing.T) {
	testutil.Privileged(t)
	netns.Unchanged(t, netns.BPFDir)
	wan := wire(t, "wan")
	addAddr(t, wan, "10.7.0.5/24")
	u := follow(t, false, nil)
	var mu sync.Mutex
	var told []string
	u.OnNetwork(func(now HostNetwork) {
		mu.Lock()
		defer mu.Unlock()
		told = nil
		for _, p := range now.LAN {
			if !p.Addr().IsLinkLocalUnicast() { // IPv6 adds these when the link is up
				told = append(told, p.String())
			}
		}
	})
	is := func(want ...string) {
		t.Helper()
		eventually(t, "the local network is "+strings.Join(want, ", "), func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Equal(told, want)
		})
	}
	is("10.7.0.0/24")
	addAddr(t, wan, "2001:db8::5/64")
	is("10.7.0.0/24", "2001:db8::/64")
	nl := netlinkHandle(t)
	route := &netlink.Route{LinkIndex: wan.Attrs().Index, Dst: addrOf(t, "192.168.0.0/16").IPNet, Gw: net.IPv4(10, 7, 0, 1)}
	if err := nl.RouteAdd(route); err != nil {
		t.Fatal(err)
	}
	is("10.7.0.0/24", "192.168.0.0/16", "2001:db8::/64")
	if err := nl.RouteDel(route); err != nil {
		t.Fatal(err)
	}
	is("10.7.0.0/24", "2001:db8::/64")
	if err := nl.LinkSetDown(wan); err != nil {
		t.Fatal(err)
	}
	is()
}

// TestPrivilegedUplinksQuiet: containers that come and go cause no work.
func TestPrivilegedUplinksQuiet(t *testing.T) {
	testutil.Privileged(t)
	netns.Unchanged(t, netns.BPFDir)
	wan := wire(t, "wan")
	addAddr(t, wan, "10.7.0.5/24")
	u := follow(t, false, nil)
	u.has(t, map[int]Uplink{wan.Attrs().Index: {Name: "wan", Addr4: netip.MustParseAddr("10.7.0.5"), MTU: 1500}})
	writes := u.table.written() + u.addresses.written()
	l := openLinks(t, LinksConfig{})
	v := l.take(t)
	if err := l.Configure(v, LinkConfig{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, Addrs: addrs("10.9.0.2")}); err != nil {
		t.Fatal(err)
	}
	if err := l.Release(v.Slot); err != nil {
		t.Fatal(err)
	}
	eventually(t, "slot is free", func() bool { return l.busy() == 0 })
	addAddr(t, wan, "10.7.1.5/24") // whatever came before has been handled when this shows
	u.owns(t, "10.7.0.5", "10.7.1.5")
	if got := u.table.written() + u.addresses.written(); got != writes+1 {
		t.Errorf("%d writes to the maps for one new address", got-writes)
	}
	if _, err := os.Stat(filepath.Join(testPins, "uplinks", strconv.Itoa(v.Ifindex))); err == nil {
		t.Error("a container's device became an uplink")
	}
}

// What an uplink lacks is not in the log.
func TestUplinkFields(t *testing.T) {
	for _, c := range []struct {
		uplink Uplink
		want   logrus.Fields
	}{
		{Uplink{Name: "wan", Addr4: netip.MustParseAddr("10.7.0.5"), MTU: 1500}, logrus.Fields{"device": "wan", "ipv4": "10.7.0.5", "mtu": 1500}},
		{Uplink{Name: "wan", Addr6: netip.MustParseAddr("2001:db8::5"), MTU: 1500}, logrus.Fields{"device": "wan", "ipv6": "2001:db8::5", "mtu": 1500}},
		{Uplink{Name: "tun", MTU: 1400}, logrus.Fields{"device": "tun", "mtu": 1400}},
	} {
		if diff := cmp.Diff(c.want, c.uplink.fields()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
