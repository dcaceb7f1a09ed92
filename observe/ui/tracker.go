package ui

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/ui/servicemap"
)

// How far back a map begins, and how long it is kept when nobody looks.
const (
	mapReach = time.Hour
	mapRest  = time.Minute
)

// The ring is taken to be read when nothing more came for settleTime; longer than settleLimit nobody waits.
const (
	settleTime  = 50 * time.Millisecond
	settleLimit = 3 * time.Second
)

// tracker keeps one map for all who look, while there are any.
type tracker struct {
	server *Server

	mu      sync.Mutex
	current *servicemap.Map
	settled chan struct{} // closed when the past is in the map
	viewers int
	cancel  context.CancelFunc
	resting *time.Timer
	done    sync.WaitGroup
}

// look returns the map, once the past is in it, and what to call when nobody needs it any more.
func (t *tracker) look(ctx context.Context) (m *servicemap.Map, leave func()) {
	t.mu.Lock()
	if t.resting != nil {
		t.resting.Stop()
		t.resting = nil
	}
	if t.current == nil {
		t.begin()
	}
	t.viewers++
	m, settled := t.current, t.settled
	t.mu.Unlock()
	select {
	case <-settled:
	case <-ctx.Done():
	}
	return m, sync.OnceFunc(t.leave)
}

func (t *tracker) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.viewers--
	if t.viewers > 0 || t.current == nil {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(mapRest, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.resting == timer && t.viewers == 0 {
			t.end()
		}
	})
	t.resting = timer
}

// begin starts to read flows. The lock is held.
func (t *tracker) begin() {
	ctx, cancel := context.WithCancel(t.server.stop)
	m, settled := servicemap.New(), make(chan struct{})
	t.current, t.settled, t.cancel = m, settled, cancel
	added := make(chan struct{}, 1)
	t.done.Go(func() {
		err := t.server.o.Flows.Walk(ctx, observe.Query{Since: t.server.o.Now().Add(-mapReach), Follow: true}, func(f *observe.Flow) error {
			m.Add(f)
			select {
			case added <- struct{}{}:
			default:
			}
			return ctx.Err()
		})
		if err != nil && ctx.Err() == nil && t.server.o.Log != nil {
			t.server.o.Log.WithError(err).Warn("page: the map is not followed any more")
		}
	})
	t.done.Go(func() {
		defer close(settled)
		limit := time.After(settleLimit)
		for {
			select {
			case <-added:
			case <-time.After(settleTime):
				return
			case <-limit:
				return
			case <-ctx.Done():
				return
			}
		}
	})
}

// end stops reading. The lock is held.
func (t *tracker) end() {
	if t.cancel != nil {
		t.cancel()
	}
	t.current, t.cancel, t.resting = nil, nil, nil
}

func (t *tracker) close() {
	t.mu.Lock()
	if t.resting != nil {
		t.resting.Stop()
	}
	t.end()
	t.mu.Unlock()
	t.done.Wait()
}
