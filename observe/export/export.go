package export

import (
	"context"
	"sync"
	"sync/atomic"
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

	reading  context.Context // ends when the export is to
	end      context.CancelFunc
	draining atomic.Bool        // it is to send what there is first
	abandon  context.CancelFunc // ends it at once
	done     chan struct{}

	count *counts
}

// counts is what became of flows. It goes on when the settings of an export change.
type counts struct {
	mu       sync.Mutex
	exported uint64
	lost     uint64 // overwritten before they were read
	failed   uint64 // that the receiver refused
	position uint64 // number of the next flow to send
	state    string // api.ExportIdle and so on
	failure  string
	failedAt time.Time
	sentAt   time.Time
}

// start begins to export from a flow on.
func (e *export) start(from uint64) {
	sending, abandon := context.WithCancel(context.Background())
	e.reading, e.end = context.WithCancel(sending)
	e.abandon, e.done = abandon, make(chan struct{})
	e.reader, e.read = e.ring.Reader(from), from
	e.note(func(c *counts) { c.position = from })
	go func() {
		defer close(e.done)
		defer abandon()
		e.run(sending)
		if err := e.sink.Close(); err != nil {
			e.log.WithError(err).Debug("close export")
		}
	}()
}

// stop ends the export, and returns when it has. It sends first what is in the ring (drain), or only what is under way; after
// so long it is abandoned.
func (e *export) stop(drain bool, patience time.Duration) {
	e.draining.Store(drain)
	e.end()
	timer := time.AfterFunc(patience, e.abandon)
	defer timer.Stop()
	<-e.done
}

// run exports until it is to end.
func (e *export) run(ctx context.Context) {
	pause := firstPause
	for e.collect() && ctx.Err() == nil {
		r := e.sink.Send(ctx, e.batch)
		dealt := min(r.Sent+r.Refused, len(e.batch))
		left := len(e.batch) - dealt
		e.account(r, dealt)
		copy(e.batch, e.batch[dealt:])
		clear(e.batch[left:])
		e.batch = e.batch[:left]
		if left == 0 {
			pause = firstPause
			continue
		}
		if !e.sleep(ctx, max(pause, r.Wait)) {
			return
		}
		pause = min(2*pause, longestPause)
	}
}

// collect waits for flows and fills the batch, if it is empty: what was not taken is sent again as it is. It returns false
// when there is nothing more to do.
func (e *export) collect() bool {
	for len(e.batch) == 0 {
		if e.reading.Err() != nil && !e.draining.Load() {
			return false
		}
		if !e.ahead && e.next(e.reading) != nil {
			return false
		}
		e.fill()
		if !e.ahead && len(e.batch) > 0 {
			e.linger()
			e.fill()
		}
	}
	return true
}

// linger gives the batch time to grow.
func (e *export) linger() {
	timer := time.NewTimer(e.config.delay())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.reading.Done():
	}
}

// sleep waits before the next attempt, and tells whether there is to be one: an export that ends makes one more at once if
// it is to send what there is, and then goes on with short pauses until it is abandoned.
func (e *export) sleep(ctx context.Context, pause time.Duration) bool {
	reading := e.reading.Done()
	if e.reading.Err() != nil {
		reading, pause = nil, firstPause
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-reading:
	case <-ctx.Done():
		return false
	}
	return e.reading.Err() == nil || e.draining.Load()
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
	was, now := "", api.ExportUp
	if dealt == 0 {
		now = api.ExportDown
	}
	e.note(func(c *counts) {
		was, c.state = c.state, now
		c.exported += uint64(r.Sent)
		c.failed += uint64(r.Refused)
		c.position = position
		if r.Sent > 0 {
			c.sentAt = time.Now()
		}
		if r.Err != nil {
			c.failure, c.failedAt = r.Err.Error(), time.Now()
		}
	})
	switch {
	case was != api.ExportDown && now == api.ExportDown:
		e.log.WithError(r.Err).Warn("export is down; flows wait in memory, and the oldest are lost when that is full")
	case was == api.ExportDown && now == api.ExportUp:
		e.log.Info("export works again")
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
		out.State, out.Exported, out.Lost, out.Failed = c.state, c.exported, c.lost, c.failed
		out.LastError, out.LastErrorTime, out.LastExport = c.failure, c.failedAt, c.sentAt
		if next > c.position {
			out.Waiting = next - c.position
		}
	})
	return out
}
