package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/service"
)

// Registry gives host ports to owners (implemented by service.Registry).
type Registry interface {
	// Publish allocates the mappings for the owner's addresses and holds the host's ports; the same again gives the
	// same. A taken port is an error and leaves nothing allocated.
	Publish(owner string, addrs []netip.Addr, mappings []service.Mapping) ([]service.Published, error)
	// Withdraw gives back everything that the owner has.
	Withdraw(owner string)
}

// Program publishes ports of an endpoint on the host. It may be repeated.
func (m *Manager) Program(ctx context.Context, r PortsRequest) error {
	defer m.calls.lock(r.EndpointID)()
	e, ok := m.endpoint(r.EndpointID)
	if !ok {
		return fmt.Errorf("publish ports of endpoint %s: it is not known to Sluice", short(r.EndpointID))
	}
	n, known := m.network(e.NetworkID)
	switch {
	case len(r.Ports) == 0:
		return nil
	case !e.joined() || !known:
		return fmt.Errorf("publish ports of endpoint %s: it has not joined a container", short(r.EndpointID))
	case n.Internal:
		m.Log.WithField("endpoint", short(e.ID)).Info("ports are not published: the network is internal")
		return nil
	}
	m.publishing.Lock()
	defer m.publishing.Unlock()
	published, err := m.Ports.Publish(e.ID, e.addrs(), r.Ports)
	if err != nil {
		return fmt.Errorf("publish ports of endpoint %s: %w", short(e.ID), err)
	}
	changed := *e
	changed.Ports, changed.Published = r.Ports, published
	if err := m.save(ctx, &changed); err != nil {
		return errors.Join(err, m.holdPorts(e))
	}
	return m.publishPorts(e, &changed)
}

// holdPorts makes the registry hold what an endpoint's record says, and no more.
func (m *Manager) holdPorts(e *Endpoint) error {
	if len(e.Published) == 0 {
		m.Ports.Withdraw(e.ID)
		return nil
	}
	_, err := m.Ports.Publish(e.ID, e.addrs(), exact(e.Published))
	return err
}

// publishPorts makes the services map follow from one record of an endpoint to the next.
func (m *Manager) publishPorts(from, to *Endpoint) error {
	for _, p := range to.Published {
		if err := m.Frontends.Put(p.Frontend, p.Backend); err != nil {
			return fmt.Errorf("publish port %d/%s: %w", p.Frontend.Port, p.Frontend.Proto, err)
		}
	}
	for _, p := range from.Published {
		if slices.Contains(to.Published, p) {
			continue
		}
		if err := m.Frontends.Delete(p.Frontend); err != nil {
			return fmt.Errorf("withdraw port %d/%s: %w", p.Frontend.Port, p.Frontend.Proto, err)
		}
	}
	return nil
}

// Revoke withdraws the ports of an endpoint. Unknown endpoints succeed.
func (m *Manager) Revoke(ctx context.Context, _, endpointID string) error {
	defer m.calls.lock(endpointID)()
	e, ok := m.endpoint(endpointID)
	if !ok || len(e.Published) == 0 {
		return nil
	}
	m.publishing.Lock()
	defer m.publishing.Unlock()
	if err := m.withdraw(e); err != nil {
		return fmt.Errorf("revoke ports of endpoint %s: %w", short(endpointID), err)
	}
	bare := *e
	bare.Published = nil
	return m.save(ctx, &bare)
}

// withdraw takes an endpoint's ports from the kernel and gives them back. Its record still names them: who calls saves
// one that does not.
func (m *Manager) withdraw(e *Endpoint) error {
	if err := m.publishPorts(e, &Endpoint{}); err != nil {
		return err
	}
	m.Ports.Withdraw(e.ID)
	return nil
}

// syncPorts holds the recorded ports, if need be again, and makes the services map agree with the records. A port that
// somebody else took meanwhile stays published, since connections use it, and is reported.
func (m *Manager) syncPorts(context.Context) error {
	m.publishing.Lock()
	defer m.publishing.Unlock()
	have, err := m.Frontends.List()
	if err != nil {
		return fmt.Errorf("list frontends: %w", err)
	}
	for _, e := range m.endpointsAll() {
		if !e.joined() || len(e.Published) == 0 {
			continue
		}
		if err := m.holdPorts(e); err != nil {
			m.Log.WithError(err).WithField("endpoint", short(e.ID)).Error("hold published ports again")
		}
		for _, p := range e.Published {
			if have[p.Frontend] != p.Backend {
				if err := m.Frontends.Put(p.Frontend, p.Backend); err != nil {
					return fmt.Errorf("publish port %d/%s: %w", p.Frontend.Port, p.Frontend.Proto, err)
				}
			}
			delete(have, p.Frontend)
		}
	}
	for f := range have {
		if err := m.Frontends.Delete(f); err != nil {
			return fmt.Errorf("withdraw port %d/%s: %w", f.Port, f.Proto, err)
		}
	}
	return nil
}

// exact returns mappings that ask for just what was published.
func exact(published []service.Published) []service.Mapping {
	var all []service.Mapping
	for _, p := range published {
		all = append(all, service.Mapping{
			Proto: p.Frontend.Proto, Port: p.Backend.Port, HostIP: p.Frontend.Addr, HostPort: p.Frontend.Port,
		})
	}
	return all
}

// PublishedPorts lists the published ports, by port, protocol and address.
func (m *Manager) PublishedPorts(context.Context) ([]api.Port, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := []api.Port{}
	for _, e := range m.endpoints {
		n := m.networks[e.NetworkID]
		if n == nil || !e.joined() {
			continue
		}
		for _, p := range e.Published {
			all = append(all, api.Port{
				HostAddr: p.Frontend.Addr, HostPort: p.Frontend.Port, Protocol: p.Frontend.Proto.String(),
				Addr: p.Backend.Addr, Port: p.Backend.Port, Endpoint: e.ID, Container: e.Container.Name, Network: n.title(),
			})
		}
	}
	slices.SortFunc(all, func(a, b api.Port) int {
		if a.HostPort != b.HostPort {
			return int(a.HostPort) - int(b.HostPort)
		}
		return strings.Compare(a.Protocol+a.HostAddr.String(), b.Protocol+b.HostAddr.String())
	})
	return all, nil
}
