package observe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
)

// lossPeriod is how often the programs' count of lost events is read.
const lossPeriod = time.Second

// DefaultMemory is how much memory the ring of flows takes, bytes.
const DefaultMemory = 8 << 20

// Ring is the buffer that the programs write (implemented by Kernel).
type Ring interface {
	// Read waits for a record and returns it; it is valid until the next Read. After Close it returns os.ErrClosed.
	Read() ([]byte, error)
	// Lost returns how many events the programs did not write since they run.
	Lost() (Losses, error)
	Switch
	Close() error
}

// Losses are numbers of events by type (abi.EventDrop and so on).
type Losses [abi.EventTypes]uint64

func (l Losses) sum() (n uint64) {
	for _, v := range l {
		n += v
	}
	return n
}

// Options are what an Observer needs.
type Options struct {
	Ring  Ring
	Names Names
	Log   logrus.FieldLogger
	// Size is how many flows are kept; 0: what fits into DefaultMemory.
	Size int
	// Archive has those of before; nil: none.
	Archive Archive
	clock   clock // nil: the kernel's
}

// Observer reads events. It implements Events of package api/server.
type Observer struct {
	ring  Ring
	names Names
	log   logrus.FieldLogger
	clock clock
	hub   *hub

	flows   *Flows
	archive Archive
	now     func() time.Time

	seen, lost, undecodable atomic.Uint64
}

// New returns an observer of the ring; Run reads it.
func New(o Options) *Observer {
	if o.clock == nil {
		o.clock = kernelClock
	}
	now := func() time.Time { wall, _ := o.clock(); return wall }
	if o.Size == 0 {
		o.Size = FlowsIn(DefaultMemory)
	}
	return &Observer{ring: o.Ring, names: o.Names, log: o.Log, clock: o.clock, hub: newHub(o.Ring, now, func(err error) {
		o.Log.Warnf("observe: %v", err)
	}), flows: NewFlows(o.Size), archive: o.Archive, now: now}
}

// Run reads until the context ends, then ends all subscriptions and closes the ring. Any other end is an error. What a
// daemon before this one listened to is turned off first.
func (o *Observer) Run(ctx context.Context) error {
	defer o.hub.close()
	err := o.ring.Observe(0)
	var lost Losses
	if err == nil {
		lost, err = o.ring.Lost()
	}
	if err != nil {
		return errors.Join(err, o.ring.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.watchLoss(ctx, lost)
	}()
	closed := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		o.hub.close()
		closed <- o.ring.Close()
	})
	err = o.read(ctx)
	cancel()
	<-done
	if closeErr := <-closed; err == nil {
		err = closeErr
	}
	return err
}

// read handles records until the ring is closed.
func (o *Observer) read(ctx context.Context) error {
	for {
		record, err := o.ring.Read()
		switch {
		case errors.Is(err, os.ErrClosed) && ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("read events: %w", err)
		}
		o.handle(record)
	}
}

// handle publishes one record.
func (o *Observer) handle(record []byte) {
	e, err := decode(record)
	if err != nil {
		if o.undecodable.Add(1) == 1 {
			o.log.Warnf("observe: %v (further ones are only counted)", err)
		}
		return
	}
	o.seen.Add(1)
	o.hub.publish(enrich(e, o.names, o.clock))
}

// watchLoss tells subscribers of events that the programs did not write since there were before of them.
func (o *Observer) watchLoss(ctx context.Context, before Losses) {
	tick := time.NewTicker(lossPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var err error
		if before, err = o.noteLoss(before); err != nil {
			o.log.Debugf("observe: %v", err)
		}
	}
}

// noteLoss publishes how many events were lost since before, and returns how many they are now.
func (o *Observer) noteLoss(before Losses) (Losses, error) {
	now, err := o.ring.Lost()
	switch {
	case err != nil:
		return before, err
	case now.sum() <= before.sum(): // less: the maps are new
		return now, nil
	}
	lost := &api.Lost{Where: api.LostKernel, Count: now.sum() - before.sum(), Learn: now[abi.EventLearn] - before[abi.EventLearn]}
	o.lost.Add(lost.Count)
	wall, _ := o.clock()
	o.hub.publish(api.Event{Type: api.EventLost, Time: wall, Lost: lost})
	return now, nil
}

// Subscribe gives the events that pass the filter until the context ends (see api/server.Events).
func (o *Observer) Subscribe(ctx context.Context, f api.EventFilter) (<-chan api.Event, error) {
	return o.hub.subscribe(ctx, f)
}

// Flows returns the ring of flows, for readers that go on as they come.
func (o *Observer) Flows() *Flows { return o.flows }

// Counts returns what went through the ring since the daemon runs.
func (o *Observer) Counts() api.EventCounts {
	return api.EventCounts{Seen: o.seen.Load(), Lost: o.lost.Load(), Undecodable: o.undecodable.Load(), Subscribers: o.hub.subscribers()}
}
