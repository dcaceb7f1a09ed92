package observe

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
)

// Query selects flows, by the rules of Hubble's GetFlows: Since beats a number for where to begin. Without Since, Last
// counts flows that match back from the newest, First takes the oldest ones. Follow goes on with what comes; without
// number and Since it begins now. Without any of them all flows there are are meant.
type Query struct {
	Since, Until time.Time // bounds of Flow.Time, both included; zero: none
	// First and Last are numbers of flows that match; 0: no limit. With Since and without Follow they are how many come
	// from there on. First and Follow exclude each other.
	First, Last uint64
	Follow      bool
	// Match chooses flows; nil: all. It is not asked about lost flows, which always pass.
	Match func(*Flow) bool
}

// ErrFirstFollow is the error of a query for the oldest flows and for what comes.
var ErrFirstFollow = errors.New("first cannot be combined with follow")

// Archive keeps flows that the ring has forgotten (implemented by package observe/disk). Their numbers go on into the
// ring's.
type Archive interface {
	// Walk gives flows of numbers [from, before) within the times, oldest first. An error of each ends it. Flows that it
	// lost are missing.
	Walk(ctx context.Context, r Range, each func(*Flow) error) error
	// Back returns the number of the flow with which the newest n of those in the range begin that match, and how many
	// there are, at most n.
	Back(ctx context.Context, r Range, n uint64, match func(*Flow) bool) (from, found uint64, err error)
}

// Range is an interval of flows' numbers and of their times; zero times: no bound.
type Range struct {
	From, Before uint64
	Since, Until time.Time
}

// Holds reports whether a flow's time is in the range.
func (r Range) Holds(t time.Time) bool {
	return (r.Since.IsZero() || !t.Before(r.Since)) && (r.Until.IsZero() || !t.After(r.Until))
}

// Walk gives flows that a query selects, oldest first, until there are no more or each returns an error, which it
// returns. Flows that were lost, to the kernel or because each is too slow, are told by a flow with Lost. The times of
// flows need not rise: the clock may be set meanwhile.
func (o *Observer) Walk(ctx context.Context, q Query, each func(*Flow) error) error {
	if q.First > 0 && q.Follow {
		return ErrFirstFollow
	}
	w := o.walk(q)
	w.each = each
	return w.run(ctx)
}

// walk begins a query: what comes from now on belongs to what it follows.
func (o *Observer) walk(q Query) *walk {
	w := &walk{Query: q, flows: o.flows, archive: o.archive, now: o.now, left: math.MaxUint64}
	if n := max(q.First, q.Last); n > 0 && !q.Follow {
		w.left = n
	}
	w.end, w.learnt = w.flows.end()
	return w
}

// walk is a query under way.
type walk struct {
	Query
	flows   *Flows
	archive Archive // nil: none
	now     func() time.Time
	each    func(*Flow) error
	left    uint64 // flows that may still come
	next    uint64 // the number to go on with
	end     uint64 // where the past ends
	learnt  uint64 // flows of abi.EventLearn before end; once one was read, up to that one
	reading bool   // one was read
}

// errEnough ends a walk that has given all that was asked for.
var errEnough = errors.New("enough")

func (w *walk) run(ctx context.Context) error {
	if err := w.begin(ctx); err != nil {
		return err
	}
	err := w.old(ctx)
	if err == nil {
		err = w.past(ctx)
	}
	if err == nil && w.Follow {
		err = w.follow(ctx)
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// begin finds where to begin.
func (w *walk) begin(ctx context.Context) error {
	switch {
	case !w.Since.IsZero() || w.First > 0:
		w.next = 1
	case w.Last > 0:
		return w.back(ctx)
	case w.Follow:
		w.next = w.end
	default:
		w.next = 1
	}
	return nil
}

// back counts the last flows.
func (w *walk) back(ctx context.Context) error {
	need := w.Last
	oldest, _ := w.flows.Bounds()
	for seq := w.end; seq > oldest && need > 0; {
		seq--
		f := w.flows.Get(seq)
		if f == nil {
			break // overwritten since
		}
		if w.matches(f) {
			need--
			w.next = seq
		}
	}
	if need == 0 {
		return nil
	}
	w.next = oldest
	if w.archive == nil {
		return nil
	}
	from, found, err := w.archive.Back(ctx, Range{From: 1, Before: oldest, Until: w.Until}, need, w.matches)
	if err == nil && found > 0 {
		w.next = from
	}
	return err
}

// matches reports whether a flow is one of those that numbers count.
func (w *walk) matches(f *Flow) bool {
	return !f.IsLost() && w.times().Holds(f.Time) && (w.Match == nil || w.Match(f))
}

func (w *walk) times() Range { return Range{Since: w.Since, Until: w.Until} }

// old gives what the ring has forgotten, also while it goes on forgetting.
func (w *walk) old(ctx context.Context) error {
	for w.archive != nil {
		oldest, _ := w.flows.Bounds()
		before := min(oldest, w.end)
		if w.next >= before {
			return nil
		}
		r := w.times()
		r.From, r.Before = w.next, before
		w.next = before
		if err := w.archive.Walk(ctx, r, w.give); err != nil {
			return err
		}
	}
	oldest, _ := w.flows.Bounds()
	w.next = max(w.next, min(oldest, w.end)) // forgotten, not lost
	return nil
}

// past gives what the ring has.
func (w *walk) past(ctx context.Context) error {
	reader := w.flows.Reader(w.next)
	for w.next < w.end {
		f, lost, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		w.next = f.Seq + 1
		if err := w.tellLost(f, lost); err != nil {
			return err
		}
		if f.Seq >= w.end && !w.Follow {
			return nil
		}
		if err := w.give(f); err != nil {
			return err
		}
		if f.Seq%readAhead == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// follow gives what comes, until a flow is later than the query's end, or the clock is.
func (w *walk) follow(ctx context.Context) error {
	reader := w.flows.Reader(w.next)
	for {
		f, lost, err := w.wait(ctx, reader)
		if err != nil {
			return err
		}
		if err := w.tellLost(f, lost); err != nil {
			return err
		}
		if !f.IsLost() && !w.Until.IsZero() && f.Time.After(w.Until) {
			return errEnough
		}
		if err := w.give(f); err != nil {
			return err
		}
	}
}

// wait returns the next flow; errEnough when the query's end comes before it does.
func (w *walk) wait(ctx context.Context, reader *Reader) (*Flow, uint64, error) {
	if w.Until.IsZero() {
		return reader.Next(ctx)
	}
	for {
		left := w.Until.Sub(w.now())
		if left < 0 {
			return nil, 0, errEnough
		}
		turn, cancel := context.WithTimeout(ctx, min(left, time.Second)+time.Millisecond) // the clock may be set meanwhile
		f, lost, err := reader.Next(turn)
		cancel()
		if err == nil || ctx.Err() != nil {
			return f, lost, err
		}
	}
}

// give passes a flow on if the query selects it.
func (w *walk) give(f *Flow) error {
	if !w.times().Holds(f.Time) {
		return nil
	}
	if f.IsLost() {
		return w.each(f)
	}
	if w.Match != nil && !w.Match(f) {
		return nil
	}
	if err := w.each(f); err != nil {
		return err
	}
	if w.left--; w.left == 0 {
		return errEnough
	}
	return nil
}

// tellLost tells of flows that were overwritten before one that was read.
func (w *walk) tellLost(f *Flow, n uint64) error {
	learnt, known := w.learnt, w.reading || f.Seq-n >= w.end
	w.learnt, w.reading = f.learnt, true
	if n == 0 {
		return nil
	}
	lost := &api.Lost{Where: api.LostSubscriber, Count: n}
	if known {
		lost.Learn = f.learnt - learnt
		if f.Kernel.Type == abi.EventLearn {
			lost.Learn--
		}
	}
	return w.each(lostFlow(w.now(), lost, nil))
}

// lostFlow tells that flows were lost, those of a container if it is known.
func lostFlow(at time.Time, lost *api.Lost, whose *Party) *Flow {
	return &Flow{Time: at, Source: nobody, Destination: nobody, Endpoint: whose, Lost: lost}
}
