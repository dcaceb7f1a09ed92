package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/sluice-net/sluice/store"
)

// allNetworks is the lock of the set of networks.
const allNetworks = "networks"

// networkLock names the lock of the set of a network's endpoints.
func networkLock(id string) string { return "network/" + id }

// CreateNetwork makes a network durable and its gateways addresses of the host. The same request again succeeds.
func (m *Manager) CreateNetwork(ctx context.Context, r NetworkRequest) error {
	defer m.calls.lock(allNetworks)()
	n := &Network{
		ID: r.ID, IPv4: r.IPv4, IPv6: r.IPv6, Internal: r.Internal, Options: r.Options, Created: m.Now().UTC(),
	}
	if old, ok := m.network(r.ID); ok {
		n.Name, n.Number, n.Created = old.Name, old.Number, old.Created
		if !reflect.DeepEqual(n, old) {
			return fmt.Errorf("create network %s: it exists with other subnets or options", short(r.ID))
		}
		return nil
	}
	err := m.dropHalfMade(ctx, n)
	if err == nil {
		err = m.checkSubnets(n)
	}
	if err != nil {
		return fmt.Errorf("create network %s: %w", short(r.ID), err)
	}
	n.Number = m.freeNumber()
	if err := m.saveNetwork(ctx, n); err != nil {
		return err
	}
	if err := m.setGateways(); err != nil {
		// Docker will not tell that it gave up, and try again under another id.
		undo := m.eraseNetwork(context.WithoutCancel(ctx), n)
		return fmt.Errorf("create network %s: %w", short(r.ID), errors.Join(err, undo))
	}
	return nil
}

// DeleteNetwork forgets a network and whatever is left of its endpoints. An unknown network succeeds.
func (m *Manager) DeleteNetwork(ctx context.Context, id string) error {
	defer m.calls.lock(allNetworks, networkLock(id))()
	n, ok := m.network(id)
	if !ok {
		return nil
	}
	for _, e := range m.endpointsOf(id) {
		if err := m.DeleteEndpoint(ctx, id, e.ID); err != nil {
			return err
		}
	}
	return m.eraseNetwork(ctx, n)
}

// eraseNetwork deletes the record of a network, then takes its gateways from the host.
func (m *Manager) eraseNetwork(ctx context.Context, n *Network) error {
	if err := m.Store.Apply(ctx, store.Remove(networkPrefix+n.ID)); err != nil {
		return fmt.Errorf("delete network %s: %w", short(n.ID), err)
	}
	m.mu.Lock()
	delete(m.networks, n.ID)
	m.parties.removeNetwork(n)
	m.generation++
	m.mu.Unlock()
	if err := m.setGateways(); err != nil {
		return fmt.Errorf("delete network %s: %w", short(n.ID), err)
	}
	return nil
}

// checkSubnets refuses subnets that overlap those of another network: addresses name endpoints host-wide.
func (m *Manager) checkSubnets(n *Network) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if len(n.IPv4)+len(n.IPv6) == 0 {
		return fmt.Errorf("it has no subnet: use an IPAM driver that allocates addresses, for example --ipam-driver sluice")
	}
	subnets := slices.Concat(n.IPv4, n.IPv6)
	for i, s := range subnets {
		if s.Pool.Bits() == 0 {
			return fmt.Errorf("pool %s: the null IPAM driver is not supported, use --ipam-driver sluice", s.Pool)
		}
		for _, o := range subnets[:i] {
			if s.Pool.Overlaps(o.Pool) {
				return fmt.Errorf("subnet %s overlaps %s of the same network", s.Pool, o.Pool)
			}
		}
		for _, other := range m.networks {
			if o, overlaps := other.overlapping(s.Pool); overlaps {
				return fmt.Errorf("subnet %s overlaps %s of network %s", s.Pool, o, other.title())
			}
		}
	}
	return nil
}

// overlapping returns the network's subnet that overlaps a pool.
func (n *Network) overlapping(pool netip.Prefix) (netip.Prefix, bool) {
	for _, s := range slices.Concat(n.IPv4, n.IPv6) {
		if s.Pool.Overlaps(pool) {
			return s.Pool, true
		}
	}
	return netip.Prefix{}, false
}

// title names a network for people.
func (n *Network) title() string {
	if n.Name != "" {
		return n.Name
	}
	return short(n.ID)
}

// freeNumber returns the smallest number that no network has.
func (m *Manager) freeNumber() uint32 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	used := map[uint32]bool{}
	for _, n := range m.networks {
		used[n.Number] = true
	}
	for i := uint32(1); ; i++ {
		if !used[i] {
			return i
		}
	}
}

// saveNetwork makes the record durable, then current.
func (m *Manager) saveNetwork(ctx context.Context, n *Network) error {
	op, err := put(networkPrefix+n.ID, n)
	if err != nil {
		return err
	}
	if err := m.Store.Apply(ctx, op); err != nil {
		return fmt.Errorf("store network %s: %w", short(n.ID), err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.networks[n.ID] = n
	var endpoints []string
	for _, e := range m.endpoints {
		if e.NetworkID == n.ID {
			endpoints = append(endpoints, e.ID)
		}
	}
	m.parties.putNetwork(n, endpoints)
	m.generation++
	return nil
}

// setGateways makes the host own the gateways of all networks.
func (m *Manager) setGateways() error {
	m.mu.RLock()
	var all []netip.Addr
	for _, n := range m.networks {
		all = append(all, n.gateways()...)
	}
	m.mu.RUnlock()
	slices.SortFunc(all, netip.Addr.Compare)
	if err := m.Links.Gateways(all); err != nil {
		return fmt.Errorf("set gateways: %w", err)
	}
	return nil
}

// endpointsOf returns the endpoints of a network.
func (m *Manager) endpointsOf(networkID string) []*Endpoint {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var all []*Endpoint
	for _, e := range m.endpoints {
		if e.NetworkID == networkID {
			all = append(all, e)
		}
	}
	return all
}
