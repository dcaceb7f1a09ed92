package ipam

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sluice-net/sluice/ipam/pool"
	"github.com/sluice-net/sluice/store"
)

// Errors, wrapped with the subnet or the address.
var (
	ErrOverlap     = errors.New("subnet overlaps")
	ErrUnknownPool = errors.New("no such pool")
)

// Store is what ipam needs of the store.
type Store interface {
	List(ctx context.Context, prefix string) ([]store.Entry, error)
	Apply(ctx context.Context, ops ...store.Op) error
}

// HostPrefixes tells which subnets the host uses (implemented by datapath/link).
type HostPrefixes interface {
	// Prefixes returns the destinations of the host's routes and the host's addresses.
	Prefixes() ([]netip.Prefix, error)
}

// Options are what an Allocator works with.
type Options struct {
	Store Store
	Host  HostPrefixes
	// Networks are Docker's; nil: what an engine that was killed asked for stays taken until Reclaim.
	Networks Networks
	// Blocks are where automatic IPv4 subnets are cut from, in this order; nil: DefaultBlocks.
	Blocks []pool.Block
	// ResolvConf are the files whose nameservers automatic subnets avoid; nil: DefaultResolvConf.
	ResolvConf []string
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// DefaultBlocks hold 512 automatic IPv4 networks at the end of the range that Docker's own networks are cut from.
func DefaultBlocks() []pool.Block {
	return []pool.Block{{Base: netip.MustParsePrefix("172.30.0.0/15"), Size: 24}}
}

// DefaultResolvConf are the files that name the host's nameservers; systemd-resolved keeps the real ones apart.
func DefaultResolvConf() []string {
	return []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}
}

// Grace is how long Reclaim spares what Docker may just have asked for and not used yet.
const Grace = 2 * time.Minute

// Allocator keeps all pools and leases. All methods may be called concurrently.
type Allocator struct {
	Options

	// mu is held through the store's write: an answer is durable before the next request is looked at.
	mu    sync.Mutex
	pools map[string]*state
	block pool.Block                  // of automatic IPv6 subnets; invalid base: not chosen yet
	last  map[pool.Block]netip.Prefix // the automatic subnet that each block gave last
}

// state is one pool with the leases of its addresses.
type state struct {
	record Pool
	free   *pool.Pool
	leases map[netip.Addr]Lease
}

// New reads the pools and leases from the store.
func New(ctx context.Context, o Options) (*Allocator, error) {
	if o.Blocks == nil {
		o.Blocks = DefaultBlocks()
	}
	if o.ResolvConf == nil {
		o.ResolvConf = DefaultResolvConf()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, b := range o.Blocks {
		if err := b.Check(); err != nil {
			return nil, err
		}
		if !b.Base.Addr().Is4() {
			return nil, fmt.Errorf("address block %s: automatic IPv6 subnets are cut from a random /48 (RFC 4193)", b)
		}
	}
	a := &Allocator{Options: o, pools: map[string]*state{}, last: map[pool.Block]netip.Prefix{}}
	if err := a.load(ctx); err != nil {
		return nil, fmt.Errorf("read address pools: %w", err)
	}
	return a, nil
}

// RequestAddress leases an address of a pool: the wanted one, or if that is invalid the next free one. The prefix has
// the pool's length.
func (a *Allocator) RequestAddress(ctx context.Context, r AddressRequest) (netip.Prefix, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.pools[r.PoolID]
	if s == nil {
		return netip.Prefix{}, fmt.Errorf("request address: %w: %q", ErrUnknownPool, r.PoolID)
	}
	before, addr := s.free.Last(), r.Address
	if addr.IsValid() {
		if err := s.free.Take(addr); err != nil {
			return netip.Prefix{}, fmt.Errorf("%w%s", err, s.holder(addr))
		}
	} else {
		var err error
		if addr, err = s.free.Next(); err != nil {
			return netip.Prefix{}, fmt.Errorf("request address: %w: remove containers or make the network with a "+
				"larger --subnet or --ip-range", err)
		}
	}
	lease := Lease{Pool: r.PoolID, Addr: addr, Gateway: r.Gateway, Name: r.Name, Since: a.Now().UTC()}
	record := s.record
	record.Last = s.free.Last()
	if err := a.save(ctx, put(poolKey(r.PoolID), record), put(leaseKey(r.PoolID, addr), lease)); err != nil {
		s.free.Release(addr)
		s.free.SetLast(before)
		return netip.Prefix{}, fmt.Errorf("lease %s: %w", addr, err)
	}
	s.record = record
	s.leases[addr] = lease
	return netip.PrefixFrom(addr, s.free.Prefix().Bits()), nil
}

// holder says for an error who has an address.
func (s *state) holder(addr netip.Addr) string {
	l, ok := s.leases[addr]
	switch {
	case !ok:
		return ""
	case l.Gateway:
		return " by the gateway"
	case l.Name != "":
		return " by " + l.Name
	}
	return ""
}

// ReleaseAddress ends a lease. An unknown pool or address succeeds.
func (a *Allocator) ReleaseAddress(ctx context.Context, poolID string, addr netip.Addr) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.pools[poolID]
	if s == nil || !s.free.Used(addr) {
		return nil
	}
	if err := a.Store.Apply(ctx, store.Remove(leaseKey(poolID, addr))); err != nil {
		return fmt.Errorf("release %s: %w", addr, err)
	}
	s.free.Release(addr)
	delete(s.leases, addr)
	return nil
}

// ReleasePool forgets a pool and what is left of its leases. An unknown pool succeeds.
func (a *Allocator) ReleasePool(ctx context.Context, poolID string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.releasePool(ctx, poolID)
}

func (a *Allocator) releasePool(ctx context.Context, poolID string) error {
	s := a.pools[poolID]
	if s == nil {
		return nil
	}
	ops := []store.Op{store.Remove(poolKey(poolID))}
	for addr := range s.leases {
		ops = append(ops, store.Remove(leaseKey(poolID, addr)))
	}
	if err := a.Store.Apply(ctx, ops...); err != nil {
		return fmt.Errorf("release pool %s: %w", poolID, err)
	}
	delete(a.pools, poolID)
	return nil
}

// Pools returns all pools, sorted by subnet.
func (a *Allocator) Pools() []Pool {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]Pool, 0, len(a.pools))
	for _, s := range a.pools {
		all = append(all, s.record)
	}
	slices.SortFunc(all, func(x, y Pool) int { return x.Subnet.Addr().Compare(y.Subnet.Addr()) })
	return all
}

// Usage is how much of a pool is given away.
type Usage struct {
	Subnet   netip.Prefix
	Capacity float64 // addresses that can be chosen, in its range if it has one
	Used     int     // of them
}

// Usage returns it for all pools, sorted by subnet.
func (a *Allocator) Usage() []Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]Usage, 0, len(a.pools))
	for _, s := range a.pools {
		u := Usage{Subnet: s.record.Subnet}
		u.Capacity, u.Used = s.free.Room()
		all = append(all, u)
	}
	slices.SortFunc(all, func(x, y Usage) int { return x.Subnet.Addr().Compare(y.Subnet.Addr()) })
	return all
}

// Leases returns all leases, sorted by address.
func (a *Allocator) Leases() []Lease {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []Lease
	for _, s := range a.pools {
		for _, l := range s.leases {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(x, y Lease) int { return x.Addr.Compare(y.Addr) })
	return all
}

// Reclaim ends the leases of addresses that are not in use and forgets the pools of which none is, if they are older
// than Grace: what Docker asked for but never used, or could not release while Sluice was down. inUse must hold every
// gateway, auxiliary address and endpoint's address of Docker's networks. It returns the addresses that it freed.
func (a *Allocator) Reclaim(ctx context.Context, inUse []netip.Addr) ([]netip.Addr, error) {
	used := make(map[netip.Addr]bool, len(inUse))
	for _, addr := range inUse {
		used[addr] = true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	young := a.Now().Add(-Grace)
	var freed []netip.Addr
	for id, s := range a.pools {
		var gone []netip.Addr
		for addr, l := range s.leases {
			if !used[addr] && l.Since.Before(young) {
				gone = append(gone, addr)
			}
		}
		if err := a.reclaim(ctx, id, gone, s.record.Since.Before(young)); err != nil {
			return freed, err
		}
		freed = append(freed, gone...)
	}
	slices.SortFunc(freed, netip.Addr.Compare)
	return freed, nil
}

func (a *Allocator) reclaim(ctx context.Context, id string, gone []netip.Addr, old bool) error {
	s := a.pools[id]
	if old && len(gone) == len(s.leases) {
		return a.releasePool(ctx, id)
	}
	if len(gone) == 0 {
		return nil
	}
	var ops []store.Op
	for _, addr := range gone {
		ops = append(ops, store.Remove(leaseKey(id, addr)))
	}
	if err := a.Store.Apply(ctx, ops...); err != nil {
		return fmt.Errorf("reclaim addresses of pool %s: %w", id, err)
	}
	for _, addr := range gone {
		s.free.Release(addr)
		delete(s.leases, addr)
	}
	return nil
}
