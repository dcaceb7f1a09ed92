package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/netns"
	"github.com/sluice-net/sluice/internal/testutil"
)

// open opens a Host in the tests' namespace, which must be left as it was.
func open(t *testing.T, prefix string) *Host {
	t.Helper()
	testutil.Privileged(t)
	netns.Unchanged(t)
	h, err := Open(prefix)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, h *Host, slot uint32) Pair {
	t.Helper()
	p, err := h.Create(slot)
	must(t, err)
	t.Cleanup(func() { must(t, h.Delete(slot)) })
	return p
}

// device adds a veth whose ends both stay here, up.
func device(t *testing.T, h *Host, name string, cidrs ...string) netlink.Link {
	t.Helper()
	must(t, h.nl.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, TxQLen: -1, Flags: net.FlagUp}, PeerName: name + "peer"}))
	l, err := h.byName(name)
	must(t, err)
	t.Cleanup(func() { _ = h.nl.LinkDel(l) })
	peer, err := h.byName(name + "peer")
	must(t, err)
	must(t, h.nl.LinkSetUp(peer))
	for _, c := range cidrs {
		a, err := netlink.ParseAddr(c)
		must(t, err)
		a.Flags = unix.IFA_F_NODAD
		must(t, h.nl.AddrAdd(l, a))
	}
	return l
}

func sysctl(t *testing.T, family, device, key string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(sysctls, family, "conf", device, key))
	must(t, err)
	return strings.TrimSpace(string(b))
}

func TestPrivilegedCreate(t *testing.T) {
	h := open(t, "slc")
	p := create(t, h, 31)
	if p.Name != "slc1f" || p.Peer != "slcp1f" || p.Slot != 31 || !Exists(p) {
		t.Errorf("made %+v", p)
	}
	host, err := h.byName(p.Name)
	must(t, err)
	peer, err := h.byName(p.Peer)
	must(t, err)
	if a := host.Attrs(); a.RawFlags&unix.IFF_UP == 0 || a.TxQLen != queueLength || a.HardwareAddr.String() != p.MAC.String() || p.MAC[0]&3 != 2 {
		t.Errorf("host's side %+v of %+v", a, p)
	}
	if a := peer.Attrs(); a.RawFlags&unix.IFF_UP != 0 || a.TxQLen != queueLength || a.ParentIndex != p.Ifindex || a.HardwareAddr[0]&3 != 2 {
		t.Errorf("peer %+v of %+v", a, p)
	}
	for _, s := range hostSide {
		if got := sysctl(t, s.family, p.Name, s.key); got != s.value {
			t.Errorf("%s %s is %s, want %s", s.family, s.key, got, s.value)
		}
	}
	if _, err := h.Create(31); !errors.Is(err, ErrExists) {
		t.Errorf("made twice: %v", err)
	}
	pairs, err := h.List()
	if err != nil || len(pairs) != 1 || pairs[31].Ifindex != p.Ifindex {
		t.Errorf("list %+v, %v", pairs, err)
	}
	must(t, h.Delete(31), h.Delete(31))
	if Exists(p) {
		t.Error("deleted, and still there")
	}
	stranger := device(t, h, "slc7") // a veth, but of nobody's slot as far as we can tell: ours by name
	if pairs, _ := h.List(); len(pairs) != 1 {
		t.Errorf("list %+v", pairs)
	}
	must(t, h.nl.LinkDel(stranger))
	must(t, h.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "slc8", TxQLen: -1}}))
	if pairs, _ := h.List(); len(pairs) != 0 || h.Delete(8) == nil {
		t.Errorf("a bridge passes for a pair: %+v", pairs)
	}
	must(t, h.nl.LinkDel(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "slc8"}}))
}

// TestPrivilegedQuietDevice: a pair that comes up has neither link-local addresses nor, without IPv6 addresses, IPv6.
func TestPrivilegedQuietDevice(t *testing.T) {
	h := open(t, "slc")
	p := create(t, h, 1)
	peer, err := h.byName(p.Peer)
	must(t, err)
	must(t, h.nl.LinkSetUp(peer))
	c := Config{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, Addrs: []netip.Addr{netip.MustParseAddr("10.9.0.2")}}
	must(t, h.Configure(1, c))
	if got := sysctl(t, "ipv6", p.Name, "disable_ipv6"); got != "1" {
		t.Error("IPv6 is on without an IPv6 address")
	}
	c.Addrs = append(c.Addrs, netip.MustParseAddr("fd09::2"))
	must(t, h.Configure(1, c))
	for key, want := range map[string]string{"disable_ipv6": "0", "forwarding": "1", "addr_gen_mode": "1", "accept_ra": "0"} {
		if got := sysctl(t, "ipv6", p.Name, key); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	host, err := h.byName(p.Name)
	must(t, err)
	if addrs, err := h.nl.AddrList(host, netlink.FAMILY_ALL); err != nil || len(addrs) != 0 {
		t.Errorf("addresses %v, %v", addrs, err)
	}
}

// TestPrivilegedIPv6Off: the error says what to do; IPv4 does without.
func TestPrivilegedIPv6Off(t *testing.T) {
	h := open(t, "slc")
	must(t, setSysctl("ipv6", "lo", disableIPv6, "1"))
	defer func() { must(t, setSysctl("ipv6", "lo", disableIPv6, "0")) }()
	defer func() { must(t, h.SetGateways(nil)) }()
	must(t, h.SetGateways([]netip.Addr{netip.MustParseAddr("10.9.0.1")}))
	err := h.SetGateways([]netip.Addr{netip.MustParseAddr("fd09::1")})
	if err == nil || !strings.Contains(err.Error(), "run sysctl -w net.ipv6.conf.lo.disable_ipv6=0") {
		t.Errorf("error %v", err)
	}
}

// TestPrivilegedConfigureRestoresSysctls: what udev changed after the pair was made is changed back.
func TestPrivilegedConfigureRestoresSysctls(t *testing.T) {
	h := open(t, "slc")
	p := create(t, h, 1)
	must(t, setSysctl("ipv4", p.Name, "rp_filter", "2"), setSysctl("ipv4", p.Name, "forwarding", "0"))
	must(t, h.Configure(1, Config{}))
	for key, want := range map[string]string{"rp_filter": "0", "forwarding": "1"} {
		if got := sysctl(t, "ipv4", p.Name, key); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
}

// TestPrivilegedReadOnlySysctls: as in a managed Docker plugin.
func TestPrivilegedReadOnlySysctls(t *testing.T) {
	h := open(t, "slc")
	must(t, unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND, ""))
	defer unix.Unmount("/proc/sys", unix.MNT_DETACH)
	must(t, unix.Mount("", "/proc/sys", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	if err := os.WriteFile(filepath.Join(sysctls, "ipv4/conf/lo/forwarding"), []byte("1"), 0); !errors.Is(err, unix.EROFS) {
		t.Fatalf("/proc/sys is not read-only: %v", err)
	}
	p := create(t, h, 1)
	for _, s := range hostSide {
		if got := sysctl(t, s.family, p.Name, s.key); got != s.value {
			t.Errorf("%s %s is %s, want %s", s.family, s.key, got, s.value)
		}
	}
	if err := setSysctl("ipv4", "nothing", "forwarding", "1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a device that is not there: %v", err)
	}
}

func TestPrivilegedGateways(t *testing.T) {
	h := open(t, "slc")
	lo, err := h.loopback()
	must(t, err)
	foreign, _ := netlink.ParseAddr("10.66.0.1/32")
	foreign6, _ := netlink.ParseAddr("fd66::1/128")
	foreign6.Flags = unix.IFA_F_NODAD
	must(t, h.nl.AddrAdd(lo, foreign), h.nl.AddrAdd(lo, foreign6))
	defer func() { must(t, h.nl.AddrDel(lo, foreign), h.nl.AddrDel(lo, foreign6)) }()
	other, err := Open("other")
	must(t, err)
	defer other.Close()
	must(t, other.SetGateways([]netip.Addr{netip.MustParseAddr("10.99.0.1"), netip.MustParseAddr("fd99::1")}))
	defer func() { must(t, other.SetGateways(nil)) }()

	for _, want := range [][]string{{"10.9.0.1", "10.10.0.1", "fd09::1"}, {"10.9.0.1", "fd09::1"}, {"10.9.0.1", "fd09::1"}, {"fd0a::1"}, {}} {
		var addrs []netip.Addr
		for _, a := range want {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
		must(t, h.SetGateways(addrs))
		got, err := h.Gateways()
		must(t, err)
		slices.SortFunc(got, netip.Addr.Compare)
		if fmt.Sprint(got) != fmt.Sprint(addrs) {
			t.Errorf("gateways %v, want %v", got, addrs)
		}
		for _, a := range append(addrs, netip.MustParseAddr("10.66.0.1"), netip.MustParseAddr("fd66::1"), netip.MustParseAddr("fd99::1")) {
			if c, err := net.ListenPacket("udp", netip.AddrPortFrom(a, 0).String()); err != nil {
				t.Errorf("%s is not the host's: %v", a, err)
			} else {
				c.Close()
			}
		}
		if routes, err := h.nl.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{LinkIndex: 1}, netlink.RT_FILTER_OIF); err != nil || len(routes) > 1 {
			t.Errorf("gateways made routes: %v, %v", routes, err) // one is the other address's, fd66::1
		}
	}
	if got, _ := other.Gateways(); len(got) != 2 {
		t.Errorf("another daemon has %v left", got)
	}
}

// TestPrivilegedGatewaysAreNoSource: packets to elsewhere never have a gateway's address.
func TestPrivilegedGatewaysAreNoSource(t *testing.T) {
	h := open(t, "slc")
	must(t, h.SetGateways([]netip.Addr{netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("fd09::1")}))
	defer func() { must(t, h.SetGateways(nil)) }()
	source := func(to string) string {
		t.Helper()
		routes, err := h.nl.RouteGet(net.ParseIP(to))
		must(t, err)
		return routes[0].Src.String()
	}
	// An unnumbered device borrows an address: of the loopback device first, unless its scope is link.
	bare := device(t, h, "bare")
	_, elsewhere, _ := net.ParseCIDR("192.0.2.0/24")
	must(t, h.nl.RouteAdd(&netlink.Route{LinkIndex: bare.Attrs().Index, Dst: elsewhere, Scope: netlink.SCOPE_LINK}))
	if got := source("192.0.2.1"); got == "10.9.0.1" {
		t.Error("an unnumbered device borrowed the gateway's address")
	}
	// So does IPv6. Among the addresses of other devices the gateway's would win, being unique local as the destination
	// is, were it not deprecated.
	device(t, h, "wan", "2001:db8::5/64")
	_, lan, _ := net.ParseCIDR("fd09:1::/64")
	must(t, h.nl.RouteAdd(&netlink.Route{LinkIndex: bare.Attrs().Index, Dst: lan}))
	if got := source("fd09:1::1"); got != "2001:db8::5" {
		t.Errorf("source towards fd09:1::1 is %s", got)
	}
}

// TestPrivilegedConfigureAddsGateway: a route can't be added before its preferred source is there.
func TestPrivilegedConfigureAddsGateway(t *testing.T) {
	h := open(t, "slc")
	create(t, h, 1)
	gateways := []netip.Addr{netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("fd09::1")}
	c := Config{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, Addrs: []netip.Addr{netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("fd09::2")}, Gateways: gateways}
	must(t, h.Configure(1, c))
	defer func() { must(t, h.SetGateways(nil)) }()
	for i, a := range c.Addrs {
		routes, err := h.nl.RouteGet(a.AsSlice())
		must(t, err)
		if !routes[0].Src.Equal(gateways[i].AsSlice()) {
			t.Errorf("source towards %s is %s", a, routes[0].Src)
		}
	}
	// An address moves to another slot before its old pair is gone.
	create(t, h, 2)
	must(t, h.Configure(2, c))
	must(t, h.Unroute(1), h.Unroute(1), h.Unroute(77))
	for _, a := range c.Addrs {
		routes, err := h.nl.RouteGet(a.AsSlice())
		must(t, err)
		if l, _ := h.nl.LinkByIndex(routes[0].LinkIndex); l.Attrs().Name != "slc2" {
			t.Errorf("%s is reached by %s", a, l.Attrs().Name)
		}
	}
}

// TestPrivilegedForeignFilters: other tools' filters and disciplines stay.
func TestPrivilegedForeignFilters(t *testing.T) {
	h := open(t, "slc")
	d := device(t, h, "wan")
	index := d.Attrs().Index
	must(t, h.nl.QdiscAdd(&netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index,
		Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}))
	theirs := &netlink.MatchAll{FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.HANDLE_MIN_EGRESS, Priority: filterPriority + 1, Protocol: unix.ETH_P_ALL}}
	if err := h.nl.FilterAdd(theirs); err != nil {
		testutil.NotSupported(t, "cls_matchall", "", err)
	}
	if _, err := h.FilterProgram(index, Ingress); !errors.Is(err, ErrNotFound) {
		t.Errorf("found a program: %v", err)
	}
	must(t, h.DeleteFilter(index, Ingress), h.DeleteFilter(index, Egress))
	if filters, err := h.filters(index, Egress); err != nil || len(filters) != 1 {
		t.Errorf("the other tool's filter is gone: %v, %v", filters, err)
	}
	must(t, h.DeleteFilter(1, Ingress)) // no clsact there
}

func TestPrivilegedNetwork(t *testing.T) {
	h := open(t, "slc")
	p := create(t, h, 1)
	must(t, h.Configure(1, Config{Addrs: []netip.Addr{netip.MustParseAddr("10.9.0.2")}}))
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", TxQLen: -1}}
	must(t, h.nl.LinkAdd(bridge))
	defer func() { must(t, h.nl.LinkDel(bridge)) }()
	wan := device(t, h, "wan", "10.7.0.5/24", "10.7.0.6/24", "2001:db8::5/64")
	port := device(t, h, "port")
	must(t, h.nl.LinkSetMaster(port, bridge))
	must(t, h.nl.RouteAdd(&netlink.Route{LinkIndex: wan.Attrs().Index, Gw: net.ParseIP("10.7.0.1"), Table: 77}))

	n, err := h.Network()
	must(t, err)
	byName := map[string]Device{}
	for _, d := range n.Devices {
		byName[d.Name] = d
	}
	if d := byName["lo"]; !d.Loopback || !d.Up {
		t.Errorf("lo: %+v", d)
	}
	if d := byName[p.Name]; !d.Own || !byName[p.Peer].Own || byName["wan"].Own {
		t.Errorf("ours: %+v", d)
	}
	if byName["port"].Master != "bridge" || byName["br0"].Type != "bridge" {
		t.Errorf("bridge %+v with port %+v", byName["br0"], byName["port"])
	}
	d := byName["wan"]
	if !d.Ethernet || !d.Up || d.MTU != 1500 || len(d.Addrs) < 3 {
		t.Errorf("wan: %+v", d)
	}
	for _, a := range d.Addrs {
		if a.Secondary != (a.Addr().String() == "10.7.0.6") || a.Temporary || a.Dynamic || a.Unusable && !a.Addr().IsLinkLocalUnicast() {
			t.Errorf("address %+v", a)
		}
	}
	uplinks := n.Uplinks()
	if len(uplinks) != 2 { // both ends of wan are here, the other has a link-local address only
		uplinks = slices.DeleteFunc(uplinks, func(u Uplink) bool { return u.Name != "wan" })
	}
	if len(uplinks) == 0 || uplinks[0].Name != "wan" || uplinks[0].Addr4.String() != "10.7.0.5" || uplinks[0].Addr6.String() != "2001:db8::5" {
		t.Errorf("uplinks %+v", uplinks)
	}
}

// TestPrivilegedWatch: changes are noticed, also those whose messages were lost.
func TestPrivilegedWatch(t *testing.T) {
	h := open(t, "slc")
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	calls := make(chan struct{}) // unbuffered: the watcher stands still until somebody reads
	go func() {
		ended <- h.Watch(ctx, func() { close(ready) }, func() { calls <- struct{}{} })
	}()
	<-ready
	noticed := func(what string) {
		t.Helper()
		select {
		case <-calls:
		case <-time.After(20 * time.Second):
			t.Fatal("not noticed: " + what)
		}
	}
	create(t, h, 1) // ours: not noticed, as the next shows
	wan := device(t, h, "wan")
	noticed("a device")

	// More messages than the socket's buffer holds, while nobody reads.
	route := netlink.Route{LinkIndex: wan.Attrs().Index, Scope: netlink.SCOPE_LINK}
	for i := range 2000 {
		route.Dst = hostNet(netip.AddrFrom4([4]byte{10, 50, byte(i >> 8), byte(i)}))
		must(t, h.nl.RouteAdd(&route))
	}
	noticed("routes")
	drained := false
	for !drained {
		select {
		case <-calls:
		case <-time.After(300 * time.Millisecond):
			drained = true
		}
	}
	a, err := netlink.ParseAddr("10.7.0.5/24")
	must(t, err, h.nl.AddrAdd(wan, a))
	noticed("an address, after messages were lost")
	must(t, h.nl.QdiscReplace(queue("pfifo", wan)))
	noticed("a queue")
	cancel()
	for {
		select {
		case <-calls:
			continue
		case err := <-ended:
			if err != nil {
				t.Errorf("ended with %v", err)
			}
			return
		case <-time.After(20 * time.Second):
			t.Fatal("does not end")
		}
	}
}

// queue is the only one of a device.
func queue(kind string, l netlink.Link) netlink.Qdisc {
	return &netlink.GenericQdisc{QdiscType: kind, QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index,
		Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT}}
}

// TestPrivilegedPaces: an uplink says whether it keeps packets until their departure time.
func TestPrivilegedPaces(t *testing.T) {
	h := open(t, "slc")
	wan := device(t, h, "wan", "192.0.2.1/24")
	check := func(about string, want bool) {
		t.Helper()
		n, err := h.Network()
		must(t, err)
		for _, u := range n.Uplinks() {
			if u.Name == "wan" {
				if u.Paces != want {
					t.Errorf("%s: paces %t", about, u.Paces)
				}
				return
			}
		}
		t.Fatalf("%s: wan is no uplink", about)
	}
	check("as it comes", false)
	must(t, h.nl.QdiscReplace(queue("pfifo", wan)))
	check("pfifo", false)
	must(t, h.nl.QdiscDel(queue("pfifo", wan)))
	if err := h.nl.QdiscReplace(queue("fq", wan)); err != nil {
		testutil.NotSupported(t, "fq", "", err)
	}
	check("fq", true)
	must(t, h.nl.QdiscDel(queue("fq", wan)))
	check("no longer", false)
}
