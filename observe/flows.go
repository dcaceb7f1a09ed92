package observe

import (
	"context"
	"sync"
)

// Flows is a ring of the newest flows. Readers go through it at their own pace: who is slower than the flows loses the
// oldest, and is told how many. One goroutine writes.
type Flows struct {
	mu    sync.RWMutex
	slots []*Flow // slot of Seq s: s % len
	next  uint64  // Seq of the next flow; the first is 1
	grown chan struct{}
}

// NewFlows returns a ring of that many flows.
func NewFlows(size int) *Flows {
	return &Flows{slots: make([]*Flow, size), next: 1, grown: make(chan struct{})}
}

// Add gives the flow its number and publishes it.
func (r *Flows) Add(f *Flow) {
	r.mu.Lock()
	f.Seq = r.next
	r.slots[r.next%uint64(len(r.slots))] = f
	r.next++
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
	oldest = 1
	if size := uint64(len(r.slots)); r.next > size {
		oldest = r.next - size
	}
	return oldest, r.next
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

// Reader returns a reader that begins at that number: that of Bounds' next sees what comes from now on.
func (r *Flows) Reader(from uint64) *Reader { return &Reader{ring: r, next: from} }

// Reader goes through a ring. It is for one goroutine.
type Reader struct {
	ring *Flows
	next uint64
}

// Next returns the next flow, and how many were overwritten before it could be read. It waits for one until the context
// ends, and then returns its error.
func (r *Reader) Next(ctx context.Context) (f *Flow, lost uint64, err error) {
	for {
		r.ring.mu.RLock()
		oldest, next := r.ring.bounds()
		if r.next < oldest {
			lost, r.next = oldest-r.next, oldest
		}
		if r.next < next {
			f = r.ring.slots[r.next%uint64(len(r.ring.slots))]
		}
		grown := r.ring.grown
		r.ring.mu.RUnlock()
		if f != nil {
			r.next++
			return f, lost, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, lost, ctx.Err()
		}
	}
}
