package maps

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/internal/abi"
)

func TestPrivilegedCount(t *testing.T) {
	for _, entries := range []int{0, 1, 3000, 10000} {
		m := newMap(t, "flows_tcp")
		for i := range entries {
			client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1000)
			key, _ := abi.NewTuple(client, addrPort("10.1.0.1:80"), 6)
			if err := m.Put(&key, &abi.Flow{}); err != nil {
				t.Fatal(err)
			}
		}
		// Half full, a hash that forgets the oldest holds about all that was put; never more.
		n, err := Count(m)
		if err != nil || n > entries || n < entries*9/10 {
			t.Errorf("counted %d of %d: %v", n, entries, err)
		}
	}
	if _, err := Count(newMap(t, "slots")); err == nil || !strings.Contains(err.Error(), "no hash") {
		t.Errorf("counting an array: %v", err)
	}
}

func BenchmarkPrivilegedCount(b *testing.B) {
	m := newMap(b, "flows_tcp")
	for i := range 10000 {
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1000)
		key, _ := abi.NewTuple(client, addrPort("10.1.0.1:80"), 6)
		if err := m.Put(&key, &abi.Flow{}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := Count(m); err != nil {
			b.Fatal(err)
		}
	}
}
