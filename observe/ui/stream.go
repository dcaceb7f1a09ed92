package ui

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/sluice-net/sluice/api"
)

// events writes server-sent events (WHATWG HTML, 9.2).
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     bytes.Buffer
}

// send writes an event with a JSON document as its data.
func (e *events) send(name string, v any) error {
	e.buf.WriteString("event: " + name + "\ndata: ")
	if err := json.NewEncoder(&e.buf).Encode(v); err != nil { // one line
		return err
	}
	e.buf.WriteByte('\n')
	return e.flush()
}

// beat writes a comment: whoever is gone is noticed, and whoever is there knows that we are.
func (e *events) beat() error {
	e.buf.WriteString(":\n\n")
	return e.flush()
}

func (e *events) flush() error {
	_ = e.control.SetWriteDeadline(time.Now().Add(writeTime)) // recorders of tests have none
	_, err := e.w.Write(e.buf.Bytes())
	e.buf.Reset()
	if err != nil {
		return err
	}
	return e.control.Flush()
}

// stream makes a handler of what writes events until the context ends or it fails: the client is gone, or too slow.
func (s *Server) stream(serve func(context.Context, *http.Request, *events) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		default:
			w.Header().Set("Retry-After", "5")
			refuse(w, api.Errorf(api.CodeUnavailable, "stream: %d pages are open; close one", maxStreams))
			return
		}
		s.streams.Add(1)
		defer s.streams.Done()
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(s.stop, cancel)()
		out := &events{w: w, control: http.NewResponseController(w)}
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Accel-Buffering", "no")
		if err := serve(ctx, r, out); err != nil && ctx.Err() == nil && s.o.Log != nil {
			s.o.Log.Debugf("page: stream %s: %v", r.URL.Path, err)
		}
	}
}
