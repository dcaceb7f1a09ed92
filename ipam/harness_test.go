package ipam

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/ipam/pool"
	"github.com/sluice-net/sluice/store"
)

// memory is a store whose writes can be made to fail.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	broken error
}

func (m *memory) List(_ context.Context, prefix string) ([]store.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []store.Entry
	for k, v := range m.values {
		if strings.HasPrefix(k, prefix) {
			all = append(all, store.Entry{Key: k, Value: v})
		}
	}
	slices.SortFunc(all, func(a, b store.Entry) int { return strings.Compare(a.Key, b.Key) })
	return all, nil
}

func (m *memory) Apply(_ context.Context, ops ...store.Op) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := store.Check(ops); err != nil {
		return err
	}
	if m.broken != nil {
		return m.broken
	}
	for _, op := range ops {
		if delete(m.values, op.Key); !op.Delete {
			m.values[op.Key] = op.Value
		}
	}
	return nil
}

// host is a host with fixed routes.
type host struct {
	prefixes []netip.Prefix
	err      error
}

func (h *host) Prefixes() ([]netip.Prefix, error) { return h.prefixes, h.err }

// fixture is an allocator with what surrounds it.
type fixture struct {
	*Allocator
	t     *testing.T
	store *memory
	host  *host
	now   time.Time
	conf  string
}

func newFixture(t *testing.T, blocks ...string) *fixture {
	t.Helper()
	f := &fixture{
		t: t, store: &memory{values: map[string][]byte{}}, host: &host{},
		now:  time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		conf: filepath.Join(t.TempDir(), "resolv.conf"),
	}
	var parsed []pool.Block
	for _, s := range blocks {
		b, err := pool.ParseBlock(s)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, b)
	}
	f.Allocator = &Allocator{Options: Options{Blocks: parsed}}
	f.restart()
	return f
}

// restart is what a new daemon sees.
func (f *fixture) restart() {
	f.t.Helper()
	a, err := New(f.t.Context(), Options{
		Store: f.store, Host: f.host, Blocks: f.Blocks, ResolvConf: []string{f.conf, f.conf + ".missing"},
		Now: func() time.Time { return f.now },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.Allocator = a
}

func (f *fixture) pool(subnet, choice string) Pool {
	f.t.Helper()
	p, err := f.request(subnet, choice)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fixture) request(subnet, choice string) (Pool, error) {
	r := PoolRequest{}
	if subnet != "" {
		r.Subnet = netip.MustParsePrefix(subnet)
		r.IPv6 = r.Subnet.Addr().Is6()
	}
	if choice != "" {
		r.Range = netip.MustParsePrefix(choice)
	}
	return f.RequestPool(f.t.Context(), r)
}

func (f *fixture) lease(poolID, addr string) string {
	f.t.Helper()
	got, err := f.try(poolID, addr)
	if err != nil {
		f.t.Fatal(err)
	}
	return got
}

func (f *fixture) try(poolID, addr string) (string, error) {
	r := AddressRequest{PoolID: poolID}
	if addr != "" {
		r.Address = netip.MustParseAddr(addr)
	}
	p, err := f.RequestAddress(f.t.Context(), r)
	return p.String(), err
}
