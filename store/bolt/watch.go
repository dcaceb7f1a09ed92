package bolt

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/sluice-net/sluice/store"
)

// watch queues the changes of one watcher without bound, so that a slow one delays no write.
type watch struct {
	prefix string
	wake   chan struct{} // holds one token when there is news
	closed chan struct{} // the store is

	mu    sync.Mutex
	queue [][]store.Change
}

// Watch implements store.Store: it sees the changes that are made through this Store.
func (s *Store) Watch(ctx context.Context, prefix string) (<-chan []store.Change, error) {
	w := &watch{prefix: prefix, wake: make(chan struct{}, 1), closed: make(chan struct{})}
	s.write.Lock()
	defer s.write.Unlock()
	if s.closed {
		return nil, fmt.Errorf("watch %s: %w", prefix, store.ErrClosed)
	}
	s.watches[w] = struct{}{}
	out := make(chan []store.Change)
	go func() {
		defer close(out)
		w.run(ctx, out)
		s.write.Lock()
		defer s.write.Unlock()
		delete(s.watches, w)
	}()
	return out, nil
}

// deliver queues what the watcher wants to see, in copies of its own.
func (w *watch) deliver(changes []store.Change) {
	var wanted []store.Change
	for _, c := range changes {
		if strings.HasPrefix(c.Key, w.prefix) {
			c.Value = append([]byte(nil), c.Value...)
			wanted = append(wanted, c)
		}
	}
	if len(wanted) == 0 {
		return
	}
	w.mu.Lock()
	w.queue = append(w.queue, wanted)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watch) run(ctx context.Context, out chan<- []store.Change) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.closed:
			return
		case <-w.wake:
		}
		w.mu.Lock()
		queue := w.queue
		w.queue = nil
		w.mu.Unlock()
		for _, batch := range queue {
			select {
			case out <- batch:
			case <-w.closed:
				return
			case <-ctx.Done():
				return
			}
		}
	}
}
