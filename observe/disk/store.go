package disk

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/observe"
)

// Options say where flows are kept, and how long.
type Options struct {
	Dir       string
	Retention time.Duration // of flows; 0: for ever
	Size      int64         // bytes, at most; 0: no limit
	Log       logrus.FieldLogger
	now       func() time.Time // nil: time.Now
}

// Store is a directory of flows. It implements observe.Archive. Follow fills it.
type Store struct {
	Options
	lock *os.File

	mu       sync.Mutex
	segments []*segment // the oldest first; the last may be the one that is written
	pending  []*observe.Flow
	counts   Counts
}

var _ observe.Archive = (*Store)(nil)

// Counts say what a store has, and what went wrong since it was opened.
type Counts struct {
	Segments int
	Bytes    int64
	Flows    uint64
	Oldest   time.Time // of the flows; zero: there are none
	Written  uint64    // flows
	Lost     uint64    // flows that were not written: the disk was too slow, or full
	Damaged  uint64    // blocks that could not be read
}

// Open opens a directory, which it makes if there is none. What a crash left of the newest file is cut off, and what
// another version wrote is left alone until it is too old.
func Open(o Options) (*Store, error) {
	if o.now == nil {
		o.now = time.Now
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store of flows: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(o.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open store of flows: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("open store of flows %s: another daemon uses it: give this one another directory (--flow-store)", o.Dir)
		}
		return nil, fmt.Errorf("lock store of flows %s: %w", o.Dir, err)
	}
	s := &Store{Options: o, lock: lock}
	if err := s.load(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("open store of flows %s: %w", o.Dir, err)
	}
	s.retain()
	return s, nil
}

// load finds the segments.
func (s *Store) load() error {
	entries, err := os.ReadDir(s.Dir) // sorted by name, which is by number
	if err != nil {
		return err
	}
	var numbers []uint64
	for _, e := range entries {
		if n, ok := segmentNumber(e.Name()); ok && e.Type().IsRegular() {
			numbers = append(numbers, n)
		}
	}
	now := s.now()
	for i, n := range numbers {
		path := segmentPath(s.Dir, n)
		seg, err := openSegment(path, n, i == len(numbers)-1, now)
		var torn *tornError
		switch {
		case err != nil && seg == nil:
			return err
		case errors.Is(err, errForeign), errors.As(err, &torn), errors.Is(err, errDamaged):
			s.Log.Warnf("store of flows: %s: %v", path, err)
		case err != nil:
			return err
		}
		s.segments = append(s.segments, seg)
	}
	return nil
}

// Close gives the directory free for others. Follow has ended.
func (s *Store) Close() error { return s.lock.Close() }

// Next returns the number for the next flow: the one after the newest that is kept.
func (s *Store) Next() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := uint64(1)
	for _, seg := range s.segments {
		next = max(next, seg.number+1, seg.last()+1)
	}
	return next
}

// Counts returns what the store has.
func (s *Store) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts
	c.Segments = len(s.segments)
	oldest := int64(math.MaxInt64)
	for _, seg := range s.segments {
		c.Bytes += seg.size
		for _, b := range seg.blocks {
			c.Flows += uint64(b.count)
			oldest = min(oldest, b.min)
		}
	}
	if c.Flows > 0 {
		c.Oldest = time.Unix(0, oldest)
	}
	return c
}

// retain removes the oldest segments while they are too old or too many; the one that is written stays. Age is what it was
// by the wall clock when the segment was opened, and what has passed since by a clock that does not jump.
func (s *Store) retain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	var size int64
	for _, seg := range s.segments {
		size += seg.size
	}
	for len(s.segments) > 0 {
		seg := s.segments[0]
		tooOld := s.Retention > 0 && seg.age+now.Sub(seg.opened) > s.Retention
		tooMuch := s.Size > 0 && size > s.Size && len(s.segments) > 1
		if !tooOld && !tooMuch || seg.writing() {
			return
		}
		if err := os.Remove(seg.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.Log.Warnf("store of flows: %v", err)
			return
		}
		size -= seg.size
		s.segments = s.segments[1:]
	}
}

// Walk implements observe.Archive. Gaps between the numbers of flows in a range without times are told as lost.
func (s *Store) Walk(ctx context.Context, r observe.Range, each func(*observe.Flow) error) error {
	return s.walk(ctx, r, func(flows []*observe.Flow) error {
		for _, f := range flows {
			if err := each(f); err != nil {
				return err
			}
		}
		return nil
	})
}

// walk gives the flows of a range block by block, the oldest first.
func (s *Store) walk(ctx context.Context, r observe.Range, each func([]*observe.Flow) error) error {
	u, err := newUnpacker()
	if err != nil {
		return err
	}
	defer u.close()
	parts, pending := s.parts(r)
	next := r.From
	begun := false
	pass := func(flows []*observe.Flow) error {
		if flows = within(flows, r, next); len(flows) == 0 {
			return nil
		}
		if gap := flows[0].Seq - next; begun && gap > 0 && r.Since.IsZero() && r.Until.IsZero() {
			flows = append([]*observe.Flow{lostBefore(flows[0], gap)}, flows...)
		}
		begun, next = true, flows[len(flows)-1].Seq+1
		return each(flows)
	}
	for _, p := range parts {
		if err := s.walkPart(ctx, u, p, pass); err != nil {
			return err
		}
	}
	return pass(pending)
}

// part is what a walk reads of a segment.
type part struct {
	path   string
	blocks []placed
}

// parts returns what is to be read for a range, and the flows that are not written yet.
func (s *Store) parts(r observe.Range) ([]part, []*observe.Flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []part
	for _, seg := range s.segments {
		p := part{path: seg.path}
		for _, b := range seg.blocks {
			if b.about(r) {
				p.blocks = append(p.blocks, b)
			}
		}
		if len(p.blocks) > 0 {
			all = append(all, p)
		}
	}
	return all, slices.Clone(s.pending)
}

func (s *Store) walkPart(ctx context.Context, u *unpacker, p part, each func([]*observe.Flow) error) error {
	file, err := os.Open(p.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // too old meanwhile
	}
	if err != nil {
		return fmt.Errorf("read flows: %w", err)
	}
	defer file.Close()
	for _, b := range p.blocks {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		flows, err := s.read(u, file, b)
		if err != nil {
			continue // it is counted
		}
		if err := each(flows); err != nil {
			return err
		}
	}
	return nil
}

// read reads a block; one that cannot be read is counted, and missing.
func (s *Store) read(u *unpacker, file *os.File, b placed) ([]*observe.Flow, error) {
	buf, err := readBlock(file, b)
	var flows []*observe.Flow
	if err == nil {
		flows, err = u.unpack(b.blockInfo, buf)
	}
	if err != nil {
		s.mu.Lock()
		s.counts.Damaged++
		first := s.counts.Damaged == 1
		s.mu.Unlock()
		if first {
			s.Log.Warnf("store of flows: %s: block at %d: %v (further ones are only counted)", filepath.Base(file.Name()), b.at, err)
		}
	}
	return flows, err
}

// within leaves the flows of a range, from a number on.
func within(flows []*observe.Flow, r observe.Range, next uint64) []*observe.Flow {
	return slices.DeleteFunc(flows, func(f *observe.Flow) bool { return f.Seq < next || f.Seq >= r.Before || !r.Holds(f.Time) })
}

// lostBefore tells of flows that were not written before another.
func lostBefore(f *observe.Flow, n uint64) *observe.Flow {
	return &observe.Flow{Seq: f.Seq - 1, Time: f.Time, Source: nobody, Destination: nobody, Lost: &api.Lost{Where: api.LostStore, Count: n}}
}

// Back implements observe.Archive: it goes through blocks from the newest, until it has counted enough.
func (s *Store) Back(ctx context.Context, r observe.Range, n uint64, match func(*observe.Flow) bool) (from, found uint64, err error) {
	u, err := newUnpacker()
	if err != nil {
		return 0, 0, err
	}
	defer u.close()
	count := func(flows []*observe.Flow) bool {
		for _, f := range slices.Backward(within(flows, r, r.From)) {
			if match(f) {
				found, from = found+1, f.Seq
			}
			if found == n {
				return true
			}
		}
		return false
	}
	parts, pending := s.parts(r)
	if count(pending) {
		return from, found, nil
	}
	for _, p := range slices.Backward(parts) {
		if enough, err := s.backPart(ctx, u, p, count); enough || err != nil {
			return from, found, err
		}
	}
	return from, found, nil
}

func (s *Store) backPart(ctx context.Context, u *unpacker, p part, count func([]*observe.Flow) bool) (bool, error) {
	file, err := os.Open(p.path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read flows: %w", err)
	}
	defer file.Close()
	for _, b := range slices.Backward(p.blocks) {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if flows, err := s.read(u, file, b); err == nil && count(flows) {
			return true, nil
		}
	}
	return false, nil
}
