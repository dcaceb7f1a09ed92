package observe

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/sluice-net/sluice/internal/abi"
)

// Kernel is the ring buffer and the maps beside it.
type Kernel struct {
	ring      *ringbuf.Reader
	record    ringbuf.Record
	observers *ebpf.Map
	budget    *ebpf.Map
	maps      []*ebpf.Map
	once      sync.Once
}

var _ Ring = (*Kernel)(nil)

// Open opens the pinned maps of a directory (PINDIR/maps).
func Open(dir string) (*Kernel, error) {
	k := &Kernel{}
	open := func(name string) (*ebpf.Map, error) {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
		if err != nil {
			return nil, fmt.Errorf("open map %s: %w", name, err)
		}
		k.maps = append(k.maps, m)
		return m, nil
	}
	events, err := open("events")
	if err == nil {
		k.observers, err = open("observers")
	}
	if err == nil {
		k.budget, err = open("event_budget")
	}
	if err == nil {
		if k.ring, err = ringbuf.NewReader(events); err != nil {
			err = fmt.Errorf("read map events: %w", err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, k.closeMaps())
	}
	return k, nil
}

// Read implements Ring.
func (k *Kernel) Read() ([]byte, error) {
	err := k.ring.ReadInto(&k.record)
	return k.record.RawSample, err
}

// Lost implements Ring: the sums over all CPUs.
func (k *Kernel) Lost() (lost Losses, err error) {
	for kind := uint32(abi.EventDrop); kind < abi.EventTypes; kind++ {
		var perCPU []abi.Budget
		if err := k.budget.Lookup(kind, &perCPU); err != nil {
			return lost, fmt.Errorf("count lost events: %w", err)
		}
		for _, b := range perCPU {
			lost[kind] += uint64(b.Lost)
		}
	}
	return lost, nil
}

// Observe implements Switch.
func (k *Kernel) Observe(flags uint32) error {
	if err := k.observers.Put(uint32(0), flags); err != nil {
		return fmt.Errorf("tell programs what to report: %w", err)
	}
	return nil
}

// Close ends a Read that waits. The programs report nothing more than drops and denied verdicts afterwards.
func (k *Kernel) Close() error {
	var err error
	k.once.Do(func() { err = errors.Join(k.Observe(0), k.ring.Close(), k.closeMaps()) })
	return err
}

func (k *Kernel) closeMaps() error {
	var errs []error
	for _, m := range k.maps {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}
