package endpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/store"
)

// Restore fills the Manager from the store and makes the kernel agree with it: programs that run what they should are
// adopted untouched, what lacks is made, what no record names is removed. Docker is not asked: it may not be up yet
// (Follow asks later). Call it once, before any request is served.
func (m *Manager) Restore(ctx context.Context) error {
	if err := m.load(ctx); err != nil {
		return err
	}
	if err := m.adopt(ctx); err != nil {
		return err
	}
	if err := m.setGateways(); err != nil {
		return fmt.Errorf("restore gateways: %w", err)
	}
	if err := m.regenerateRestored(ctx); err != nil {
		return fmt.Errorf("restore programs: %w", err)
	}
	return errors.Join(m.pruneAddresses(), m.restorePorts(ctx))
}

// load reads all records.
func (m *Manager) load(ctx context.Context) error {
	var held []identity.Record
	err := errors.Join(
		list(ctx, m.Store, networkPrefix, func(_ string, n *Network) error { m.networks[n.ID] = n; return nil }),
		list(ctx, m.Store, endpointPrefix, func(_ string, e *Endpoint) error { m.endpoints[e.ID] = e; return nil }),
		list(ctx, m.Store, judgePrefix, func(id string, j *Judgement) error { m.judgements[id] = *j; return nil }),
		list(ctx, m.Store, changePrefix, func(id string, c *LabelChange) error { m.changes[id] = *c; return nil }),
		list(ctx, m.Store, identityPrefix, func(_ string, r *identity.Record) error { held = append(held, *r); return nil }),
		m.loadPolicies(ctx),
	)
	if err != nil {
		return err
	}
	return m.restoreIdentities(ctx, held)
}

// restoreIdentities gives the identities their numbers back and counts their holders anew.
func (m *Manager) restoreIdentities(ctx context.Context, records []identity.Record) error {
	next := identity.First
	for _, r := range records {
		next = max(next, r.ID+1)
	}
	if err := m.identities.Restore(records, next); err != nil {
		return fmt.Errorf("restore identities: %w", err)
	}
	for _, e := range m.endpoints {
		if e.Identity.Reserved() {
			continue
		}
		if err := m.restoreIdentity(e); err != nil {
			return fmt.Errorf("restore endpoint %s: %w", short(e.ID), err)
		}
	}
	var ops []store.Op
	for _, id := range m.identities.Prune() {
		ops = append(ops, store.Op{Key: fmt.Sprintf("%s%d", identityPrefix, id), Delete: true})
	}
	if len(ops) == 0 {
		return nil
	}
	return m.Store.Apply(ctx, ops...)
}

// restoreIdentity holds the identity of an endpoint again. One whose record is lost is made anew from the labels.
func (m *Manager) restoreIdentity(e *Endpoint) error {
	labels, ok := m.identities.Labels(e.Identity)
	n := m.networks[e.NetworkID]
	switch {
	case ok:
	case n == nil:
		return fmt.Errorf("network %s has no record: %w", short(e.NetworkID), store.ErrCorrupt)
	default:
		var err error
		if labels, err = m.labels(n, e); err != nil {
			return err
		}
	}
	id, _, err := m.identities.Acquire(labels)
	if err != nil || id == e.Identity {
		return err
	}
	again := *e
	again.Identity = id
	m.endpoints[e.ID] = &again
	return nil
}

// adopt compares the records with the pairs and programs of the kernel. A pair that died with its container's namespace
// leaves an endpoint without pair; a slot without endpoint is emptied.
func (m *Manager) adopt(ctx context.Context) error {
	veths, err := m.Links.List()
	if err != nil {
		return fmt.Errorf("list veth pairs: %w", err)
	}
	alive := map[uint32]datapath.Veth{}
	for _, v := range veths {
		alive[v.Slot] = v
	}
	var used []uint32
	for _, e := range m.endpointsAll() {
		if e.Veth == nil {
			continue
		}
		if v, ok := alive[e.Veth.Slot]; ok && v.Ifindex == e.Veth.Ifindex {
			used = append(used, e.Veth.Slot)
			continue
		}
		m.Log.WithField("endpoint", short(e.ID)).Info("its veth pair is gone, the container ended meanwhile")
		if err := m.detach(ctx, e); err != nil {
			return fmt.Errorf("restore endpoint %s: %w", short(e.ID), err)
		}
	}
	return m.Programs.Prune(func(slot uint32) bool { return slices.Contains(used, slot) })
}

// UsedSlots reads from the store which slots belong to endpoints: Links are opened with them.
func UsedSlots(ctx context.Context, s Store) ([]uint32, error) {
	var used []uint32
	err := list(ctx, s, endpointPrefix, func(_ string, e *Endpoint) error {
		if e.Veth != nil {
			used = append(used, e.Veth.Slot)
		}
		return nil
	})
	return used, err
}

// regenerateRestored computes what every endpoint should run. What the kernel runs already is adopted.
func (m *Manager) regenerateRestored(ctx context.Context) error {
	loaded, err := m.Programs.Loaded()
	if err != nil {
		return err
	}
	m.regeneration.mu.Lock()
	defer m.regeneration.mu.Unlock()
	jobs, err := m.plan(ctx)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if loaded[j.program.Slot] == j.program.Fingerprint() {
			m.running[j.endpoint.ID] = &running{program: j.program, adopted: true}
		}
		n, e := j.network, j.endpoint
		if err := m.Links.Configure(*e.Veth, m.linkConfig(n, e)); err != nil {
			m.Log.WithError(err).WithField("endpoint", short(e.ID)).Error("configure veth pair")
		}
	}
	_, err = m.pass(ctx, nil)
	return err
}

// pruneAddresses removes the addresses that no joined endpoint has.
func (m *Manager) pruneAddresses() error {
	have, err := m.Addresses.List()
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	for addr, a := range have {
		if a.Host {
			continue
		}
		if e := m.holder(addr); e != nil && e.joined() {
			continue
		}
		if err := m.Addresses.Delete(addr); err != nil {
			return fmt.Errorf("forget address %s: %w", addr, err)
		}
	}
	return nil
}

// endpointsAll returns all endpoints.
func (m *Manager) endpointsAll() []*Endpoint {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make([]*Endpoint, 0, len(m.endpoints))
	for _, e := range m.endpoints {
		all = append(all, e)
	}
	return all
}
