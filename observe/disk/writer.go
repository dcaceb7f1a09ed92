package disk

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/sluice-net/sluice/observe"
)

const (
	// flushPeriod is how long flows may be lost by a crash.
	flushPeriod = 2 * time.Second
	// segments is how many the store has when it is full; segmentMin and segmentMax bound their size.
	segments   = 16
	segmentMin = 1 << 20
	segmentMax = 64 << 20
	// stopTime bounds how long the end waits for a disk that does not answer.
	stopTime = 5 * time.Second
)

// writer fills a store.
type writer struct {
	store  *Store
	packer *packer
	file   *os.File // nil: the next block begins a segment
	// segment is the one that is written; begun is when it was.
	segment *segment
	begun   time.Time
	failing bool
}

// Follow writes the flows of a ring from a number on, until the context ends; then those that are left, for a moment. It
// goes on whatever the disk does: what cannot be written is lost and counted.
func (s *Store) Follow(ctx context.Context, flows *observe.Flows, from uint64) error {
	p, err := newPacker()
	if err != nil {
		return fmt.Errorf("write flows: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w := &writer{store: s, packer: p}
		w.run(ctx, flows, from)
		w.finish()
	}()
	<-ctx.Done()
	select {
	case <-done:
	case <-time.After(stopTime):
		return fmt.Errorf("write flows: the disk of %s does not answer", s.Dir)
	}
	return nil
}

// run gathers blocks and writes them.
func (w *writer) run(ctx context.Context, flows *observe.Flows, from uint64) {
	reader := flows.Reader(from)
	var due time.Time // of the block in hand
	for {
		turn, cancel := ctx, context.CancelFunc(func() {})
		if len(w.store.pending) > 0 {
			turn, cancel = context.WithDeadline(ctx, due)
		}
		f, lost, err := reader.Next(turn)
		cancel()
		w.store.lose(lost)
		if err == nil {
			if len(w.store.pending) == 0 {
				due = time.Now().Add(flushPeriod)
			}
			w.store.take(f)
		}
		if len(w.store.pending) >= blockFlows || err != nil || !time.Now().Before(due) {
			w.flush()
		}
		if ctx.Err() != nil && err != nil { // all that was there is written
			return
		}
	}
}

// take adds a flow to those that are not written yet. Only the writer changes these.
func (s *Store) take(f *observe.Flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, f)
}

func (s *Store) lose(n uint64) {
	if n == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Lost += n
}

// flush writes the flows in hand, or gives them up.
func (w *writer) flush() {
	s := w.store
	if len(s.pending) == 0 {
		return
	}
	block, err := w.write()
	s.mu.Lock()
	if err != nil {
		s.counts.Lost += uint64(len(s.pending))
	} else {
		s.counts.Written += uint64(len(s.pending))
		w.segment.blocks = append(w.segment.blocks, block)
		w.segment.size = block.at + blockHeader + int64(block.length)
		w.segment.newest = time.Unix(0, block.max)
	}
	s.pending = nil // walks share it
	s.mu.Unlock()
	w.tell(err)
	if err != nil {
		w.drop()
	}
	s.retain()
}

// tell logs the first failure, and that it is over.
func (w *writer) tell(err error) {
	switch {
	case err != nil && !w.failing:
		w.store.Log.Warnf("store of flows: flows are lost: %v", err)
	case err == nil && w.failing:
		w.store.Log.Info("store of flows: flows are written again")
	}
	w.failing = err != nil
}

// write writes the block in hand to the segment, or to a new one.
func (w *writer) write() (placed, error) {
	block, info, err := w.packer.pack(w.store.pending)
	if err != nil {
		return placed{}, err
	}
	if w.file != nil && w.full(len(block)) {
		w.finish()
	}
	if w.file == nil {
		if err := w.begin(info.first); err != nil {
			return placed{}, err
		}
	}
	at := w.segment.size
	if _, err := w.file.WriteAt(block, at); err != nil {
		return placed{}, err
	}
	return placed{info, at}, nil
}

// full reports whether a segment is to end before a block: so that the oldest can go without much else.
func (w *writer) full(block int) bool {
	limit := int64(segmentMax)
	if w.store.Size > 0 {
		limit = min(max(w.store.Size/segments, segmentMin), segmentMax)
	}
	old := w.store.Retention > 0 && w.store.now().Sub(w.begun) > max(w.store.Retention/segments, time.Minute)
	return old || w.segment.size+int64(block) > limit
}

// begin makes a segment, whose first flow has a number.
func (w *writer) begin(number uint64) error {
	path := segmentPath(w.store.Dir, number)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if _, err := file.Write(header()); err != nil {
		file.Close()
		os.Remove(path)
		return err
	}
	now := w.store.now()
	w.file, w.begun = file, now
	w.segment = &segment{path: path, number: number, size: int64(segmentHeader), opened: now, file: file}
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.store.segments = append(w.store.segments, w.segment)
	return nil
}

// finish ends the segment in hand, and has the disk keep it.
func (w *writer) finish() {
	if w.file == nil {
		return
	}
	if err := w.file.Sync(); err != nil {
		w.tell(err)
	}
	w.drop()
}

// drop leaves the segment as it is. What a write left behind its last block is cut off, as at the next start it would be.
func (w *writer) drop() {
	if w.file == nil {
		return
	}
	_ = w.file.Truncate(w.segment.size) // else the next start does
	w.file.Close()
	w.file = nil
	s := w.store
	s.mu.Lock()
	defer s.mu.Unlock()
	w.segment.file, w.segment.opened = nil, s.now()
	if len(w.segment.blocks) == 0 {
		os.Remove(w.segment.path)
		s.segments = slices.DeleteFunc(s.segments, func(other *segment) bool { return other == w.segment })
	}
}
