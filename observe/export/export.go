package export

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/export/sink"
	"github.com/sluice-net/sluice/observe/hubble/convert"
)

// Pauses between attempts to reach a receiver that does not take flows: the first, and the longest.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 15 * time.Second
)

// export is one export at work. One goroutine runs it.
type export struct {
	config    Config
	source    string // the file that it is of
	sink      sink.Sink
	match     func(*observe.Flow) bool
	mask      *convert.Mask
	converter *convert.Converter
	ring      *observe.Flows
	log       logrus.FieldLogger

	reader *observe.Reader
	read   uint64        // number of the next flow to read
	batch  []sink.Record // read, and not dealt with
	ahead  bool          // the ring holds more than the batch has room for

	drain   chan struct{}      // closed: send what is there, and end
	yield   chan struct{}      // closed: end, another goes on
	abandon context.CancelFunc // ends at once
	done    chan struct{}

	count *counts
}

// counts is what became of flows. It goes on when the settings of an export change.
type counts struct {
	mu       sync.Mutex
	exported uint64
	lost     uint64 // overwritten before they were read
	failed   uint64 // that the receiver refused
	position uint64 // number of the next flow to send
	up       bool
	failure  string
	failedAt time.Time
	sentAt   time.Time
}

// errNoMore ends an export that sends what there is.
var errNoMore = errors.New("no more flows")

// start begins to export from a flow on.
func (e *export) start(from uint64) {
	var ctx context.Context
	ctx, e.abandon = context.WithCancel(context.Background())
	e.drain, e.yield, e.done = make(chan struct{}), make(chan struct{}), make(chan struct{})
	e.reader, e.read = e.ring.Reader(from), from
	e.note(func(c *counts) { c.position = from })
	go func() {
		defer close(e.done)
		defer e.abandon()
		e.run(ctx)
		if err := e.sink.Close(); err != nil {
			e.log.WithError(err).Debug("close export")
		}
	}()
}

// stop ends the export, and returns when it has: after so long it is abandoned. It sends first what is in the ring (drain),
// or only what is under way.
func (e *export) stop(drain bool, patience time.Duration) {
	if drain {
		close(e.drain)
	} else {
		close(e.yield)
	}
	timer := time.AfterFunc(patience, e.abandon)
	defer timer.Stop()
	<-e.done
}

// run exports until it is to end.
func (e *export) run(ctx context.Context) {
	pause := firstPause
	for {
		if err := e.collect(ctx); err != nil {
			return
		}
		r := e.sink.Send(ctx, e.batch)
		dealt := min(r.Sent+r.Refused, len(e.batch))
		e.account(r, dealt)
		clear(e.batch[:dealt])
		e.batch = append(e.batch[:0], e.batch[dealt:]...)
		if len(e.batch) == 0 || dealt > 0 && r.Err == nil {
			pause = firstPause
			continue
		}
		if !e.sleep(ctx, max(pause, r.Wait)) {
			return
		}
		pause = min(2*pause, longestPause)
	}
}

// collect waits for flows and fills the batch, if it is empty: what was not taken is sent again as it is. It errs when there
// is nothing more to do.
func (e *export) collect(ctx context.Context) error {
	if len(e.batch) > 0 {
		return ctx.Err()
	}
	for len(e.batch) == 0 {
		if err := e.wait(ctx); err != nil {
			return err
		}
		e.fill()
	}
	if !e.ahead && e.linger(ctx) {
		e.fill()
	}
	return ctx.Err()
}

// wait returns when there may be a flow to read. It reads the first itself.
func (e *export) wait(ctx context.Context) error {
	select {
	case <-e.yield:
		return errNoMore
	default:
	}
	if e.ahead {
		return ctx.Err()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		select {
		case <-e.drain:
		case <-e.yield:
		case <-ctx.Done():
		}
		cancel(errNoMore)
	}()
	err := e.next(ctx)
	cancel(nil)
	<-finished
	return err
}

// linger gives the batch time to grow. It tells whether it is worth a look.
func (e *export) linger(ctx context.Context) bool {
	timer := time.NewTimer(e.config.delay())
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.drain:
		return true
	case <-e.yield:
		return false
	case <-ctx.Done():
		return false
	}
}

// sleep waits before the next attempt. An export that is to yield does not make one.
func (e *export) sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.yield:
		return false
	case <-ctx.Done():
		return false
	}
}

// closed is a context that has ended: what is read with it does not wait.
var closed = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// fill reads flows that are there until the batch is full.
func (e *export) fill() {
	for len(e.batch) < e.config.batchSize() {
		if e.next(closed) != nil {
			e.ahead = false
			return
		}
	}
	e.ahead = true
}

// next reads one flow, and takes it into the batch if it is to be exported.
func (e *export) next(ctx context.Context) error {
	e.skip()
	f, lost, err := e.reader.Next(ctx)
	if lost > 0 {
		e.note(func(c *counts) { c.lost += lost })
	}
	if err != nil {
		return err
	}
	e.read = f.Seq + 1
	if e.match(f) {
		e.batch = append(e.batch, e.record(f))
	} else if len(e.batch) == 0 {
		e.note(func(c *counts) { c.position = e.read })
	}
	return nil
}

// skip leaves out the oldest flows if more wait than are to.
func (e *export) skip() {
	queue := uint64(e.config.Batch.Queue)
	if queue == 0 {
		return
	}
	if _, next := e.ring.Bounds(); next > e.read+queue {
		lost := next - queue - e.read
		e.note(func(c *counts) { c.lost += lost })
		e.read = next - queue
		e.reader = e.ring.Reader(e.read)
	}
}

func (e *export) record(f *observe.Flow) sink.Record {
	r := sink.Record{Flow: f, Node: e.converter.NodeName()}
	if f.IsLost() {
		r.Lost = convert.Lost(f)
	} else {
		r.Hubble = e.converter.Masked(f, e.mask)
	}
	return r
}

// account counts what became of a batch.
func (e *export) account(r sink.Result, dealt int) {
	position := e.read
	if dealt < len(e.batch) {
		position = e.batch[dealt].Flow.Seq
	}
	was, up := false, dealt > 0 || r.Err == nil
	e.note(func(c *counts) {
		was = c.up
		c.exported += uint64(r.Sent)
		c.failed += uint64(r.Refused)
		c.position = position
		c.up = up
		if r.Sent > 0 {
			c.sentAt = time.Now()
		}
		if r.Err != nil {
			c.failure, c.failedAt = r.Err.Error(), time.Now()
		}
	})
	switch {
	case was && !up:
		e.log.WithError(r.Err).Warn("export is down; flows wait in memory, and the oldest are lost when that is full")
	case !was && up:
		e.log.Info("export works")
	}
}

// note changes the counts.
func (e *export) note(change func(*counts)) {
	e.count.mu.Lock()
	defer e.count.mu.Unlock()
	change(e.count)
}

// state shows the export.
func (e *export) state() api.Export {
	_, next := e.ring.Bounds()
	out := api.Export{Name: e.config.Name, Type: e.config.Type, Target: e.sink.Target(), Source: e.source}
	e.note(func(c *counts) {
		out.Up, out.Exported, out.Lost, out.Failed = c.up, c.exported, c.lost, c.failed
		out.LastError, out.LastErrorTime, out.LastExport = c.failure, c.failedAt, c.sentAt
		if next > c.position {
			out.Waiting = next - c.position
		}
	})
	return out
}
