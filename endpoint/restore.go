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
	records, err := m.load(ctx)
	if err != nil {
		return err
	}
	have, err := m.Addresses.List()
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	for addr, a := range have {
		if !a.Host {
			m.published[addr] = a
		}
	}
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return m.restoreIdentities(ctx, records) },
		func(context.Context) error { m.reindex(); return nil },
		m.dropOrphans, m.adopt,
		func(context.Context) error { return m.setGateways() },
		m.regenerateRestored,
		func(context.Context) error { return m.Programs.Prune(func(uint32) bool { return true }) }, // what only replaced programs used
		m.pruneAddresses, m.syncPorts, m.finishRelabels,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// load reads all records; those of the identities it returns.
func (m *Manager) load(ctx context.Context) ([]identity.Record, error) {
	var held []identity.Record
	err := errors.Join(
		list(ctx, m.Store, networkPrefix, func(_ string, n *Network) error { m.networks[n.ID] = n; return nil }),
		list(ctx, m.Store, endpointPrefix, func(_ string, e *Endpoint) error { m.endpoints[e.ID] = e; return nil }),
		list(ctx, m.Store, judgePrefix, func(id string, j *Judgement) error {
			m.judgements[id] = *j
			m.plans.revision = max(m.plans.revision, j.Revision)
			return nil
		}),
		list(ctx, m.Store, revisionKey, func(_ string, last *uint32) error {
			m.plans.revision = max(m.plans.revision, *last)
			return nil
		}),
		list(ctx, m.Store, changePrefix, func(id string, c *LabelChange) error { m.changes[id] = c; return nil }),
		list(ctx, m.Store, identityPrefix, func(_ string, r *identity.Record) error { held = append(held, *r); return nil }),
		m.loadPolicies(ctx),
		m.loadRecordings(ctx),
	)
	return held, err
}

// restoreIdentities gives the identities their numbers back and counts their holders anew.
func (m *Manager) restoreIdentities(ctx context.Context, records []identity.Record) error {
	next := identity.First
	for _, r := range records {
		next = max(next, r.ID+1)
	}
	err := list(ctx, m.Store, identityKey, func(_ string, stored *identity.ID) error { next = *stored; return nil })
	if err != nil {
		return err
	}
	if err := m.identities.Restore(records, next); err != nil {
		return fmt.Errorf("restore identities: %w: %w", store.ErrCorrupt, err)
	}
	for _, e := range m.endpointsAll() {
		if e.Identity.Reserved() {
			continue
		}
		if err := m.restoreIdentity(ctx, e); err != nil {
			return fmt.Errorf("restore endpoint %s: %w", short(e.ID), err)
		}
		m.holdPublished(e)
	}
	var ops []store.Op
	for _, id := range m.identities.Prune() {
		ops = append(ops, store.Remove(fmt.Sprintf("%s%d", identityPrefix, id)))
	}
	if len(ops) == 0 {
		return nil
	}
	return m.Store.Apply(ctx, ops...)
}

// restoreIdentity holds the identity of an endpoint again. One whose record is lost is made anew from the labels; if
// that is not possible either, the endpoint is closed until Docker tells its labels.
func (m *Manager) restoreIdentity(ctx context.Context, e *Endpoint) error {
	if labels, ok := m.identities.Labels(e.Identity); ok {
		e.remember(labels)
		m.mentions.replace(nil, e)
		_, _, err := m.identities.Acquire(labels)
		return err
	}
	again := *e
	again.Identity = identity.Init
	log := m.Log.WithField("endpoint", short(e.ID))
	n := m.networks[e.NetworkID]
	if n == nil {
		n = &Network{}
	}
	labels, err := m.labelsOf(n, e, m.changes[e.Container.ID])
	if err != nil {
		log.WithError(err).Error("the identity of the endpoint is lost, it is closed")
		again.Container = Container{}
		return m.save(ctx, &again)
	}
	log.Warn("the identity of the endpoint is lost, it gets a new one")
	delete(m.endpoints, e.ID) // so that saving it retires nothing
	return m.saveAs(ctx, &again, labels)
}

// holdPublished holds the identity that the kernel knows an endpoint by, if it is another one: the daemon ended while
// the labels changed, and the endpoint's programs send with it until they are replaced.
func (m *Manager) holdPublished(e *Endpoint) {
	for _, addr := range e.addrs() {
		a, ok := m.published[addr]
		id := identity.ID(a.Identity)
		if !ok || id == e.Identity || slices.Contains(m.retired, id) {
			continue
		}
		if labels, known := m.identities.Labels(id); known {
			if _, _, err := m.identities.Acquire(labels); err == nil {
				m.retired = append(m.retired, id)
			}
		}
	}
}

// dropOrphans removes endpoints whose network has no record: they could not be reached, and Docker has lost them too.
func (m *Manager) dropOrphans(ctx context.Context) error {
	for _, e := range m.endpointsAll() {
		if _, ok := m.network(e.NetworkID); ok {
			continue
		}
		m.Log.WithField("endpoint", short(e.ID)).Warn("its network is not known, removing the endpoint")
		if err := m.DeleteEndpoint(ctx, e.NetworkID, e.ID); err != nil {
			return err
		}
	}
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
		return fmt.Errorf("restore programs: %w", err)
	}
	m.regeneration.mu.Lock()
	defer m.regeneration.mu.Unlock()
	s := m.observe()
	if err := m.plan(ctx, s); err != nil {
		return fmt.Errorf("restore programs: %w", err)
	}
	for _, j := range s.jobs {
		if print, ok := loaded[j.endpoint.Veth.Slot]; ok {
			m.running[j.endpoint.ID] = m.adopted(j, print)
			m.parties.setRunning(m.running[j.endpoint.ID])
		}
		if err := m.Links.Configure(*j.endpoint.Veth, m.linkConfig(j.network, j.endpoint)); err != nil {
			m.Log.WithError(err).WithField("endpoint", short(j.endpoint.ID)).Error("configure veth pair")
		}
	}
	if _, err := m.pass(ctx, nil); err != nil {
		return fmt.Errorf("restore programs: %w", err)
	}
	return nil
}

// adopted describes the programs that were found in an endpoint's slot. Of those that are not what they should be only
// the identity is known, from the address map.
func (m *Manager) adopted(j *job, print string) *running {
	if j.planned != nil && j.print == print {
		return &running{program: j.program, print: print}
	}
	program := datapath.Program{Slot: j.endpoint.Veth.Slot, Identity: uint32(j.endpoint.Identity)}
	for _, addr := range j.endpoint.addrs() {
		if a, ok := m.published[addr]; ok && a.Slot == program.Slot {
			program.Identity = a.Identity
		}
	}
	return &running{program: program, print: print}
}

// finishRelabels gives endpoints the identity of their labels, where the daemon ended between a change of the labels
// and the change of the identity, or another version of it made something else of the labels.
func (m *Manager) finishRelabels(ctx context.Context) error {
	before := m.currentGeneration()
	for _, e := range m.endpointsAll() {
		n, ok := m.network(e.NetworkID)
		if !ok || !e.named() {
			continue
		}
		labels, err := m.labelsOf(n, e, m.labelChange(e.Container.ID))
		if err != nil { // they were accepted by another version
			if err := m.refuse(ctx, e, e.Container, fmt.Errorf("labels of container %s: %w", e.Container.Name, err)); err != nil {
				return err
			}
			continue
		}
		if id, ok := m.identities.Find(labels); ok && id == e.Identity {
			continue
		}
		if err := m.reidentify(ctx, e.ID); err != nil {
			return fmt.Errorf("restore labels of endpoint %s: %w", short(e.ID), err)
		}
	}
	if m.currentGeneration() == before {
		return nil
	}
	return m.regenerate(ctx, "")
}

// pruneAddresses removes the addresses that no joined endpoint has.
func (m *Manager) pruneAddresses(context.Context) error {
	m.regeneration.mu.Lock()
	defer m.regeneration.mu.Unlock()
	for addr := range m.published {
		if e := m.holder(addr); e != nil && e.joined() {
			continue
		}
		if err := m.Addresses.Delete(addr); err != nil {
			return fmt.Errorf("forget address %s: %w", addr, err)
		}
		delete(m.published, addr)
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
