package endpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/service"
	"github.com/sluice-net/sluice/store"
)

var errInjected = errors.New("injected failure")

// faults decides which operations on the kernel and the store succeed. That all fail from one on is how a daemon ends.
type faults struct {
	mu    sync.Mutex
	count int
	names []string
	fail  func(n int, name string) bool // whether the n-th operation fails, from 1; it has no effect then
}

func (f *faults) op(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	f.names = append(f.names, name)
	if f.fail != nil && f.fail(f.count, name) {
		return fmt.Errorf("%s: %w", name, errInjected)
	}
	return nil
}

// set starts counting anew.
func (f *faults) set(fail func(n int, name string) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count, f.names, f.fail = 0, nil, fail
}

// dead reports whether every operation from the last one on fails.
func (f *faults) dead() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fail != nil && f.fail(1<<30, "")
}

func (f *faults) done() (int, []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count, slices.Clone(f.names)
}

// fakeKernel is what survives the daemon. It checks with every operation what must hold at every moment.
type fakeKernel struct {
	*faults
	t testing.TB

	mu        sync.Mutex
	slots     map[uint32]datapath.Program
	addresses map[netip.Addr]datapath.Address
	pairs     map[uint32]datapath.Veth
	frontends map[service.Frontend]service.Backend
	gateways  []netip.Addr
	ifindex   int
	revisions map[uint32]string // tables of every revision that was ever loaded
	loads     int
	unchecked bool // the programs are elsewhere
	// mayOpen says whether an open program may be loaded; onReplace sees every load.
	mayOpen   func(p datapath.Program) bool
	onReplace func(p datapath.Program)
}

func newFakeKernel(t testing.TB) *fakeKernel {
	return &fakeKernel{
		faults: &faults{}, t: t, slots: map[uint32]datapath.Program{}, addresses: map[netip.Addr]datapath.Address{},
		pairs: map[uint32]datapath.Veth{}, frontends: map[service.Frontend]service.Backend{}, revisions: map[uint32]string{},
	}
}

type fakePrograms struct{ *fakeKernel }

func (k fakePrograms) Replace(_ context.Context, p datapath.Program) error {
	if err := k.op("replace"); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	tables := policy.Tables{Egress: p.Egress, Ingress: p.Ingress, Publish: p.Publish}.Hash()
	if old, ok := k.revisions[p.Revision]; ok && old != tables {
		k.t.Errorf("revision %d is used for other tables", p.Revision)
	}
	k.revisions[p.Revision] = tables
	if _, ok := k.pairs[p.Slot]; !ok {
		k.t.Errorf("programs loaded into slot %d, which has no pair", p.Slot)
	}
	if !p.Closed && k.mayOpen != nil && !k.mayOpen(p) {
		k.t.Errorf("slot %d opened, whose labels nobody knows", p.Slot)
	}
	if k.onReplace != nil {
		k.onReplace(p)
	}
	k.loads++
	k.slots[p.Slot] = p
	return nil
}

func (k fakePrograms) Clear(slot uint32) error {
	if err := k.op("clear"); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.slots, slot)
	return nil
}

func (k fakePrograms) Loaded() (map[uint32]string, error) {
	if err := k.op("loaded"); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	out := map[uint32]string{}
	for slot, p := range k.slots {
		out[slot] = p.Fingerprint()
	}
	return out, nil
}

func (k fakePrograms) Settle() error { return k.op("settle") }

func (k fakePrograms) Prune(owned func(uint32) bool) error {
	if err := k.op("prune"); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.slots, func(slot uint32, _ datapath.Program) bool { return !owned(slot) })
	return nil
}

type fakeAddresses struct{ *fakeKernel }

func (k fakeAddresses) Put(addr netip.Addr, a datapath.Address) error {
	if err := k.op("put address"); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	p, ok := k.slots[a.Slot]
	switch {
	case k.unchecked:
	case !ok:
		k.t.Errorf("address %s published before slot %d has programs", addr, a.Slot)
	case p.Identity != a.Identity:
		k.t.Errorf("address %s published as identity %d, its programs run as %d", addr, a.Identity, p.Identity)
	}
	k.addresses[addr] = a
	return nil
}

func (k fakeAddresses) Delete(addr netip.Addr) error {
	if err := k.op("delete address"); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.addresses, addr)
	return nil
}

func (k fakeAddresses) List() (map[netip.Addr]datapath.Address, error) {
	if err := k.op("list addresses"); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.addresses), nil
}

type fakeLinks struct{ *fakeKernel }

func (k fakeLinks) Take(context.Context) (datapath.Veth, error) {
	if err := k.op("take"); err != nil {
		return datapath.Veth{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	slot := uint32(1)
	for ; ; slot++ {
		if _, ok := k.pairs[slot]; !ok {
			break
		}
	}
	if _, ok := k.slots[slot]; ok {
		k.t.Errorf("slot %d is given away with programs in it", slot)
	}
	k.ifindex++
	v := datapath.Veth{Slot: slot, Host: fmt.Sprintf("slc%x", slot), Ifindex: 10 + k.ifindex,
		HostMAC: net.HardwareAddr{2, 0, 0, 0, 0, byte(slot)}, Peer: fmt.Sprintf("slcp%x", slot)}
	k.pairs[slot] = v
	return v, nil
}

func (k fakeLinks) Configure(v datapath.Veth, _ datapath.LinkConfig) error {
	if err := k.op("configure"); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pairs[v.Slot].Ifindex != v.Ifindex {
		return errors.New("no such device")
	}
	return nil
}

// Release gives the pair up for good even if it fails, as datapath.Links does.
func (k fakeLinks) Release(slot uint32) error {
	err := k.op("release")
	if k.dead() {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for addr, a := range k.addresses {
		if a.Slot == slot && !a.Host {
			k.t.Errorf("slot %d released, and address %s still leads there", slot, addr)
		}
	}
	delete(k.pairs, slot)
	return err
}

func (k fakeLinks) List() ([]datapath.Veth, error) {
	if err := k.op("list pairs"); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Values(k.pairs)), nil
}

func (k fakeLinks) Gateways(addrs []netip.Addr) error {
	if err := k.op("gateways"); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gateways = slices.Clone(addrs)
	return nil
}

type fakeFrontends struct{ *fakeKernel }

func (k fakeFrontends) Put(f service.Frontend, b service.Backend) error {
	if err := k.op("put frontend"); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.frontends[f] = b
	return nil
}

func (k fakeFrontends) Delete(f service.Frontend) error {
	if err := k.op("delete frontend"); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.frontends, f)
	return nil
}

func (k fakeFrontends) List() (map[service.Frontend]service.Backend, error) {
	if err := k.op("list frontends"); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.frontends), nil
}

// faultyStore injects faults into a store. Reading at the start is no point to crash at: it changes nothing.
type faultyStore struct {
	store.Store
	*faults
}

func (s faultyStore) Apply(ctx context.Context, ops ...store.Op) error {
	if err := s.op("store " + ops[len(ops)-1].Key); err != nil {
		return err
	}
	return s.Store.Apply(ctx, ops...)
}

// program returns what runs in the slot of an endpoint.
func (k *fakeKernel) program(slot uint32) (datapath.Program, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p, ok := k.slots[slot]
	return p, ok
}

// verdict asks the table that runs for an endpoint's ingress about a peer identity and TCP port.
func verdict(p datapath.Program, peer uint32, port uint16) policy.Verdict {
	v, _ := policy.Judge(policy.Ingress, p.Ingress, identityOf(peer), policy.ClassNetwork, netip.Addr{}, 6<<16|uint32(port))
	return v
}
