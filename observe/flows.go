package observe

import (
	"context"
	"sync"
	"unsafe"

	"github.com/sluice-net/sluice/internal/abi"
)

// Flows is a ring of the newest flows. Readers go through it at their own pace: who is slower than the flows loses the
// oldest, and is told how many. One goroutine writes.
type Flows struct {
	mu    sync.RWMutex
	slots []*Flow // slot of Seq s: s % len
	first uint64  // Seq of the first flow that ever was in it
	next  uint64  // Seq of the next flow
	grown chan struct{}

	learnt uint64 // flows of abi.EventLearn that ever were in it
}

// flowBytes is what a flow takes in the ring, without the parties, which flows share.
const flowBytes = int(unsafe.Sizeof(Flow{}) + unsafe.Sizeof(&Flow{}))

// FlowsIn returns how many flows fit into that much memory, at least a few.
func FlowsIn(bytes int64) int { return int(max(bytes/int64(flowBytes), 1024)) }

// NewFlows returns a ring of that many flows, whose first has number 1.
func NewFlows(size int) *Flows { return NewFlowsFrom(size, 1) }

// NewFlowsFrom returns a ring whose first flow has that number: the one after the newest that is kept elsewhere.
func NewFlowsFrom(size int, first uint64) *Flows {
	return &Flows{slots: make([]*Flow, size), first: first, next: first, grown: make(chan struct{})}
}

// Size returns how many flows the ring holds at most.
func (r *Flows) Size() int { return len(r.slots) }

// Add gives the flows their numbers and publishes them, all at once.
func (r *Flows) Add(flows ...*Flow) {
	if len(flows) == 0 {
		return
	}
	r.mu.Lock()
	for _, f := range flows {
		f.Seq = r.next
		if f.Kernel.Type == abi.EventLearn {
			r.learnt++
		}
		f.learnt = r.learnt
		r.slots[r.next%uint64(len(r.slots))] = f
		r.next++
	}
	grown := r.grown
	r.grown = make(chan struct{})
	r.mu.Unlock()
	close(grown)
}

// Bounds returns the numbers of the oldest flow and of the next: the ring holds [oldest, next).
func (r *Flows) Bounds() (oldest, next uint64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.bounds()
}

func (r *Flows) bounds() (oldest, next uint64) {
	if size := uint64(len(r.slots)); r.next-r.first > size {
		return r.next - size, r.next
	}
	return r.first, r.next
}

// end returns the number of the next flow, and how many of abi.EventLearn there were before it.
func (r *Flows) end() (next, learnt uint64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.next, r.learnt
}

// Get returns a flow, nil if it is no longer there, or not yet.
func (r *Flows) Get(seq uint64) *Flow {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if oldest, next := r.bounds(); seq < oldest || seq >= next {
		return nil
	}
	return r.slots[seq%uint64(len(r.slots))]
}

// copy fills a buffer with the flows from a number on, as far as they are there, and returns how many it got, how many of
// those asked for were overwritten, and what is closed when there are more.
func (r *Flows) copy(from uint64, into []*Flow) (n int, lost uint64, grown <-chan struct{}) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	oldest, next := r.bounds()
	if from < oldest {
		lost, from = oldest-from, oldest
	}
	for n < len(into) && from < next {
		into[n] = r.slots[from%uint64(len(r.slots))]
		n, from = n+1, from+1
	}
	return n, lost, r.grown
}

// Reader returns a reader that begins at that number: that of Bounds' next sees what comes from now on.
func (r *Flows) Reader(from uint64) *Reader { return &Reader{ring: r, next: from} }

// readAhead is how many flows a reader takes at a time.
const readAhead = 64

// Reader goes through a ring. It is for one goroutine.
type Reader struct {
	ring  *Flows
	next  uint64 // what to take after those
	ahead [readAhead]*Flow
	taken int // flows of ahead
	given int // of these
}

// Next returns the next flow, and how many were overwritten before it could be read. It waits for one until the context
// ends, and then returns its error.
func (r *Reader) Next(ctx context.Context) (f *Flow, lost uint64, err error) {
	for r.given == r.taken {
		n, missed, grown := r.ring.copy(r.next, r.ahead[:])
		lost += missed
		r.next += missed + uint64(n)
		r.taken, r.given = n, 0
		if n > 0 {
			break
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, lost, ctx.Err()
		}
	}
	f = r.ahead[r.given]
	r.ahead[r.given] = nil // it may be forgotten
	r.given++
	return f, lost, nil
}
