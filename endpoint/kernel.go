package endpoint

import (
	"context"
	"net/netip"

	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/service"
)

// Programs replaces containers' programs (implemented by datapath.Loader).
type Programs interface {
	// Replace loads and verifies the programs beside the running ones and writes both slots. On error the old programs
	// run on.
	Replace(ctx context.Context, p datapath.Program) error
	// Clear empties the slots: everything is dropped. Clearing an empty slot succeeds.
	Clear(slot uint32) error
	// Settle returns when no packet is in a program any more that was replaced before the call.
	Settle() error
	// Loaded returns the fingerprint (datapath.Program.Fingerprint) of what runs in every slot that is not empty, for
	// adoption; datapath.Mixed, which is no program's, where a replacement was cut short.
	Loaded() (map[uint32]string, error)
	// Prune empties every slot that is not owned and removes pins that nothing uses.
	Prune(owned func(slot uint32) bool) error
}

// Addresses is the map from address to endpoint (implemented by datapath/maps).
type Addresses interface {
	Put(addr netip.Addr, a datapath.Address) error
	Delete(addr netip.Addr) error
	List() (map[netip.Addr]datapath.Address, error)
}

// Links makes and removes containers' veth pairs (implemented by datapath.Links).
type Links interface {
	// Take gives a pair from the pool, or makes one.
	Take(ctx context.Context) (datapath.Veth, error)
	// Configure sets the peer's MAC, both MTUs, the host's routes to the addresses, and the sysctls; idempotent.
	Configure(v datapath.Veth, c datapath.LinkConfig) error
	// Release removes the pair, its routes, pins and doors; a pair that is gone succeeds.
	Release(slot uint32) error
	// List returns the pairs in use that exist in the kernel.
	List() ([]datapath.Veth, error)
	// Gateways makes the host own exactly these gateway addresses (beside what is not Sluice's).
	Gateways(addrs []netip.Addr) error
}

// Frontends is the services map (implemented by datapath/maps).
type Frontends interface {
	Put(f service.Frontend, b service.Backend) error
	Delete(f service.Frontend) error
	List() (map[service.Frontend]service.Backend, error)
}
