package export

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/export/sink"
	"github.com/sluice-net/sluice/observe/export/sinktest"
)

const patience = 20 * time.Second

// fakeSink takes records as it is told.
type fakeSink struct {
	mu     sync.Mutex
	taken  []uint64 // numbers of flows
	most   int      // records of a batch
	closed bool
	answer func(ctx context.Context, batch []sink.Record) sink.Result // nil: everything is taken
}

func (s *fakeSink) Send(ctx context.Context, batch []sink.Record) sink.Result {
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	r := sink.Result{Sent: len(batch)}
	if answer != nil {
		r = answer(ctx, batch)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = max(s.most, len(batch))
	for _, record := range batch[:r.Sent] {
		s.taken = append(s.taken, record.Flow.Seq)
	}
	return r
}

func (s *fakeSink) Target() string { return "fake" }

func (s *fakeSink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func (s *fakeSink) become(answer func(context.Context, []sink.Record) sink.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *fakeSink) got() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.taken)
}

func down(context.Context, []sink.Record) sink.Result { return sink.Result{Err: errors.New("not now")} }

func quiet() *logrus.Logger {
	log := logrus.New()
	log.SetLevel(logrus.PanicLevel)
	return log
}

// rig is an export of a fake sink, of a ring of a few flows.
type rig struct {
	*export
	sink *fakeSink
	t    *testing.T
}

func newRig(t *testing.T, size int, change func(*Config)) *rig {
	t.Helper()
	c := Config{Name: "x", Type: TypeFile, Batch: Batch{Size: 4, Delay: sink.Duration(time.Millisecond)}}
	if change != nil {
		change(&c)
	}
	match, err := c.match(sinktest.Converter)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, sink: &fakeSink{}}
	r.export = &export{config: c, sink: r.sink, match: match, converter: sinktest.Converter, ring: observe.NewFlows(size), log: quiet(),
		count: &counts{state: api.ExportIdle}}
	t.Cleanup(func() {
		if r.done != nil {
			r.abandon()
			<-r.done
		}
	})
	return r
}

// add adds flows to the ring, dropped ones unless it is said how many closed ones.
func (r *rig) add(n int) {
	for range n {
		r.ring.Add(sinktest.Dropped(4))
	}
}

// until waits for a state.
func (r *rig) until(what string, done func(api.Export) bool) api.Export {
	r.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		s := r.state()
		if done(s) {
			return s
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("never %s: %+v, taken %v", what, s, r.sink.got())
		}
	}
}

// numbers are those from first to last.
func numbers(first, last uint64) (all []uint64) {
	for n := first; n <= last; n++ {
		all = append(all, n)
	}
	return all
}

func TestExport(t *testing.T) {
	r := newRig(t, 100, nil)
	r.add(3)
	if s := r.state(); s.State != api.ExportIdle {
		t.Errorf("%+v", s)
	}
	r.start(3) // not those before
	r.add(20)
	s := r.until("all taken", func(s api.Export) bool { return s.Exported == 21 })
	if s.State != api.ExportUp || s.Lost+s.Failed+s.Waiting != 0 || s.LastExport.IsZero() || s.Name != "x" || s.Target != "fake" {
		t.Errorf("%+v", s)
	}
	if got := r.sink.got(); !slices.Equal(got, numbers(3, 23)) || r.sink.most > 4 {
		t.Errorf("took %v, batches of %d", got, r.sink.most)
	}
	r.stop(true, patience)
	if !r.sink.closed {
		t.Error("the sink was not closed")
	}
}

func TestFilterMovesOn(t *testing.T) {
	r := newRig(t, 100, func(c *Config) {
		parsed, err := Parse("x", []byte("exports: [{name: a, type: file, path: /x, include: [{verdict: [FORWARDED]}], fieldMask: [verdict]}]"))
		if err != nil {
			t.Fatal(err)
		}
		c.Include, c.FieldMask = parsed[0].Include, parsed[0].FieldMask
	})
	var err error
	if r.mask, err = r.config.mask(); err != nil {
		t.Fatal(err)
	}
	masked := make(chan sink.Record, 10)
	r.sink.become(func(_ context.Context, batch []sink.Record) sink.Result {
		masked <- batch[0]
		return sink.Result{Sent: len(batch)}
	})
	r.start(1)
	r.add(10)
	if s := r.until("read", func(s api.Export) bool { return s.Waiting == 0 }); s.Exported != 0 || s.State != api.ExportIdle {
		t.Errorf("%+v", s)
	}
	r.ring.Add(sinktest.Closed(4))
	got := <-masked
	if got.Flow.Seq != 11 || got.Hubble.GetIP() != nil || got.Hubble.GetVerdict().String() != "FORWARDED" {
		t.Errorf("%+v", got.Hubble)
	}
}

// TestDown: a dead receiver costs only what the ring forgets meanwhile, which is counted, and what it holds is sent later.
func TestDown(t *testing.T) {
	r := newRig(t, 100, nil)
	r.sink.become(down)
	r.start(1)
	r.add(4)
	s := r.until("down", func(s api.Export) bool { return s.State == api.ExportDown })
	if s.LastError != "not now" || s.LastErrorTime.IsZero() || s.Waiting != 4 || s.Exported != 0 {
		t.Errorf("%+v", s)
	}
	start := time.Now()
	r.add(1000)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the writer was held up for %v", took)
	}
	r.sink.become(nil)
	s = r.until("all taken", func(s api.Export) bool { return s.Waiting == 0 })
	if got := r.sink.got(); s.State != api.ExportUp || s.Exported+s.Lost != 1004 || uint64(len(got)) != s.Exported || s.Exported < 100 ||
		!slices.Equal(got[:4], numbers(1, 4)) || !slices.Equal(got[len(got)-100:], numbers(905, 1004)) {
		t.Errorf("%+v, took %v", s, got)
	}
	if s.LastError != "not now" {
		t.Error("the last error is forgotten")
	}
}

func TestRefused(t *testing.T) {
	r := newRig(t, 100, nil)
	r.sink.become(func(_ context.Context, batch []sink.Record) sink.Result {
		return sink.Result{Sent: len(batch) - 1, Refused: 1, Err: sink.ErrRefused}
	})
	r.add(8)
	r.start(1)
	s := r.until("dealt with", func(s api.Export) bool { return s.Waiting == 0 })
	if s.Exported != 6 || s.Failed != 2 || s.State != api.ExportUp || s.LastError == "" {
		t.Errorf("%+v", s)
	}
}

// TestPartly: what was taken of a batch is not sent again.
func TestPartly(t *testing.T) {
	r := newRig(t, 100, nil)
	turn := 0
	r.sink.become(func(_ context.Context, batch []sink.Record) sink.Result {
		if turn++; turn == 1 {
			return sink.Result{Sent: 3, Err: errors.New("broken off")}
		}
		return sink.Result{Sent: len(batch)}
	})
	r.add(6)
	r.start(1)
	r.until("all taken", func(s api.Export) bool { return s.Exported == 6 })
	if got := r.sink.got(); !slices.Equal(got, numbers(1, 6)) {
		t.Errorf("took %v", got)
	}
}

func TestQueue(t *testing.T) {
	r := newRig(t, 1000, func(c *Config) { c.Batch.Queue = 10 })
	r.sink.become(down)
	r.start(1)
	r.add(4)
	r.until("down", func(s api.Export) bool { return s.State == api.ExportDown })
	r.add(100)
	r.sink.become(nil)
	s := r.until("all taken", func(s api.Export) bool { return s.Waiting == 0 })
	if got := r.sink.got(); s.Exported+s.Lost != 104 || !slices.Equal(got[len(got)-10:], numbers(95, 104)) || len(got) > 14 {
		t.Errorf("%+v, took %v", s, got)
	}
}

// TestHandover: another export goes on where one was stopped, whatever state that was in.
func TestHandover(t *testing.T) {
	for name, answer := range map[string]func(context.Context, []sink.Record) sink.Result{
		"works": nil, "down": down, "hangs": func(ctx context.Context, _ []sink.Record) sink.Result {
			<-ctx.Done()
			return sink.Result{Err: ctx.Err()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1000, nil)
			r.sink.become(answer)
			r.start(1)
			r.add(50)
			if answer == nil {
				r.until("some taken", func(s api.Export) bool { return s.Exported > 0 })
			}
			r.stop(false, 50*time.Millisecond)
			next := newRig(t, 1, nil)
			next.ring, next.count = r.ring, r.count
			next.start(r.count.position)
			next.until("all taken", func(s api.Export) bool { return s.Exported == 50 })
			if got := append(r.sink.got(), next.sink.got()...); !slices.Equal(got, numbers(1, 50)) {
				t.Errorf("took %v", got)
			}
		})
	}
}

func TestStop(t *testing.T) {
	t.Run("sends what is there", func(t *testing.T) {
		r := newRig(t, 1000, func(c *Config) { c.Batch.Delay = sink.Duration(time.Minute) })
		r.start(1)
		r.add(50)
		r.stop(true, patience)
		if got := r.sink.got(); !slices.Equal(got, numbers(1, 50)) {
			t.Errorf("took %v", got)
		}
	})
	t.Run("tries once more at once", func(t *testing.T) {
		r := newRig(t, 1000, nil)
		r.sink.become(func(context.Context, []sink.Record) sink.Result {
			return sink.Result{Err: errors.New("later"), Wait: time.Hour}
		})
		r.start(1)
		r.add(5)
		r.until("down", func(s api.Export) bool { return s.State == api.ExportDown })
		r.sink.become(nil)
		r.stop(true, patience)
		if got := r.sink.got(); !slices.Equal(got, numbers(1, 5)) {
			t.Errorf("took %v", got)
		}
	})
	t.Run("is bounded", func(t *testing.T) {
		r := newRig(t, 1000, nil)
		r.sink.become(down)
		r.start(1)
		r.add(5)
		start := time.Now()
		r.stop(true, 200*time.Millisecond)
		if took := time.Since(start); took < 200*time.Millisecond || took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
	t.Run("without a flow", func(t *testing.T) {
		r := newRig(t, 1000, nil)
		r.start(1)
		r.stop(true, patience)
	})
}

// TestLostFlows: word of flows that the kernel lost is exported, whatever the filters say.
func TestLostFlows(t *testing.T) {
	r := newRig(t, 100, nil)
	kinds := make(chan uint64, 1)
	r.sink.become(func(_ context.Context, batch []sink.Record) sink.Result {
		kinds <- batch[0].Event().GetLostEvents().GetNumEventsLost()
		return sink.Result{Sent: len(batch)}
	})
	r.start(1)
	r.ring.Add(sinktest.Lost(77))
	if n := <-kinds; n != 77 {
		t.Errorf("%d lost", n)
	}
}

// BenchmarkExport measures what an export costs that takes every flow, without its receiver.
func BenchmarkExport(b *testing.B) {
	c := Config{Name: "x", Type: TypeFile, Batch: Batch{Size: 512}}
	match, _ := c.match(sinktest.Converter)
	ring := observe.NewFlows(1 << 14)
	for i := range 1 << 14 {
		f := sinktest.Closed(4)
		f.Kernel.Sport = abi.ToBE16(uint16(i))
		ring.Add(f)
	}
	e := &export{config: c, match: match, converter: sinktest.Converter, ring: ring, count: &counts{}, reader: ring.Reader(1)}
	b.ReportAllocs()
	for b.Loop() {
		if e.batch = e.batch[:0]; e.next(closed) != nil {
			e.reader = ring.Reader(1)
		}
	}
}
