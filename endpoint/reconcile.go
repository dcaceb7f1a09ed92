package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sluice-net/sluice/store"
)

const (
	// settling is how old a record must be before Docker's not knowing it means that Docker forgot it: networks and
	// endpoints are listed only some time after their requests.
	settling = 30 * time.Second
	// gathering is how long changes are collected before they are looked at.
	gathering = 50 * time.Millisecond
	// round is the time between reconciliations that nothing asked for.
	round = 5 * time.Minute
)

// requestReconcile asks Follow for a reconciliation; requests that come before it starts are one.
func (m *Manager) requestReconcile() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// Follow reconciles with Docker whenever something changed there (changes), was asked for, or time has passed, until
// the context ends. An engine that does not answer is asked again.
func (m *Manager) Follow(ctx context.Context, changes <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var looks schedule
	for asked := true; ; {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-changes:
			if !ok {
				changes = nil
			}
			asked = true
			select { // one container's start is several changes
			case <-ctx.Done():
				return
			case <-time.After(gathering):
			}
		case <-m.kick:
			asked = true
		case <-timer.C:
		}
		settled, err := m.Reconcile(ctx)
		if err != nil && ctx.Err() == nil {
			m.Log.WithError(err).Warn("reconcile with Docker")
		}
		timer.Reset(looks.next(asked, settled, err))
		asked = false
	}
}

// schedule is when to look at Docker again.
type schedule struct{ pause time.Duration }

// next returns the time until the next look. Asked tells that something may have changed: what was too young this time
// to be called forgotten is not next time.
func (s *schedule) next(asked, settled bool, err error) time.Duration {
	switch {
	case err == nil && settled && asked:
		return settling + time.Second
	case err == nil && settled:
		return round
	case asked:
		s.pause = 0
	}
	s.pause = min(max(2*s.pause, firstRetry), lastRetry)
	return s.pause
}

// Reconcile learns what Docker knows of our networks and endpoints and removes what Docker has forgotten. It reports
// whether every joined endpoint's container is known.
func (m *Manager) Reconcile(ctx context.Context) (settled bool, err error) {
	before := m.Now()
	networks, err := m.Engine.Networks(ctx)
	if err != nil {
		return false, fmt.Errorf("list Docker's networks: %w", err)
	}
	known := map[string]EngineNetwork{}
	attached := map[string]Attachment{}
	for _, n := range networks {
		known[n.ID] = n
		for _, a := range n.Attachments {
			a.NetworkName = n.Name
			attached[a.EndpointID] = a
		}
	}
	var errs []error
	for _, e := range m.endpointsAll() {
		errs = append(errs, m.reconcileEndpoint(ctx, e.ID, attached, before))
	}
	for _, n := range m.networksAll() {
		errs = append(errs, m.reconcileNetwork(ctx, n, known, before))
	}
	errs = append(errs, m.relabelMentioned(ctx))
	errs = append(errs, m.ownGateways(), m.syncPorts(ctx), m.forgetChanges(ctx), m.reclaim(ctx))
	m.requestRegeneration()
	m.domainsWanted()
	return m.settled(), errors.Join(errs...)
}

// reconcileEndpoint names an endpoint that Docker lists, and deletes one that it does not list any more.
func (m *Manager) reconcileEndpoint(ctx context.Context, id string, attached map[string]Attachment, before time.Time) error {
	a, listed := attached[id]
	e, ok := m.endpoint(id)
	if !ok {
		return nil
	}
	if !listed {
		if before.Sub(e.Created) < settling {
			return nil
		}
		m.Log.WithField("endpoint", short(id)).Info("Docker has forgotten the endpoint, removing it")
		return m.DeleteEndpoint(ctx, e.NetworkID, id)
	}
	n, known := m.network(e.NetworkID)
	if !known || !e.joined() || !learns(n, e, a) {
		return nil
	}
	done, err := m.expect(ctx, n, e, a)
	if err == nil {
		defer done()
	}
	defer m.calls.lock(id)()
	e, ok = m.endpoint(id)
	if !ok || !e.joined() {
		return nil
	}
	if errors.Is(err, errLabels) {
		return m.refuse(ctx, e, a.Container, err)
	}
	if n, known = m.network(e.NetworkID); err != nil || !known || !learns(n, e, a) {
		return err
	}
	changed := *e
	if err := m.name(ctx, n, &changed, a); err != nil {
		return err
	}
	m.accept(id)
	return nil
}

// learns reports whether Docker tells of an endpoint what its record does not say.
func learns(n *Network, e *Endpoint, a Attachment) bool {
	return a.Container.ID != "" && (e.Container.ID != a.Container.ID || e.Container.Name != a.Container.Name || n.Name != a.NetworkName)
}

// reconcileNetwork names a network that Docker lists, and deletes one that it does not list any more.
func (m *Manager) reconcileNetwork(ctx context.Context, n *Network, known map[string]EngineNetwork, before time.Time) error {
	listed, ok := known[n.ID]
	switch {
	case ok:
		return m.nameNetwork(ctx, n.ID, listed.Name)
	case before.Sub(n.Created) < settling:
		return nil
	}
	m.Log.WithField("network", n.title()).Info("Docker has forgotten the network, removing it")
	return m.DeleteNetwork(ctx, n.ID)
}

// nameNetwork keeps the name that Docker gave a network; its requests don't tell it.
func (m *Manager) nameNetwork(ctx context.Context, id, name string) error {
	defer m.calls.lock(allNetworks)()
	n, ok := m.network(id)
	if !ok || name == "" || n.Name == name {
		return nil
	}
	named := *n
	named.Name = name
	return m.saveNetwork(ctx, &named)
}

// ownGateways sets the gateways again, should somebody have removed one.
func (m *Manager) ownGateways() error {
	defer m.calls.lock(allNetworks)()
	return m.setGateways()
}

// forgetChanges drops the label changes of containers that are gone.
func (m *Manager) forgetChanges(ctx context.Context) error {
	m.mu.RLock()
	changed := make([]string, 0, len(m.changes))
	for id := range m.changes {
		changed = append(changed, id)
	}
	m.mu.RUnlock()
	if len(changed) == 0 {
		return nil
	}
	ids, err := m.Engine.ContainerIDs(ctx)
	if err != nil {
		return fmt.Errorf("list Docker's containers: %w", err)
	}
	for _, id := range changed {
		if slices.Contains(ids, id) {
			continue
		}
		if err := m.Store.Apply(ctx, store.Op{Key: changePrefix + id, Delete: true}); err != nil {
			return err
		}
		m.mu.Lock()
		delete(m.changes, id)
		m.mu.Unlock()
	}
	return nil
}

// settled reports whether the container of every joined endpoint is known, be it refused.
func (m *Manager) settled() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, e := range m.endpoints {
		if _, refused := m.refused[e.ID]; e.joined() && !e.named() && !refused {
			return false
		}
	}
	return true
}

// networksAll returns all networks.
func (m *Manager) networksAll() []*Network {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make([]*Network, 0, len(m.networks))
	for _, n := range m.networks {
		all = append(all, n)
	}
	return all
}

// reclaim frees the leases that no network and no endpoint has.
func (m *Manager) reclaim(ctx context.Context) error {
	freed, err := m.Leases.Reclaim(ctx, m.addressesInUse())
	if len(freed) > 0 {
		m.Log.WithField("addresses", freed).Info("freed addresses that Docker has forgotten")
	}
	return err
}

// addressesInUse returns every address that a network or an endpoint has.
func (m *Manager) addressesInUse() []netip.Addr {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var all []netip.Addr
	for _, n := range m.networks {
		all = append(all, n.gateways()...)
		for _, s := range slices.Concat(n.IPv4, n.IPv6) {
			for _, a := range s.Aux {
				all = append(all, a)
			}
		}
	}
	for _, e := range m.endpoints {
		all = append(all, e.addrs()...)
	}
	return all
}
