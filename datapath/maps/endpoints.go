package maps

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/internal/abi"
)

// Endpoints is the map endpoints: address → where it is and who it is.
type Endpoints struct{ m *ebpf.Map }

// NewEndpoints types the map endpoints.
func NewEndpoints(m *ebpf.Map) *Endpoints { return &Endpoints{m} }

// Put enters or replaces an address.
func (e *Endpoints) Put(addr netip.Addr, a datapath.Address) error {
	key, value := abi.FromAddr(addr), abi.Endpoint{
		Ifindex: uint32(a.Ifindex), Identity: a.Identity, Network: a.Network, Slot: a.Slot}
	copy(value.MAC[:], a.MAC)
	if a.Host {
		value.Flags |= abi.EndpointHost
	}
	if a.Routed {
		value.Flags |= abi.EndpointRouted
	}
	if err := e.m.Put(&key, &value); err != nil {
		return fmt.Errorf("enter address %s into map endpoints: %w", addr, err)
	}
	return nil
}

// ifindex is that of the host-side veth of the container with an address; false: there is none.
func (e *Endpoints) ifindex(addr netip.Addr) (uint32, bool, error) {
	key := abi.FromAddr(addr)
	var v abi.Endpoint
	err := e.m.Lookup(&key, &v)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return 0, false, nil
	}
	return v.Ifindex, err == nil, err
}

// Delete removes an address; one that is not there succeeds.
func (e *Endpoints) Delete(addr netip.Addr) error {
	key := abi.FromAddr(addr)
	return remove(e.m, &key, addr)
}

// List returns all addresses.
func (e *Endpoints) List() (map[netip.Addr]datapath.Address, error) {
	out := map[netip.Addr]datapath.Address{}
	for b, err := range batches[abi.IP, abi.Endpoint](e.m) {
		if err != nil {
			return nil, fmt.Errorf("list map endpoints: %w", err)
		}
		for i, v := range b.values {
			a := datapath.Address{Ifindex: int(v.Ifindex), Identity: v.Identity, Network: v.Network, Slot: v.Slot,
				Host: v.Flags&abi.EndpointHost != 0, Routed: v.Flags&abi.EndpointRouted != 0}
			if v.MAC != [6]byte{} {
				a.MAC = net.HardwareAddr(v.MAC[:])
			}
			out[b.keys[i].Addr()] = a
		}
	}
	return out, nil
}
