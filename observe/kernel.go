package observe

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cilium/ebpf"
)

// mostRecords are read together at most.
const mostRecords = 512

// Kernel is the ring buffer and the maps beside it. While it is open, no container's events crowd out another's.
type Kernel struct {
	ring    *polled
	budgets *budgets
	maps    []*ebpf.Map
	stop    chan struct{} // ends the balancing
	stopped sync.WaitGroup
	once    sync.Once
}

var _ Ring = (*Kernel)(nil)

// Open opens the pinned maps of a directory (PINDIR/maps).
func Open(dir string) (*Kernel, error) {
	k := &Kernel{stop: make(chan struct{})}
	opened := map[string]*ebpf.Map{}
	for _, name := range []string{"events", "event_budget", "event_limits"} {
		m, err := openPinned(dir, name)
		if err != nil {
			return nil, errors.Join(err, k.closeMaps())
		}
		opened[name] = m
		k.maps = append(k.maps, m)
	}
	var err error
	if k.budgets, err = newBudgets(opened["event_budget"], opened["event_limits"]); err == nil {
		if k.ring, err = newPolled(opened["events"]); err != nil {
			err = fmt.Errorf("read map events: %w", err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, k.closeMaps())
	}
	k.stopped.Go(k.balance)
	return k, nil
}

// balance shares out what may be written, until Close.
func (k *Kernel) balance() {
	tick := time.NewTicker(balancePeriod)
	defer tick.Stop()
	for {
		select {
		case <-k.stop:
			return
		case <-tick.C:
			_ = k.budgets.balance() // nothing is lost by it: the shares stay as they are
		}
	}
}

// Read implements Ring.
func (k *Kernel) Read(each func(record []byte)) error { return k.ring.batch(mostRecords, each) }

// Lost implements Ring.
func (k *Kernel) Lost() (Losses, error) { return k.budgets.losses() }

// Close ends a Read that waits.
func (k *Kernel) Close() error {
	var err error
	k.once.Do(func() {
		close(k.stop)
		k.stopped.Wait()
		err = errors.Join(k.ring.Close(), k.closeMaps())
	})
	return err
}

func (k *Kernel) closeMaps() error {
	var errs []error
	for _, m := range k.maps {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}
