package observe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
)

// lossPeriod is how often the programs' count of lost events is read.
const lossPeriod = time.Second

// DefaultMemory is how much memory the ring of flows takes, bytes.
const DefaultMemory = 4 << 20

// Ring is the buffer that the programs write (implemented by Kernel).
type Ring interface {
	// Read waits a moment for records, and gives those there are, some hundred at most; they are valid until each returns.
	// After Close it returns os.ErrClosed.
	Read(each func(record []byte)) error
	// Lost returns how many events the programs did not write since they run.
	Lost() (Losses, error)
	Close() error
}

// Losses are numbers of events by the slot of the container that they were about; NoSlot: about none.
type Losses map[uint32]Loss

// Loss counts events.
type Loss struct {
	Events uint64
	// Of these:
	Denials uint64 // drops and audits
	Flows   uint64
	Packets uint64 // what is told beside flows at level packets
	Learn   uint64
}

// NoSlot is no container's slot.
const NoSlot = ^uint32(0)

// Options are what an Observer needs.
type Options struct {
	Ring  Ring
	Names Names
	Log   logrus.FieldLogger
	// Size is how many flows are kept; 0: what fits into DefaultMemory.
	Size int
	// First is the number of the first flow: the one after the archive's newest; 0: 1.
	First uint64
	// Archive has those of before; nil: none.
	Archive Archive
	clock   clock // nil: the kernel's
}

// Observer makes flows of what the programs write, and keeps them in a ring. It implements Events of package api/server.
type Observer struct {
	ring    Ring
	names   Names
	log     logrus.FieldLogger
	clock   clock
	flows   *Flows
	archive Archive

	closed    chan struct{} // when Run ends
	closeOnce sync.Once

	making sync.Mutex // guards namer, batch and fresh
	namer  namer
	batch  []*Flow
	fresh  uint64 // records in batch

	seen, lost, undecodable atomic.Uint64
	subscribers             atomic.Int64
}

// New returns an observer of the ring; Run reads it.
func New(o Options) *Observer {
	if o.clock == nil {
		o.clock = kernelClock
	}
	if o.Size == 0 {
		o.Size = FlowsIn(DefaultMemory)
	}
	return &Observer{ring: o.Ring, names: o.Names, log: o.Log, clock: o.clock, archive: o.Archive,
		flows: NewFlowsFrom(o.Size, max(o.First, 1)), closed: make(chan struct{}), namer: namer{names: o.Names}}
}

// Flows returns the ring of flows, for readers that go on as they come.
func (o *Observer) Flows() *Flows { return o.flows }

// Run reads until the context ends, then ends all subscriptions and closes the ring. Any other end is an error.
func (o *Observer) Run(ctx context.Context) error {
	defer o.end()
	lost, err := o.ring.Lost()
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
		o.end()
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

// end ends all subscriptions.
func (o *Observer) end() { o.closeOnce.Do(func() { close(o.closed) }) }

// read handles records until the ring is closed.
func (o *Observer) read(ctx context.Context) error {
	for {
		err := o.readBatch()
		switch {
		case errors.Is(err, os.ErrClosed) && ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("read events: %w", err)
		}
	}
}

// readBatch publishes the records that are there. The first of them begins the batch, since the ring may wait for it.
func (o *Observer) readBatch() error {
	begun := false
	err := o.ring.Read(func(record []byte) {
		if !begun {
			begun = true
			o.begin()
		}
		o.handle(record)
	})
	if begun {
		o.publish()
	}
	return err
}

// begin begins a batch, which publish ends.
func (o *Observer) begin() {
	o.making.Lock()
	o.namer.wall, o.namer.monotonic = o.clock()
}

// publish gives the batch to the readers.
func (o *Observer) publish() {
	o.flows.Add(o.batch...)
	o.seen.Add(o.fresh)
	o.fresh = 0
	clear(o.batch)
	o.batch = o.batch[:0]
	o.making.Unlock()
}

// handle adds one record to the batch.
func (o *Observer) handle(record []byte) {
	e, err := decode(record)
	if err != nil {
		if o.undecodable.Add(1) == 1 {
			o.log.Warnf("observe: %v (further ones are only counted)", err)
		}
		return
	}
	o.fresh++
	o.batch = o.namer.name(o.batch, &e)
}

// Publish adds events that the daemon itself knows of, for example of flows that expired. An event without a time is of
// now.
func (o *Observer) Publish(events ...abi.Event) {
	if len(events) == 0 {
		return
	}
	o.begin()
	for i := range events {
		if events[i].Time == 0 {
			events[i].Time = o.namer.monotonic
		}
		o.batch = o.namer.name(o.batch, &events[i])
	}
	o.publish()
}

// watchLoss tells readers of events that the programs did not write since there were before of them.
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

// noteLoss publishes how many events were lost since before, by container, and returns how many they are now.
func (o *Observer) noteLoss(before Losses) (Losses, error) {
	now, err := o.ring.Lost()
	if err != nil {
		return before, err
	}
	wall, _ := o.clock()
	var flows []*Flow
	for slot, n := range now {
		was := before[slot]
		if n.Events < was.Events || n.Learn < was.Learn { // the maps are new
			was = Loss{}
		}
		lost := &api.Lost{Where: api.LostKernel, Count: n.Events - was.Events, Learn: n.Learn - was.Learn}
		if lost.Count == 0 {
			continue
		}
		o.lost.Add(lost.Count)
		var whose *Party
		if slot != NoSlot {
			whose = o.names.Slot(slot)
		}
		flows = append(flows, lostFlow(wall, lost, whose))
	}
	o.flows.Add(flows...)
	return now, nil
}

// now is the time by the observer's clock.
func (o *Observer) now() time.Time {
	wall, _ := o.clock()
	return wall
}

// Counts returns what went through the ring since the daemon runs.
func (o *Observer) Counts() api.EventCounts {
	return api.EventCounts{Seen: o.seen.Load(), Lost: o.lost.Load(), Undecodable: o.undecodable.Load(),
		Subscribers: int(o.subscribers.Load())}
}
