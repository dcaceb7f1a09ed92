package observe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/sluice-net/sluice/internal/abi"
)

const (
	// readPeriod is how long records wait to be read together.
	readPeriod = 50 * time.Millisecond
	// mostRecords are read together at most.
	mostRecords = 512
)

// Kernel is the ring buffer and the maps beside it.
type Kernel struct {
	ring   *ringbuf.Reader
	record ringbuf.Record
	budget *ebpf.Map
	maps   []*ebpf.Map
	once   sync.Once
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
		err = k.observeAll(open)
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

// Read implements Ring. The programs wake it only when there is much to read.
func (k *Kernel) Read(each func(record []byte)) error {
	k.ring.SetDeadline(time.Now().Add(readPeriod))
	for range mostRecords {
		err := k.ring.ReadInto(&k.record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		each(k.record.RawSample)
		if k.record.Remaining == 0 {
			return nil
		}
	}
	return nil
}

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
