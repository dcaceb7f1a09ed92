package ipam

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/ipam/pool"
)

func TestExplicitPool(t *testing.T) {
	f := newFixture(t)
	p := f.pool("10.1.2.3/16", "10.1.4.0/24")
	if p.ID != "10.1.0.0/16" || p.Subnet != netip.MustParsePrefix("10.1.0.0/16") || p.Automatic {
		t.Errorf("pool is %+v", p)
	}
	for _, want := range []struct{ ask, get string }{
		{"", "10.1.4.0/16"}, {"", "10.1.4.1/16"}, {"10.1.0.1", "10.1.0.1/16"}, {"10.1.4.2", "10.1.4.2/16"}, {"", "10.1.4.3/16"},
	} {
		if got := f.lease(p.ID, want.ask); got != want.get {
			t.Errorf("RequestAddress(%q) = %s, want %s", want.ask, got, want.get)
		}
	}
	six := f.pool("fd00:1::/64", "")
	if got := f.lease(six.ID, ""); got != "fd00:1::1/64" {
		t.Errorf("first IPv6 address is %s", got)
	}
}

func TestPoolRefusals(t *testing.T) {
	f := newFixture(t)
	f.pool("10.1.0.0/16", "")
	for _, c := range []struct{ subnet, choice, want string }{
		{"10.1.0.0/16", "", "subnet overlaps 10.1.0.0/16 of another network"},
		{"10.1.5.0/24", "", "overlaps 10.1.0.0/16"},
		{"10.0.0.0/8", "", "overlaps 10.1.0.0/16"},
		{"10.2.0.0/16", "10.3.0.0/24", "not inside"},
		{"127.0.0.0/24", "", "no addresses for hosts"},
		{"10.2.0.0/32", "", "too small"},
		{"", "10.2.0.0/24", "needs a subnet"},
	} {
		if _, err := f.request(c.subnet, c.choice); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("RequestPool(%q, %q): %v, want %q", c.subnet, c.choice, err, c.want)
		}
	}
	_, err := f.RequestPool(t.Context(), PoolRequest{Subnet: netip.MustParsePrefix("10.9.0.0/16"), IPv6: true})
	if err == nil {
		t.Error("an IPv4 subnet was accepted as IPv6")
	}
	if got := len(f.Pools()); got != 1 {
		t.Errorf("%d pools are left, want 1", got)
	}
}

func TestAutomaticPoolsAreDistinctAndFree(t *testing.T) {
	f := newFixture(t, "172.30.0.0/20:24")
	f.host.prefixes = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("128.0.0.0/1"), // default routes
		netip.MustParsePrefix("172.30.0.0/23"), netip.MustParsePrefix("172.30.3.7/32"),
	}
	if err := os.WriteFile(f.conf, []byte("# x\nnameserver 172.30.2.53\nnameserver fe80::1%eth0\nsearch a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.pool("172.30.4.0/22", "")
	var got []string
	for range 3 {
		got = append(got, f.pool("", "").Subnet.String())
	}
	if diff := cmp.Diff([]string{"172.30.8.0/24", "172.30.9.0/24", "172.30.10.0/24"}, got); diff != "" {
		t.Errorf("subnets (-want +got):\n%s", diff)
	}
	// A released one is not the next.
	if err := f.ReleasePool(t.Context(), "172.30.10.0/24"); err != nil {
		t.Fatal(err)
	}
	if p := f.pool("", ""); p.ID != "172.30.11.0/24" || !p.Automatic {
		t.Errorf("next automatic pool is %+v", p)
	}
	for range 5 {
		f.pool("", "")
	}
	if _, err := f.request("", ""); err == nil || !strings.Contains(err.Error(), "--subnet") {
		t.Errorf("exhausted: %v", err)
	}
	f.host.err = errors.New("netlink is down")
	if _, err := f.request("", ""); !errors.Is(err, f.host.err) {
		t.Errorf("without the host's routes: %v", err)
	}
}

func TestAutomaticIPv6(t *testing.T) {
	f := newFixture(t)
	auto := func() Pool {
		t.Helper()
		p, err := f.RequestPool(t.Context(), PoolRequest{IPv6: true})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	first, second := auto(), auto()
	f.restart()
	third := auto()
	ula := netip.PrefixFrom(first.Subnet.Addr(), 48).Masked()
	for i, p := range []Pool{first, second, third} {
		if !netip.MustParsePrefix("fd00::/8").Contains(p.Subnet.Addr()) || p.Subnet.Bits() != 64 || !ula.Contains(p.Subnet.Addr()) {
			t.Errorf("pool %d is %s", i, p.Subnet)
		}
	}
	if first.ID == second.ID || second.ID == third.ID || first.ID == third.ID {
		t.Errorf("pools %s, %s, %s are not distinct", first.ID, second.ID, third.ID)
	}
	other := newFixture(t)
	p, err := other.RequestPool(t.Context(), PoolRequest{IPv6: true})
	if err != nil || ula.Contains(p.Subnet.Addr()) {
		t.Errorf("another host chose the same prefix %s (%v)", p.Subnet, err)
	}
}

// dockerd asks without end while it finds the answers to overlap a route.
func TestEndlessRequestsEnd(t *testing.T) {
	f := newFixture(t)
	for _, six := range []bool{false, true} {
		n := 0
		for ; n < 1000; n++ {
			if _, err := f.RequestPool(t.Context(), PoolRequest{IPv6: six}); err != nil {
				if !strings.Contains(err.Error(), "route of the host") {
					t.Errorf("ended by %v", err)
				}
				break
			}
		}
		if n != maxWaiting {
			t.Errorf("IPv6 %v: %d pools were given", six, n)
		}
	}
}

func TestPoolSizeOption(t *testing.T) {
	f := newFixture(t, "172.30.0.0/20:24")
	for _, c := range []struct {
		size int
		want string // "": refused
	}{{26, "172.30.0.0/26"}, {26, "172.30.0.64/26"}, {25, "172.30.0.128/25"}, {19, ""}, {0, "172.30.1.0/24"}} {
		p, err := f.RequestPool(t.Context(), PoolRequest{Options: PoolOptions{Size: c.size}})
		if (err == nil) != (c.want != "") || p.ID != c.want {
			t.Errorf("size %d: %q, %v, want %q", c.size, p.ID, err, c.want)
		}
	}
	_, err := f.RequestPool(t.Context(), PoolRequest{Subnet: netip.MustParsePrefix("10.0.0.0/24"), Options: PoolOptions{Size: 26}})
	if err == nil {
		t.Error("a size was accepted beside a subnet")
	}
}

func TestAddressRefusals(t *testing.T) {
	f := newFixture(t)
	p := f.pool("10.1.0.0/30", "")
	if _, err := f.RequestAddress(t.Context(), AddressRequest{PoolID: p.ID, Gateway: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.RequestAddress(t.Context(), AddressRequest{PoolID: p.ID, Name: "web"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		pool, addr string
		want       error
		text       string
	}{
		{p.ID, "10.1.0.1", pool.ErrTaken, "by the gateway"},
		{p.ID, "10.1.0.2", pool.ErrTaken, "by web"},
		{p.ID, "10.1.0.0", pool.ErrReserved, "10.1.0.0"},
		{p.ID, "10.1.0.3", pool.ErrReserved, "10.1.0.3"},
		{p.ID, "10.2.0.1", pool.ErrOutside, "10.1.0.0/30"},
		{p.ID, "", pool.ErrExhausted, "larger --subnet"},
		{"nonsense", "", ErrUnknownPool, "nonsense"},
	} {
		if _, err := f.try(c.pool, c.addr); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("RequestAddress(%s, %q): %v, want %v and %q", c.pool, c.addr, err, c.want, c.text)
		}
	}
}

func TestReleaseIsIdempotent(t *testing.T) {
	f := newFixture(t)
	p := f.pool("10.1.0.0/24", "")
	f.lease(p.ID, "")
	for range 2 {
		if err := f.ReleaseAddress(t.Context(), p.ID, netip.MustParseAddr("10.1.0.1")); err != nil {
			t.Error(err)
		}
	}
	if err := f.ReleaseAddress(t.Context(), "gone", netip.MustParseAddr("10.1.0.1")); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := f.ReleasePool(t.Context(), p.ID); err != nil {
			t.Error(err)
		}
	}
	if len(f.store.values) != 0 {
		t.Errorf("the store still holds %v", f.store.values)
	}
}

func TestReleasedAddressRestsAcrossRestarts(t *testing.T) {
	f := newFixture(t)
	p := f.pool("10.1.0.0/24", "")
	first := f.lease(p.ID, "")
	if err := f.ReleaseAddress(t.Context(), p.ID, netip.MustParsePrefix(first).Addr()); err != nil {
		t.Fatal(err)
	}
	f.restart()
	if got := f.lease(p.ID, ""); got == first {
		t.Errorf("%s came back at once", got)
	}
}

// What could not be stored was not given, whatever else happens.
func TestFailedWrites(t *testing.T) {
	f := newFixture(t)
	p := f.pool("10.1.0.0/24", "")
	f.lease(p.ID, "")
	f.store.broken = errors.New("no space left on device")
	before := f.Leases()
	if _, err := f.try(p.ID, ""); !errors.Is(err, f.store.broken) {
		t.Errorf("RequestAddress: %v", err)
	}
	if _, err := f.try(p.ID, "10.1.0.77"); !errors.Is(err, f.store.broken) {
		t.Errorf("RequestAddress: %v", err)
	}
	if _, err := f.request("10.2.0.0/24", ""); !errors.Is(err, f.store.broken) {
		t.Errorf("RequestPool: %v", err)
	}
	if _, err := f.RequestPool(t.Context(), PoolRequest{IPv6: true}); !errors.Is(err, f.store.broken) {
		t.Errorf("RequestPool: %v", err)
	}
	if err := f.ReleaseAddress(t.Context(), p.ID, netip.MustParseAddr("10.1.0.1")); !errors.Is(err, f.store.broken) {
		t.Errorf("ReleaseAddress: %v", err)
	}
	if err := f.ReleasePool(t.Context(), p.ID); !errors.Is(err, f.store.broken) {
		t.Errorf("ReleasePool: %v", err)
	}
	f.now = f.now.Add(time.Hour)
	if _, err := f.Reclaim(t.Context(), nil); !errors.Is(err, f.store.broken) {
		t.Errorf("Reclaim: %v", err)
	}
	if diff := cmp.Diff(before, f.Leases(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("leases changed:\n%s", diff)
	}
	f.store.broken = nil
	if got := f.lease(p.ID, "10.1.0.77"); got != "10.1.0.77/24" {
		t.Errorf("got %s", got)
	}
	f.pool("10.2.0.0/24", "")
}

func TestReclaim(t *testing.T) {
	f := newFixture(t)
	kept, gone := f.pool("10.1.0.0/24", ""), f.pool("10.2.0.0/24", "")
	f.lease(kept.ID, "10.1.0.1")
	f.lease(kept.ID, "10.1.0.2")
	f.lease(gone.ID, "10.2.0.1")
	f.now = f.now.Add(Grace + time.Second)
	f.lease(kept.ID, "10.1.0.3")
	young := f.pool("10.3.0.0/24", "")
	inUse := []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("192.168.0.1")}
	freed, err := f.Reclaim(t.Context(), inUse)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(freed); got != "[10.1.0.2 10.2.0.1]" {
		t.Errorf("freed %s", got)
	}
	f.restart()
	var left []string
	for _, l := range f.Leases() {
		left = append(left, l.Addr.String())
	}
	for _, p := range f.Pools() {
		left = append(left, p.ID)
	}
	if diff := cmp.Diff([]string{"10.1.0.1", "10.1.0.3", kept.ID, young.ID}, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestConcurrentRequestsGetDistinctAddresses(t *testing.T) {
	f := newFixture(t)
	p := f.pool("10.1.0.0/24", "")
	var mu sync.Mutex
	seen := map[string]bool{}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				got, err := f.try(p.ID, "")
				mu.Lock()
				if err != nil || seen[got] {
					t.Errorf("got %s again, or %v", got, err)
				}
				seen[got] = true
				mu.Unlock()
			}
		})
	}
	group.Wait()
}

func TestNewRefusesBadInput(t *testing.T) {
	for name, blocks := range map[string][]pool.Block{
		"IPv6":  {{Base: netip.MustParsePrefix("fd00::/48"), Size: 64}},
		"empty": {{}},
	} {
		if _, err := New(t.Context(), Options{Store: &memory{}, Host: &host{}, Blocks: blocks}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for key, value := range map[string]string{
		"ipam/pool/x":            "{",
		"ipam/pool/y":            `{"id":"y","subnet":"127.0.0.0/8"}`,
		"ipam/lease/x/10.0.0.1":  `{"pool":"x","addr":"10.0.0.1"}`,
		"ipam/lease/x/10.0.0.1x": `[]`,
		"ipam/ula":               `"10.0.0.0/8"`,
	} {
		s := &memory{values: map[string][]byte{key: []byte(value)}}
		if _, err := New(t.Context(), Options{Store: s, Host: &host{}}); err == nil {
			t.Errorf("%s = %s: accepted", key, value)
		}
	}
}
