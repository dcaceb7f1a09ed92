package server

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/sluice-net/sluice/api"
)

// lines writes a stream of api.Line. A client that does not read for writeTime is cut off.
type lines struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     bytes.Buffer
}

func newLines(w http.ResponseWriter) *lines {
	w.Header().Set("Content-Type", "application/jsonl")
	w.WriteHeader(http.StatusOK)
	return &lines{w: w, control: http.NewResponseController(w)}
}

// add buffers one line, and sends the buffer when it has grown large.
func (l *lines) add(v any) error {
	if err := json.NewEncoder(&l.buf).Encode(v); err != nil {
		return err
	}
	if l.buf.Len() > 32<<10 {
		return l.flush()
	}
	return nil
}

// flush sends what is buffered.
func (l *lines) flush() error {
	deadline(l.control.SetWriteDeadline, writeTime)
	if _, err := l.w.Write(l.buf.Bytes()); err != nil {
		return err
	}
	l.buf.Reset()
	return l.control.Flush()
}

// beat sends an empty line.
func (l *lines) beat() error {
	l.buf.WriteByte('\n')
	return l.flush()
}

// end sends the last line: the error, or that all was sent.
func (l *lines) end(err error) {
	last := api.Line[struct{}]{End: err == nil}
	if err != nil {
		last.Error = refusal(err)
	}
	if l.add(last) == nil {
		_ = l.flush() // the client is gone: nobody to tell
	}
}

// events streams events until the client hangs up or the subscription ends.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	filter, err := decode[api.EventFilter](r.WithContext(withConn(r.Context(), w)), maxBody)
	if err == nil && s.backend.Events == nil {
		err = missing("events")
	}
	if err != nil {
		s.refuse(w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if filter.Endpoints, err = s.eventEndpoints(ctx, filter.Endpoints); err != nil {
		s.refuse(w, err)
		return
	}
	ch, err := s.backend.Events.Subscribe(ctx, filter)
	if err != nil {
		s.refuse(w, err)
		return
	}
	out := newLines(w)
	beat := time.NewTicker(s.heartbeat)
	defer beat.Stop()
	if out.flush() != nil { // the headers: the client knows that it is subscribed
		return
	}
	for {
		select {
		case e, open := <-ch:
			if !open {
				out.end(stopped(filter))
				return
			}
			err = out.drain(e, ch, s.hint)
		case <-beat.C:
			err = out.beat()
		case <-ctx.Done():
			return
		}
		if err != nil {
			s.log.Debugf("stream events: %v", err)
			return
		}
	}
}

// stopped is the error of a subscription that ends by itself: none unless it should have gone on.
func stopped(f api.EventFilter) error {
	if !f.Follow {
		return nil
	}
	return api.Errorf(api.CodeUnavailable, "follow events: the daemon stops")
}

// eventEndpoints adds to the names of a filter the ids that they mean now. Names without an endpoint stay: it may come.
func (s *Server) eventEndpoints(ctx context.Context, names []string) ([]string, error) {
	if len(names) == 0 || s.backend.Endpoints == nil {
		return names, nil
	}
	all := names
	for _, name := range names {
		ids, err := s.findIDs(ctx, []string{name})
		if err != nil && api.CodeOf(err) != api.CodeNotFound {
			return nil, err
		}
		all = append(all, ids...)
	}
	return all, nil
}

// drain sends an event with those that wait behind it in one write.
func (l *lines) drain(e api.Event, more <-chan api.Event, hint func(*api.Event)) error {
	for n := len(more); ; n-- {
		hint(&e)
		if err := l.add(api.Line[api.Event]{Item: &e}); err != nil {
			return err
		}
		if n <= 0 {
			return l.flush()
		}
		e = <-more
	}
}

// hint adds what would allow what an event denied.
func (s *Server) hint(e *api.Event) {
	if s.backend.Insight != nil {
		e.Hint = s.backend.Insight.Hint(*e)
	}
}

// connections streams the flow tables: they may have hundreds of thousands of entries.
func (s *Server) connections(w http.ResponseWriter, r *http.Request) {
	if s.backend.Kernel == nil {
		s.refuse(w, missing("kernel tables"))
		return
	}
	keep, err := s.connectionFilter(r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	out := newLines(w)
	var broken error
	err = s.backend.Kernel.Connections(r.Context(), func(c api.Connection) bool {
		if keep(c) {
			broken = out.add(api.Line[api.Connection]{Item: &c})
		}
		return broken == nil
	})
	if broken != nil {
		s.log.Debugf("stream connections: %v", broken)
		return
	}
	out.end(err)
}

// stream sends what produce yields, and beats in between, until it ends, the client hangs up, or does not read.
func stream[T any](ctx context.Context, s *Server, w http.ResponseWriter, what string, produce func(context.Context, func(T) error) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	items, ended := make(chan T, 64), make(chan error, 1)
	go func() {
		err := produce(ctx, func(item T) error {
			select {
			case items <- item:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		close(items)
		ended <- err
	}()
	out := newLines(w)
	beat := time.NewTicker(s.heartbeat)
	defer beat.Stop()
	for err := out.flush(); ; {
		if err != nil {
			s.log.Debugf("stream %s: %v", what, err)
			break
		}
		select {
		case item, open := <-items:
			if !open {
				out.end(<-ended)
				return
			}
			if err = out.add(api.Line[T]{Item: &item}); err == nil && len(items) == 0 {
				err = out.flush()
			}
		case <-beat.C:
			err = out.beat()
		}
	}
	cancel()
	for range items { // produce sees the end of its context
	}
}
