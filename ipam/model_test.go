package ipam

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// Random requests with restarts and failing writes in between: no address is ever given twice, no pools overlap.
func TestAllocatorAgainstModel(t *testing.T) {
	f := newFixture(t, "172.30.0.0/24:28", "172.30.1.0/24:28")
	random := rand.New(rand.NewPCG(9, 10))
	given := map[netip.Addr]string{} // address → pool
	pools := map[string]netip.Prefix{}
	for step := range 4000 {
		f.store.broken = nil
		if random.IntN(10) == 0 {
			f.store.broken = errors.New("disk full")
		}
		var id string
		for candidate := range pools {
			id = candidate
			break
		}
		switch random.IntN(12) {
		case 0:
			f.store.broken = nil
			f.restart()
		case 1, 2:
			p, err := f.RequestPool(t.Context(), PoolRequest{})
			if err != nil {
				break
			}
			for other := range pools {
				if pools[other].Overlaps(p.Subnet) {
					t.Fatalf("step %d: %s overlaps %s", step, p.Subnet, pools[other])
				}
			}
			pools[p.ID] = p.Subnet
		case 3:
			if id == "" || f.ReleasePool(t.Context(), id) != nil {
				break
			}
			delete(pools, id)
			for a, owner := range given {
				if owner == id {
					delete(given, a)
				}
			}
		case 4, 5, 6:
			for a, owner := range given {
				if f.ReleaseAddress(t.Context(), owner, a) == nil {
					delete(given, a)
				}
				break
			}
		default:
			if id == "" {
				break
			}
			var want netip.Addr
			if random.IntN(3) == 0 {
				want = pools[id].Addr()
				for range random.IntN(16) {
					want = want.Next()
				}
			}
			got, err := f.RequestAddress(t.Context(), AddressRequest{PoolID: id, Address: want})
			if err != nil {
				break
			}
			if _, twice := given[got.Addr()]; twice || !pools[id].Contains(got.Addr()) || want.IsValid() && got.Addr() != want {
				t.Fatalf("step %d: %s was given of %s (wanted %v, twice %v)", step, got, id, want, twice)
			}
			given[got.Addr()] = id
		}
		if leases := f.Leases(); len(leases) != len(given) {
			t.Fatalf("step %d: %d leases, want %d", step, len(leases), len(given))
		}
	}
	f.store.broken = nil
	f.restart()
	for _, l := range f.Leases() {
		if given[l.Addr] != l.Pool {
			t.Errorf("lease %+v, the model says %q", l, given[l.Addr])
		}
	}
}
