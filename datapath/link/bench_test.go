package link

import (
	"net"
	"net/netip"
	"testing"

	"github.com/sluice-net/sluice/internal/testutil"
)

// BenchmarkConfigure: a container waits for it. The first time makes routes and neighbours, every later one finds them.
func BenchmarkConfigure(b *testing.B) {
	testutil.Privileged(b)
	h, err := Open("slc")
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	c := Config{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, Addrs: []netip.Addr{netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("fd09::2")},
		Gateways: []netip.Addr{netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("fd09::1")}}
	if err := h.SetGateways(c.Gateways); err != nil {
		b.Fatal(err)
	}
	if _, err := h.Create(1); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := h.Configure(1, c); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := h.Unroute(1); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	if err := h.Delete(1); err != nil {
		b.Fatal(err)
	}
	if err := h.SetGateways(nil); err != nil {
		b.Fatal(err)
	}
}
