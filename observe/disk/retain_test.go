package disk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/observe"
)

// watch is a clock that the test sets.
type watch struct {
	mu  sync.Mutex
	now time.Time
}

func (w *watch) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *watch) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// noise is a flow that does not compress.
func noise(i int) *observe.Flow {
	f := flow(i)
	for _, b := range [][]byte{f.Kernel.Src[:], f.Kernel.Dst[:], f.Kernel.DNATAddr[:], f.Kernel.SNATAddr[:]} {
		for i := range b {
			b[i] = byte(rand.Int())
		}
	}
	return f
}

// TestRetentionBySize: the directory stays within its size, and what goes is the oldest.
func TestRetentionBySize(t *testing.T) {
	dir := t.TempDir()
	const size = 4 << 20
	h := open(t, Options{Dir: dir, Size: size})
	written := 0
	for len(files(t, dir)) < 3 || h.Counts().Written < 80_000 {
		for range 1000 {
			h.ring.Add(noise(written))
			written++
		}
		poll(t, "they are written", func() bool { return h.Counts().Written+blockFlows > uint64(written) })
	}
	h.end()
	c := h.Counts()
	if c.Bytes > size+segmentMin || c.Bytes < size/2 || c.Lost != 0 {
		t.Errorf("%d bytes are kept, %d flows are lost", c.Bytes, c.Lost)
	}
	h = open(t, Options{Dir: dir, Size: size})
	defer h.end()
	got := numbers(h.all(observe.Range{}))
	if len(got) == 0 || got[len(got)-1] != uint64(written) || got[0] == 1 || uint64(len(got)) != got[len(got)-1]-got[0]+1 {
		t.Errorf("%d flows from %d to %d are kept of %d", len(got), got[0], got[len(got)-1], written)
	}
}

// TestRetentionByAge: flows go when they are old enough by a clock that does not jump, whatever the times of flows are; a
// restart takes the wall clock's word for what was before.
func TestRetentionByAge(t *testing.T) {
	dir := t.TempDir()
	clock := &watch{now: noon}
	o := Options{Dir: dir, Retention: time.Hour, now: clock.time}
	h := open(t, o)
	h.add(0, 10)
	h.end()
	for i, step := range []struct {
		pass time.Duration
		want int
	}{{0, 10}, {59 * time.Minute, 10}, {2 * time.Minute, 0}} {
		clock.pass(step.pass)
		h := open(t, o)
		if got := len(h.all(observe.Range{})); got != step.want {
			t.Errorf("step %d: %d flows, want %d", i, got, step.want)
		}
		h.end()
	}

	h = open(t, o)
	defer h.end()
	jumped := flow(20) // the wall clock is ten years ahead, for one flow
	jumped.Time = jumped.Time.AddDate(10, 0, 0)
	h.ring.Add(flow(10), jumped, flow(21))
	poll(t, "they are written", func() bool { return h.Counts().Written == 3 })
	clock.pass(59 * time.Minute)
	h.retain()
	if got := len(h.all(observe.Range{})); got != 3 {
		t.Errorf("%d flows after the jump", got)
	}
}

// TestClockSteps: wherever the wall clock jumps, flows come in their order, and times choose by what flows say.
func TestClockSteps(t *testing.T) {
	dir := t.TempDir()
	h := open(t, Options{Dir: dir})
	at := func(i int) time.Time { // an hour back after 1000 flows, two hours ahead after 2000
		return noon.Add(time.Duration(i)*time.Second + [...]time.Duration{0, -time.Hour, 2 * time.Hour}[i/1000])
	}
	for i := range 3000 {
		f := flow(i)
		f.Time = at(i)
		h.ring.Add(f)
	}
	h.end()
	h = open(t, Options{Dir: dir})
	defer h.end()
	if got := numbers(h.all(observe.Range{})); len(got) != 3000 || got[0] != 1 || got[2999] != 3000 {
		t.Errorf("%d flows", len(got))
	}
	for _, r := range []observe.Range{
		{Since: noon.Add(10 * time.Second), Until: noon.Add(20 * time.Second)},
		{Since: noon.Add(-30 * time.Minute)}, {Until: noon}, {Since: noon.Add(3 * time.Hour)},
	} {
		var want []uint64
		for i := range 3000 {
			if r.Holds(at(i)) {
				want = append(want, uint64(i+1))
			}
		}
		if got := numbers(h.all(r)); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("from %v to %v: %d flows, want %d", r.Since, r.Until, len(got), len(want))
		}
	}
}

// TestDeadDisk: while nothing can be written flows are lost and counted, the ring goes on, and once it can be written
// again it is.
func TestDeadDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flows")
	h := open(t, Options{Dir: dir})
	defer h.end()
	h.add(0, 10)
	poll(t, "flows are written", func() bool { return h.Counts().Written == 10 })
	for _, path := range files(t, dir) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	h.full() // so that the next block begins a segment
	h.add(10, 10+blockFlows)
	poll(t, "flows are lost", func() bool { return h.Counts().Lost >= blockFlows })
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	written := h.Counts().Written
	h.add(10+blockFlows, 10+2*blockFlows)
	poll(t, "flows are written again", func() bool { return h.Counts().Written > written })
	if log := h.log.String(); strings.Count(log, "flows are lost") != 1 || !strings.Contains(log, "written again") {
		t.Errorf("log: %s", log)
	}
}

// full makes the segment that is written look as if it were full.
func (h *hist) full() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.segments[len(h.segments)-1].size = segmentMax
}

// TestPrivilegedFullDisk: on a full disk flows are lost and counted, and what was written before stays readable.
func TestPrivilegedFullDisk(t *testing.T) {
	testutil.Privileged(t)
	dir := t.TempDir()
	if err := unix.Mount("flows", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Fatalf("mount tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	h := open(t, Options{Dir: dir})
	for i := 0; h.Counts().Lost == 0; i++ {
		h.ring.Add(noise(i))
		if i%blockFlows == 0 {
			poll(t, "they are written or lost", func() bool { c := h.Counts(); return c.Written+c.Lost+blockFlows >= uint64(i) })
		}
	}
	written := h.Counts().Written
	if got := h.all(observe.Range{Before: written + 1}); uint64(len(got)) != written || written < blockFlows {
		t.Errorf("%d flows are read of %d that were written", len(got), written)
	}
	h.end()
	h = open(t, Options{Dir: dir})
	defer h.end()
	if got := h.all(observe.Range{Before: written + 1}); uint64(len(got)) != written {
		t.Errorf("after a restart %d flows are read of %d that were written", len(got), written)
	}
}

// noNames knows nobody.
type noNames struct{}

func (noNames) Slot(uint32) *observe.Party                       { return web }
func (noNames) Addr(netip.Addr) *observe.Party                   { return nil }
func (noNames) Identity(uint32) *observe.Party                   { return world }
func (noNames) Rule(uint32, uint32, uint8, uint16) *observe.Rule { return nil }

// taken returns how many flows the store has had, of all daemons.
func (s *Store) taken() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.pending); n > 0 {
		return s.pending[n-1].Seq
	}
	var last uint64
	for _, seg := range s.segments {
		last = max(last, seg.last())
	}
	return last
}

// TestQueriesOverMemoryAndDisk: a question is answered alike from both, every flow once and in order, while more come.
func TestQueriesOverMemoryAndDisk(t *testing.T) {
	dir := t.TempDir()
	log := logrus.New()
	s, err := Open(Options{Dir: dir, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	const before = 1500
	run := func(s *Store, give func(o *observe.Observer)) {
		t.Helper()
		o := observe.New(observe.Options{Names: noNames{}, Log: log, Size: 256, First: s.Next(), Archive: s})
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		first, _ := o.Flows().Bounds()
		go func() { done <- s.Follow(ctx, o.Flows(), first) }()
		give(o)
		stop()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	publish := func(o *observe.Observer, s *Store, from, to int) {
		for i := from; i < to; i++ {
			o.Publish(abi.Event{Type: abi.EventTrace, Point: abi.PointEgress, Family: 4, Proto: 6, Length: uint32(i + 1), Slot: 1})
			if i%100 == 0 { // no faster than the disk
				poll(t, "the disk keeps up", func() bool { return int(s.taken()) >= i-100 })
			}
		}
	}
	run(s, func(o *observe.Observer) { publish(o, s, 0, before) })

	if s, err = Open(Options{Dir: dir, Log: log}); err != nil {
		t.Fatal(err)
	}
	run(s, func(o *observe.Observer) {
		var writer sync.WaitGroup
		writer.Go(func() { publish(o, s, before, 2*before) })
		for _, c := range []struct {
			query     observe.Query
			from, min int
		}{
			{observe.Query{}, 1, before},
			{observe.Query{First: 700}, 1, 700},
			{observe.Query{Last: 1200}, 0, 1200},
			{observe.Query{Last: 100, Match: func(f *observe.Flow) bool { return f.Kernel.Length <= before }}, before - 99, 100},
			{observe.Query{Since: time.Now().Add(-time.Hour)}, 1, before},
		} {
			var got []uint32
			if err := o.Walk(t.Context(), c.query, func(f *observe.Flow) error { got = append(got, f.Kernel.Length); return nil }); err != nil {
				t.Fatal(err)
			}
			if len(got) < c.min || c.from > 0 && got[0] != uint32(c.from) || c.query.First+c.query.Last > 0 && len(got) != c.min {
				t.Errorf("%+v: %d flows from %d, want %d from %d", c.query, len(got), got[0], c.min, c.from)
			}
			for i, n := range got {
				if n != got[0]+uint32(i) {
					t.Fatalf("%+v: flow %d came after %d", c.query, n, got[i-1])
				}
			}
		}
		writer.Wait()
	})
}
