package observe

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/internal/abi"
)

// mostRecords are read together at most.
const mostRecords = 512

// Kernel is the ring buffer and the maps beside it.
type Kernel struct {
	ring   *polled
	budget *ebpf.Map
	maps   []*ebpf.Map
	once   sync.Once
}

var _ Ring = (*Kernel)(nil)

// Open opens the pinned maps of a directory (PINDIR/maps).
func Open(dir string) (*Kernel, error) {
	k := &Kernel{}
	open := func(name string) (*ebpf.Map, error) {
		m, err := openPinned(dir, name)
		if err == nil {
			k.maps = append(k.maps, m)
		}
		return m, err
	}
	events, err := open("events")
	if err == nil {
		err = k.observeAll(open)
	}
	if err == nil {
		k.budget, err = open("event_budget")
	}
	if err == nil {
		if k.ring, err = newPolled(events); err != nil {
			err = fmt.Errorf("read map events: %w", err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, k.closeMaps())
	}
	return k, nil
}

// observeAll has the programs tell all that they can, as long as they ask the map observers.
func (k *Kernel) observeAll(open func(string) (*ebpf.Map, error)) error {
	m, err := open("observers")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = m.Put(uint32(0), uint32(abi.ObserverTraces|abi.ObserverAllowed))
	}
	return err
}

// Read implements Ring.
func (k *Kernel) Read(each func(record []byte)) error { return k.ring.batch(mostRecords, each) }

// Lost implements Ring: the sums over all CPUs.
func (k *Kernel) Lost() (Losses, error) {
	var lost Loss
	for kind := uint32(abi.EventDrop); kind < abi.EventTypes; kind++ {
		var perCPU []abi.Budget
		if err := k.budget.Lookup(kind, &perCPU); err != nil {
			return nil, fmt.Errorf("count lost events: %w", err)
		}
		for _, b := range perCPU {
			lost.Events += uint64(b.Lost)
			if kind == abi.EventLearn {
				lost.Learn += uint64(b.Lost)
			}
		}
	}
	return Losses{NoSlot: lost}, nil
}

// Close ends a Read that waits.
func (k *Kernel) Close() error {
	var err error
	k.once.Do(func() { err = errors.Join(k.ring.Close(), k.closeMaps()) })
	return err
}

func (k *Kernel) closeMaps() error {
	var errs []error
	for _, m := range k.maps {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}
