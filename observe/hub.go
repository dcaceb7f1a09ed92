package observe

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-net/sluice/api"
)

// queueSize is how many events wait for a slow subscriber before it loses some.
const queueSize = 1024

// Switch tells the programs what somebody listens to: a set of abi.Observer flags.
type Switch interface {
	Observe(flags uint32) error
}

// hub remembers events and gives them to subscribers.
type hub struct {
	kernel Switch
	now    func() time.Time
	onFail func(error) // the kernel could not be told

	mu      sync.Mutex
	closed  chan struct{}
	past    history
	readers map[*reader]struct{}
	flags   uint32 // as the kernel knows them
}

// reader is one subscriber.
type reader struct {
	filter *filter
	queue  chan api.Event
	lost   uint64 // under the hub's lock
}

func newHub(kernel Switch, now func() time.Time, onFail func(error)) *hub {
	return &hub{kernel: kernel, now: now, onFail: onFail, closed: make(chan struct{}), readers: map[*reader]struct{}{}}
}

// publish gives an event to everybody whom it concerns. It never waits.
func (h *hub) publish(e api.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.Type != api.EventLost {
		h.past.add(e)
	}
	for r := range h.readers {
		if r.filter.match(&e) {
			h.give(r, e)
		}
	}
}

// give queues an event, after word of those that were lost before it.
func (h *hub) give(r *reader, e api.Event) {
	if r.lost > 0 {
		select {
		case r.queue <- h.lostEvent(r.lost):
			r.lost = 0
		default:
			r.lost++
			return
		}
	}
	select {
	case r.queue <- e:
	default:
		r.lost++
	}
}

func (h *hub) lostEvent(n uint64) api.Event {
	return api.Event{Type: api.EventLost, Time: h.now(), Lost: &api.Lost{Where: api.LostSubscriber, Count: n}}
}

// takeLost returns how many events the reader lost since it was last told.
func (h *hub) takeLost(r *reader) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := r.lost
	r.lost = 0
	return n
}

// subscribe begins with the past and goes on with what is published from now on: between them nothing is missing and
// nothing comes twice.
func (h *hub) subscribe(ctx context.Context, f api.EventFilter) (<-chan api.Event, error) {
	checked, err := newFilter(f)
	if err != nil {
		return nil, err
	}
	r := &reader{filter: checked, queue: make(chan api.Event, queueSize)}
	out := make(chan api.Event, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended() {
		return nil, api.Errorf(api.CodeUnavailable, "subscribe to events: the daemon stops")
	}
	past := h.past.last(howMany(f), checked.match)
	if f.Follow {
		h.readers[r] = struct{}{}
		if err := h.tell(); err != nil {
			delete(h.readers, r)
			return nil, err
		}
	}
	go h.pump(ctx, r, past, f.Follow, out)
	return out, nil
}

// howMany returns how many events of the past a filter asks for, negative for all.
func howMany(f api.EventFilter) int {
	switch {
	case f.Last > 0:
		return f.Last
	case !f.Since.IsZero() || !f.Follow:
		return -1
	}
	return 0
}

// pump moves events to a subscriber until it leaves.
func (h *hub) pump(ctx context.Context, r *reader, past []api.Event, follow bool, out chan<- api.Event) {
	defer close(out)
	defer h.leave(r)
	send := func(e api.Event) bool {
		select {
		case out <- e:
			return true
		case <-ctx.Done():
			return false
		case <-h.closed:
			return false
		}
	}
	for _, e := range past {
		if !send(e) {
			return
		}
	}
	for follow {
		select {
		case e := <-r.queue:
			if !send(e) {
				return
			}
			continue
		default:
		}
		if n := h.takeLost(r); n > 0 && !send(h.lostEvent(n)) {
			return
		}
		select {
		case e := <-r.queue:
			if !send(e) {
				return
			}
		case <-ctx.Done():
			return
		case <-h.closed:
			return
		}
	}
}

// leave ends a subscription; the programs report no more than the others want.
func (h *hub) leave(r *reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, r)
	if err := h.tell(); err != nil {
		h.onFail(err)
	}
}

// tell makes the kernel know what the readers want, if that changed. The caller holds the lock.
func (h *hub) tell() error {
	var flags uint32
	for r := range h.readers {
		flags |= r.filter.wants()
	}
	if flags == h.flags || h.ended() {
		return nil
	}
	if err := h.kernel.Observe(flags); err != nil {
		return err
	}
	h.flags = flags
	return nil
}

// subscribers returns how many follow.
func (h *hub) subscribers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.readers)
}

// close ends all subscriptions.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ended() {
		close(h.closed)
	}
}

// ended reports whether the hub is closed; the kernel is then told by whoever closes the ring.
func (h *hub) ended() bool {
	select {
	case <-h.closed:
		return true
	default:
		return false
	}
}
