package endpoint

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// burial bounds the wait for a dead container's veth pair: the kernel takes namespaces down in the background.
	burial = 2 * time.Second
	// glance is the pause between two looks at it.
	glance = 20 * time.Millisecond
)

// takeOver makes sure that nobody else has the endpoint's addresses. An engine that was killed gives its containers'
// addresses out again without a word about the endpoints that had them (with its own IPAM driver it sends neither Leave
// nor DeleteEndpoint): such an endpoint, known by its veth pair being gone, is deleted here. One that lives is refused.
func (m *Manager) takeOver(ctx context.Context, e *Endpoint) error {
	for _, a := range e.addrs() {
		other := m.holder(a)
		if other == nil || other.ID == e.ID {
			continue
		}
		if err := m.awaitDeath(ctx, other); err != nil {
			return fmt.Errorf("address %s: %w", a, err)
		}
		m.Log.WithField("endpoint", short(other.ID)).Info("its container ended without Docker's saying so, removing it")
		if err := m.DeleteEndpoint(ctx, other.NetworkID, other.ID); err != nil {
			return err
		}
	}
	return nil
}

// awaitDeath waits until an endpoint's veth pair is gone. One that never joined counts as in use while it is young.
func (m *Manager) awaitDeath(ctx context.Context, e *Endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, burial)
	defer cancel()
	for {
		veths, err := m.Links.List()
		if err != nil {
			return fmt.Errorf("list veth pairs: %w", err)
		}
		alive := e.Veth == nil && m.Now().Sub(e.Created) < settling || e.joined() && slices.ContainsFunc(veths, e.uses)
		if !alive {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("in use by endpoint %s (%s)", short(e.ID), e.Container.Name)
		case <-time.After(glance):
		}
	}
}

// dropHalfMade deletes the networks whose subnets a new one asks for, if they are what is left of a creation that Docker
// gave up: its request for a network is not followed by one to delete it when the answer was lost, as it is when the
// daemon ends in between. Docker never listed such a network, so it has neither a name nor endpoints; and it has freed
// the subnet, or would not ask for it.
func (m *Manager) dropHalfMade(ctx context.Context, wanted *Network) error {
	for _, n := range m.networksAll() {
		if n.Name != "" || len(m.endpointsOf(n.ID)) > 0 || !wanted.overlaps(n) {
			continue
		}
		asked, cancel := context.WithTimeout(ctx, engineTime)
		listed, err := m.Engine.Networks(asked)
		cancel()
		if err != nil || slices.ContainsFunc(listed, func(l EngineNetwork) bool { return l.ID == n.ID }) {
			continue // it is refused as any other
		}
		m.Log.WithField("network", n.title()).Info("Docker gave its creation up, removing it")
		if err := m.eraseNetwork(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// overlaps tells whether any subnets of two networks do.
func (n *Network) overlaps(other *Network) bool {
	return slices.ContainsFunc(slices.Concat(other.IPv4, other.IPv6), func(s Subnet) bool {
		_, overlaps := n.overlapping(s.Pool)
		return overlaps
	})
}
