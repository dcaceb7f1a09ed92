package ipam

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sluice-net/sluice/internal/peer"
	"github.com/sluice-net/sluice/ipam/pool"
	"github.com/sluice-net/sluice/store"
)

// Keys of the store, whose values are JSON.
const (
	poolPrefix  = "ipam/pool/"  // + pool id → Pool
	leasePrefix = "ipam/lease/" // + pool id + "/" + address → Lease
	ulaKey      = "ipam/ula"    // → the /48 of automatic IPv6 subnets
)

// Pool is a subnet that a network has asked for.
type Pool struct {
	ID        string       `json:"id"`
	Subnet    netip.Prefix `json:"subnet"`
	Range     netip.Prefix `json:"range,omitzero"` // where addresses are chosen; invalid: the whole subnet
	Automatic bool         `json:"automatic,omitempty"`
	Since     time.Time    `json:"since"`
	By        peer.Process `json:"by,omitempty"`  // the engine that asked for it
	Last      netip.Addr   `json:"last,omitzero"` // the address that was chosen last
}

// Lease is an address that is given away.
type Lease struct {
	Pool    string     `json:"pool"`
	Addr    netip.Addr `json:"addr"`
	Gateway bool       `json:"gateway,omitempty"`
	Name    string     `json:"name,omitempty"` // the container's, which engines from 29 on tell
	Since   time.Time  `json:"since"`
}

func poolKey(id string) string                   { return poolPrefix + id }
func leaseKey(id string, addr netip.Addr) string { return leasePrefix + id + "/" + addr.String() }
func poolID(subnet netip.Prefix) string          { return subnet.String() }

// write is a value under its key, not encoded yet.
type write struct {
	key   string
	value any
}

func put(key string, value any) write { return write{key, value} }

func (a *Allocator) save(ctx context.Context, writes ...write) error {
	ops := make([]store.Op, len(writes))
	for i, w := range writes {
		raw, err := json.Marshal(w.value)
		if err != nil {
			return fmt.Errorf("encode %s: %w", w.key, err)
		}
		ops[i] = store.Put(w.key, raw)
	}
	return a.Store.Apply(ctx, ops...)
}

func (a *Allocator) load(ctx context.Context) error {
	entries, err := a.Store.List(ctx, poolPrefix)
	if err != nil {
		return err
	}
	for _, e := range entries {
		var p Pool
		if err := decode(e, &p); err != nil {
			return err
		}
		if err := a.add(p); err != nil {
			return fmt.Errorf("%s: %w", e.Key, err)
		}
	}
	if entries, err = a.Store.List(ctx, leasePrefix); err != nil {
		return err
	}
	for _, e := range entries {
		var l Lease
		if err := decode(e, &l); err != nil {
			return err
		}
		s := a.pools[l.Pool]
		if s == nil {
			return fmt.Errorf("%s: %w", e.Key, ErrUnknownPool)
		}
		if err := s.free.Take(l.Addr); err != nil {
			return fmt.Errorf("%s: %w", e.Key, err)
		}
		s.leases[l.Addr] = l
	}
	if entries, err = a.Store.List(ctx, ulaKey); err != nil || len(entries) == 0 {
		return err
	}
	var base netip.Prefix
	if err := decode(entries[0], &base); err != nil {
		return err
	}
	a.block = pool.Block{Base: base, Size: ulaSize}
	return a.block.Check()
}

func decode(e store.Entry, into any) error {
	if err := json.Unmarshal(e.Value, into); err != nil {
		return fmt.Errorf("decode %s: %w", strings.TrimSpace(e.Key), err)
	}
	return nil
}

// add makes a pool known.
func (a *Allocator) add(p Pool) error {
	free, err := pool.New(p.Subnet, p.Range)
	if err != nil {
		return err
	}
	free.SetLast(p.Last)
	a.pools[p.ID] = &state{record: p, free: free, leases: map[netip.Addr]Lease{}}
	return nil
}
