package endpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/service"
)

// Registry gives host ports to the endpoints of sandboxes (implemented by service.Registry).
type Registry interface {
	// Publish allocates what a claim asks for and holds the host's ports; the same again gives the same. It returns
	// what each endpoint of the sandbox has then. A taken port is a service.TakenError and changes nothing.
	Publish(c service.Claim) (map[string][]service.Published, error)
	// Hold gives an endpoint exactly these ports.
	Hold(owner, sandbox string, split bool, published []service.Published) error
	// Withdraw gives back everything that the endpoint has.
	Withdraw(owner string)
}

// Program publishes ports of an endpoint on the host. It may be repeated, and come for several endpoints of a sandbox
// with the same ports: then each family is published by the one that is the way out for it.
func (m *Manager) Program(ctx context.Context, r PortsRequest) error {
	defer m.lockSandbox(r.EndpointID)()
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
	published, err := m.Ports.Publish(service.Claim{
		Owner: e.ID, Sandbox: e.Sandbox, Addrs: e.addrs(), Mappings: r.Ports, Split: r.Split,
	})
	if err != nil {
		return fmt.Errorf("publish ports of endpoint %s: %w", short(e.ID), m.nameHolder(err))
	}
	from, to := m.changedPorts(published)
	for _, changed := range to {
		if changed.ID == e.ID {
			changed.Ports, changed.Split = r.Ports, r.Split
		}
	}
	if err := m.saveAll(ctx, to); err != nil {
		return errors.Join(err, m.holdPorts(from...))
	}
	return m.publishPorts(from, to)
}

// changedPorts returns the records of endpoints as they are, and as they become with these ports.
func (m *Manager) changedPorts(published map[string][]service.Published) (from, to []*Endpoint) {
	for _, id := range slices.Sorted(maps.Keys(published)) {
		e, ok := m.endpoint(id)
		if !ok {
			continue
		}
		changed := *e
		changed.Published = published[id]
		from, to = append(from, e), append(to, &changed)
	}
	return from, to
}

// lockSandbox locks the calls for all endpoints of an endpoint's sandbox, in the order of their ids.
func (m *Manager) lockSandbox(id string) (unlock func()) {
	for {
		ids := m.sandboxOf(id)
		unlock := m.calls.lock(ids...)
		if slices.Equal(ids, m.sandboxOf(id)) {
			return unlock
		}
		unlock() // one joined or left meanwhile
	}
}

// sandboxOf returns the ids of an endpoint and of those that have joined the same sandbox, sorted.
func (m *Manager) sandboxOf(id string) []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	ids := []string{id}
	if e := m.endpoints[id]; e != nil && e.joined() {
		for _, other := range m.endpoints {
			if other.ID != id && other.joined() && other.Sandbox == e.Sandbox {
				ids = append(ids, other.ID)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// nameHolder says which container has a host port, where a container has it.
func (m *Manager) nameHolder(err error) error {
	var taken *service.TakenError
	if !errors.As(err, &taken) || taken.Owner == "" {
		return err
	}
	holder, ok := m.endpoint(taken.Owner)
	if !ok || holder.Container.Name == "" {
		return err
	}
	return &heldError{taken.Frontend, holder.Container.Name, err}
}

// heldError is a TakenError with the name of the container that has the port.
type heldError struct {
	frontend  service.Frontend
	container string
	error
}

// Error names the port and the container.
func (e *heldError) Error() string {
	return fmt.Sprintf("%s: %v to container %s: choose another host port or remove that container",
		e.frontend, service.ErrTaken, e.container)
}

// Unwrap returns the registry's error.
func (e *heldError) Unwrap() error { return e.error }

// holdPorts makes the registry hold what records of endpoints say, and no more.
func (m *Manager) holdPorts(all ...*Endpoint) error {
	var errs []error
	for _, e := range all {
		if len(e.Published) == 0 {
			m.Ports.Withdraw(e.ID)
			continue
		}
		errs = append(errs, m.Ports.Hold(e.ID, e.Sandbox, e.Split, e.Published))
	}
	return errors.Join(errs...)
}

// publishPorts makes the services map follow from records of endpoints to the next ones. A frontend that goes from one
// to another is never missing.
func (m *Manager) publishPorts(from, to []*Endpoint) error {
	keep := map[service.Frontend]bool{}
	for _, e := range to {
		for _, p := range e.Published {
			keep[p.Frontend] = true
			if err := m.Frontends.Put(p.Frontend, p.Backend); err != nil {
				return fmt.Errorf("publish port %d/%s: %w", p.Frontend.Port, p.Frontend.Proto, err)
			}
		}
	}
	for _, e := range from {
		for _, p := range e.Published {
			if keep[p.Frontend] {
				continue
			}
			if err := m.Frontends.Delete(p.Frontend); err != nil {
				return fmt.Errorf("withdraw port %d/%s: %w", p.Frontend.Port, p.Frontend.Proto, err)
			}
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
	if err := m.publishPorts([]*Endpoint{e}, nil); err != nil {
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
