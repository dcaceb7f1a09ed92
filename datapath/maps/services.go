package maps

import (
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/service"
)

// Services is the map services: frontend → backend.
type Services struct{ m *ebpf.Map }

// NewServices types the map services.
func NewServices(m *ebpf.Map) *Services { return &Services{m} }

// Put enters or replaces a frontend.
func (s *Services) Put(f service.Frontend, b service.Backend) error {
	key, value := frontendKey(f), abi.Service{Backend: abi.FromAddr(b.Addr), Port: abi.ToBE16(b.Port)}
	if err := s.m.Put(&key, &value); err != nil {
		return fmt.Errorf("enter frontend %s into map services: %w", frontendName(f), err)
	}
	return nil
}

// Delete removes a frontend; one that is not there succeeds.
func (s *Services) Delete(f service.Frontend) error {
	key := frontendKey(f)
	return remove(s.m, &key, frontendName(f))
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
