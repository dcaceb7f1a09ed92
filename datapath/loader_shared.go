package datapath

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/internal/abi"
)

// sharedSlots is the array of the programs that all containers' programs share. Every version of the objects has one of
// its own: a container's program and the shared ones that it calls are always of one version.
const sharedSlots = "shared_slots"

// versionSum identifies everything that the shared programs are made from, the maps that they are linked to included.
func (l *Loader) versionSum(o objects) ([]byte, error) {
	h := sha256.New()
	h.Write(o.container)
	h.Write(o.shared)
	fmt.Fprint(h, l.opts.MasqueradePorts)
	ids, err := l.maps.ids()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		fmt.Fprintln(h, id)
	}
	return h.Sum(nil), nil
}

// ids are the ids of the open maps, in order.
func (s *sharedMaps) ids() ([]ebpf.MapID, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var ids []ebpf.MapID
	for name, m := range s.open {
		info, err := m.Info()
		if err != nil {
			return nil, fmt.Errorf("inspect map %s: %w", name, err)
		}
		id, _ := info.ID()
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, nil
}

// loadShared fills the shared slots, unless a former daemon of this version did.
func (l *Loader) loadShared() error {
	array := l.maps.get(sharedSlots)
	var missing []uint32
	for slot := range abi.SharedPrograms {
		var id uint32
		switch err := array.Lookup(slot, &id); {
		case errors.Is(err, ebpf.ErrKeyNotExist):
			missing = append(missing, slot)
		case err != nil:
			return fmt.Errorf("read slot %d of %s: %w", slot, sharedSlots, err)
		}
	}
	if len(missing) == 0 || len(l.shared.programs) == 0 {
		return nil
	}
	constants, err := l.shared.constants(map[string][]byte{
		"VERSION":             u32(l.version),
		"MASQUERADE_PORT_MIN": u16(l.opts.MasqueradePorts[0]),
		"MASQUERADE_PORT_MAX": u16(l.opts.MasqueradePorts[1]),
	})
	if err != nil {
		return err
	}
	defer constants.Close()
	errs := make([]error, len(missing))
	var wg sync.WaitGroup
	for i, slot := range missing {
		wg.Go(func() { errs[i] = l.loadSharedSlot(array, slot, constants) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (l *Loader) loadSharedSlot(array *ebpf.Map, slot uint32, constants *ebpf.Map) error {
	p, err := l.shared.load(abi.SharedPrograms[slot], constants, nil)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := array.Put(slot, uint32(p.FD())); err != nil {
		return fmt.Errorf("write slot %d of %s: %w", slot, sharedSlots, err)
	}
	return nil
}
