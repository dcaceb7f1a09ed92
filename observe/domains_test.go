package observe

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestDomains(t *testing.T) {
	now := boot
	d := NewDomains(func() time.Time { return now })
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	d.Learn("example.org", []netip.Addr{a, b}, now.Add(time.Minute))
	d.Learn("www.example.org", []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.1")}, now.Add(time.Hour))
	check := func(when string, addr netip.Addr, want ...string) {
		t.Helper()
		if got := d.Of(addr); !slices.Equal(got, want) {
			t.Errorf("%s %v is %v, want %v", when, addr, got, want)
		}
	}
	check("at first", a, "example.org", "www.example.org")
	check("at first", b, "example.org")
	check("at first", netip.MustParseAddr("192.0.2.2"))
	d.Learn("example.org", []netip.Addr{a}, now.Add(2*time.Minute))
	check("asked for again", a, "www.example.org", "example.org")
	now = now.Add(90 * time.Second)
	check("after a minute and a half", a, "www.example.org", "example.org")
	check("after a minute and a half", b)
	now = now.Add(time.Minute)
	check("after two minutes and a half", a, "www.example.org")
	now = now.Add(time.Hour)
	check("after an hour", a)
	var none *Domains
	if got := none.Of(a); got != nil {
		t.Errorf("no memory knows %v", got)
	}
}

// TestDomainsAreBounded: neither many names of an address nor many addresses take much memory.
func TestDomainsAreBounded(t *testing.T) {
	now := boot
	d := NewDomains(func() time.Time { return now })
	one := netip.MustParseAddr("192.0.2.1")
	for i := range 3 * mostDomains {
		d.Learn(fmt.Sprintf("%d.example.org", i), []netip.Addr{one}, now.Add(time.Hour))
	}
	if got := d.Of(one); len(got) != mostDomains || got[mostDomains-1] != fmt.Sprintf("%d.example.org", 3*mostDomains-1) {
		t.Errorf("an address has %v", got)
	}
	for i := range 2 * mostAddrs {
		d.Learn("example.org", []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}, now.Add(time.Hour))
	}
	if len(d.known) > mostAddrs {
		t.Errorf("%d addresses are remembered", len(d.known))
	}
	if got := d.Of(netip.AddrFrom4([4]byte{10, 0, 127, 255})); got == nil {
		t.Error("the newest address is forgotten")
	}
}

// TestDomainsOfFlows: containers are called by their own names, other addresses as they were asked for.
func TestDomainsOfFlows(t *testing.T) {
	d := NewDomains(func() time.Time { return boot })
	e := denied()
	e.Dst, e.Identity = ip("192.0.2.1"), 2
	d.Learn("example.org", []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("172.30.0.2")}, boot.Add(time.Hour))
	n := namer{names: testNames{}, domains: d}
	f := n.name(nil, &e)[0]
	if !slices.Equal(f.SourceNames, []string{"web", "front"}) || !slices.Equal(f.DestinationNames, []string{"example.org"}) {
		t.Errorf("source %v, destination %v", f.SourceNames, f.DestinationNames)
	}
}

func TestDomainsAreSafe(t *testing.T) {
	d := NewDomains(time.Now)
	a := netip.MustParseAddr("192.0.2.1")
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range 500 {
				d.Learn(fmt.Sprint(i, j), []netip.Addr{a}, time.Now().Add(time.Hour))
				for _, name := range d.Of(a) {
					_ = name[0]
				}
			}
		})
	}
	all.Wait()
}
