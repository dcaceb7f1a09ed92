package maps

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/service"
)

// Services is the map services: frontend → backend. Connections outlive their frontend: when it goes or gets another
// backend, theirs is entered into the map nat, where programs look for what no frontend explains.
type Services struct {
	m         *ebpf.Map
	flows     *Flows
	nat       *NAT
	endpoints *Endpoints
}

// NewServices types the map services, whose connections are in the others.
func NewServices(m *ebpf.Map, flows *Flows, nat *NAT, endpoints *Endpoints) *Services {
	return &Services{m, flows, nat, endpoints}
}

// Put enters or replaces a frontend.
func (s *Services) Put(f service.Frontend, b service.Backend) error {
	key, value := frontendKey(f), abi.Service{Backend: abi.FromAddr(b.Addr), Port: abi.ToBE16(b.Port)}
	if err := s.keepConnections(f, &b); err != nil {
		return fmt.Errorf("enter frontend %s into map services: %w", frontendName(f), err)
	}
	if err := s.m.Put(&key, &value); err != nil {
		return fmt.Errorf("enter frontend %s into map services: %w", frontendName(f), err)
	}
	return nil
}

// Delete removes a frontend; one that is not there succeeds.
func (s *Services) Delete(f service.Frontend) error {
	if err := s.keepConnections(f, nil); err != nil {
		return fmt.Errorf("remove frontend %s from map services: %w", frontendName(f), err)
	}
	key := frontendKey(f)
	return remove(s.m, &key, frontendName(f))
}

// keepConnections enters the connections of the frontend's backend into the map nat, unless next is the same backend.
func (s *Services) keepConnections(f service.Frontend, next *service.Backend) error {
	key := frontendKey(f)
	var old abi.Service
	if err := s.m.Lookup(&key, &old); errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	backend := service.Backend{Addr: old.Backend.Addr(), Port: old.Port.Host()}
	if next != nil && *next == backend {
		return nil
	}
	ifindex, ok, err := s.endpoints.ifindex(backend.Addr)
	if err != nil || !ok {
		return err
	}
	for flow, err := range s.flows.All() {
		if err != nil {
			return err
		}
		if !flow.Expired() && flow.reached(f, backend) {
			if err := s.nat.keep(flow, ifindex); err != nil {
				return err
			}
		}
	}
	return nil
}

// List returns all frontends.
func (s *Services) List() (map[service.Frontend]service.Backend, error) {
	out := map[service.Frontend]service.Backend{}
	for b, err := range batches[abi.ServiceKey, abi.Service](s.m) {
		if err != nil {
			return nil, fmt.Errorf("list map services: %w", err)
		}
		for i, k := range b.keys {
			f := service.Frontend{Addr: k.Addr.Addr(), Port: k.Port.Host(), Proto: service.Protocol(k.Proto)}
			out[f] = service.Backend{Addr: b.values[i].Backend.Addr(), Port: b.values[i].Port.Host()}
		}
	}
	return out, nil
}

func frontendKey(f service.Frontend) abi.ServiceKey {
	return abi.ServiceKey{Addr: abi.FromAddr(f.Addr), Port: abi.ToBE16(f.Port), Proto: uint8(f.Proto)}
}

// frontendName is what an error calls a frontend.
type frontendName service.Frontend

func (f frontendName) String() string {
	return fmt.Sprintf("%s/%s", netip.AddrPortFrom(f.Addr, f.Port), f.Proto)
}
