package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/observe"
)

// Limits.
const (
	maxStreams  = 64
	headerTime  = 10 * time.Second
	writeTime   = 10 * time.Second // for one write of a stream: who reads slower is cut off
	maxForward  = 64 << 10         // bytes of a request
	askTime     = 10 * time.Second // for a page of flows
	defaultBeat = 15 * time.Second
)

// Flows are the flows that there were, and that come (implemented by observe.Observer).
type Flows interface {
	Walk(ctx context.Context, q observe.Query, each func(*observe.Flow) error) error
}

// Inventory is what there is, talking or not (implemented by package endpoint).
type Inventory interface {
	Endpoints(ctx context.Context) ([]api.Endpoint, error)
	PublishedPorts(ctx context.Context) ([]api.Port, error)
}

// Options are what a Server needs.
type Options struct {
	Flows     Flows
	Inventory Inventory
	// API serves what the page asks of the daemon: the handler of package api/server.
	API http.Handler
	// Hint is the change that would allow what a policy denied, in one line; nil: nobody knows.
	Hint func(*observe.Flow) string
	Log  logrus.FieldLogger
	Now  func() time.Time // nil: time.Now
	// Heartbeat is the time after which a silent stream sends a comment; 0: 15 s.
	Heartbeat time.Duration
}

// Server serves the page. It is an http.Handler.
type Server struct {
	o       Options
	mux     *http.ServeMux
	assets  map[string]asset
	tracker *tracker
	slots   chan struct{} // one for each stream
	stop    context.Context
	end     context.CancelFunc
	streams sync.WaitGroup
}

// New returns the handler of the page. Close ends its streams.
func New(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = defaultBeat
	}
	dist, err := fs.Sub(embedded, "dist")
	if err != nil {
		return nil, fmt.Errorf("read page: %w", err)
	}
	s := &Server{o: o, mux: http.NewServeMux(), slots: make(chan struct{}, maxStreams)}
	s.stop, s.end = context.WithCancel(context.Background())
	if s.assets, err = assets(dist); err != nil {
		return nil, fmt.Errorf("read page: %w", err)
	}
	s.tracker = &tracker{server: s}
	s.mux.HandleFunc("GET /", s.asset)
	s.mux.HandleFunc("GET /api/map", s.stream(s.mapStream))
	s.mux.HandleFunc("GET /api/flows/stream", s.stream(s.flowStream))
	s.mux.HandleFunc("GET /api/flows", s.flowPage)
	s.mux.HandleFunc("GET /api/history", s.history)
	s.mux.HandleFunc("GET /api/filter", s.filter)
	for pattern, path := range forwarded {
		s.mux.HandleFunc(pattern, s.forward(path))
	}
	return s, nil
}

// HTTP returns a server for the page with the timeouts that it needs. Guard decides who may see it; nil: everybody who can
// connect.
func (s *Server) HTTP(guard func(http.Handler) http.Handler) *http.Server {
	var h http.Handler = s
	if guard != nil {
		h = guard(s)
	}
	return &http.Server{Handler: h, ReadHeaderTimeout: headerTime, ReadTimeout: 0, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10}
}

// Close ends all streams and returns when they have ended.
func (s *Server) Close() {
	s.end()
	s.streams.Wait()
	s.tracker.close()
}

// ServeHTTP serves one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	s.mux.ServeHTTP(w, r)
}

// write answers with a JSON document.
func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime)) // recorders of tests have none
	_ = json.NewEncoder(w).Encode(v)                                              // the client is gone: nobody to tell
}

// refuse answers with an error, in the form of the API's.
func refuse(w http.ResponseWriter, err *api.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(err.Code.Status())
	_ = json.NewEncoder(w).Encode(err) // likewise
}
