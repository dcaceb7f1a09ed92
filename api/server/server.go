package server

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/api"
)

// Limits of requests.
const (
	maxBody       = 64 << 10 // bytes of a request that carries no documents
	maxPolicyBody = 16 << 20 // bytes of a request with policy documents
	bodyTime      = 10 * time.Second
	writeTime     = 30 * time.Second // for one answer, or one line of a stream
	requestTime   = 30 * time.Second // beside waits and streams
)

// Options are what the handlers need beside the backends.
type Options struct {
	Log logrus.FieldLogger // accesses at debug, defects at error level; nil: none
	// Heartbeat is the time after which a silent stream sends an empty line; 0: 15 s.
	Heartbeat time.Duration
	// Metrics serves GET /metrics; nil: there are none.
	Metrics  http.Handler
	Recorder Recorder // nil: nobody counts
}

// Recorder counts requests. Its methods are called by several goroutines.
type Recorder interface {
	// Served tells the method and path of a request as docs/reference/api.md has them, "other" for what has no handler,
	// the HTTP status and how long the answer took. Streams last as long as their reader wants.
	Served(route string, stream bool, status int, took time.Duration)
}

type unrecorded struct{}

func (unrecorded) Served(string, bool, int, time.Duration) {}

// Server serves the daemon's API. It is an http.Handler.
type Server struct {
	backend   Backend
	log       logrus.FieldLogger
	heartbeat time.Duration
	recorder  Recorder
	mux       *http.ServeMux
	streams   map[string]bool // by pattern
	watchers  chan struct{}   // one for each traffic stream
	captures  chan struct{}   // likewise
}

// New returns the handler of all paths.
func New(b Backend, o Options) *Server {
	s := &Server{
		watchers: make(chan struct{}, mostWatchers), captures: make(chan struct{}, mostCaptures),
		backend: b, log: o.Log, heartbeat: o.Heartbeat, recorder: o.Recorder,
		mux: http.NewServeMux(), streams: map[string]bool{},
	}
	if s.recorder == nil {
		s.recorder = unrecorded{}
	}
	if s.log == nil {
		quiet := logrus.New()
		quiet.SetLevel(logrus.PanicLevel)
		s.log = quiet
	}
	if s.heartbeat == 0 {
		s.heartbeat = 15 * time.Second
	}
	for _, r := range s.routes() {
		serve := r.stream
		if serve == nil {
			serve = s.answer(r.answer)
		}
		s.streams[r.pattern] = r.stream != nil
		s.mux.HandleFunc(r.pattern, serve)
	}
	if o.Metrics != nil {
		const scrape = "GET /metrics"
		s.streams[scrape] = false
		s.mux.Handle(scrape, o.Metrics)
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, api.Errorf(api.CodeNotFound, "%s %s: the daemon has no such path; is the client of another version?", r.Method, r.URL.Path))
	})
	return s
}

// HTTP returns a server for the handler with the timeouts that it needs. The caller gives it a listener and ends it
// with Shutdown, then Close: streams do not end by themselves.
func (s *Server) HTTP() *http.Server {
	return &http.Server{Handler: s, ReadHeaderTimeout: bodyTime, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
}

// ServeHTTP serves one request; a handler that panics answers with api.CodeInternal.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	rec := &recorder{ResponseWriter: w}
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.log.WithField("stack", string(debug.Stack())).Errorf("serve %s %s: %v", r.Method, r.URL.Path, p)
			if rec.status != 0 { // too late for an answer: cut the connection, so that the client sees it
				panic(http.ErrAbortHandler)
			}
			s.refuse(rec, api.Errorf(api.CodeInternal, "serve %s: the daemon has a defect; its log has the details", r.URL.Path))
		}
		took := time.Since(started)
		s.record(r, rec.status, took)
		s.log.WithFields(logrus.Fields{
			"method": r.Method, "path": r.URL.Path, "status": rec.status, "took": took.Round(time.Microsecond),
		}).Debug("api request")
	}()
	s.mux.ServeHTTP(rec, r)
}

// record counts a request under the pattern that the mux found for it.
func (s *Server) record(r *http.Request, status int, took time.Duration) {
	route := r.Pattern
	stream, known := s.streams[route]
	if !known {
		route = "other"
	}
	s.recorder.Served(route, stream, status, took)
}

// handler returns the document of an answer.
type handler func(r *http.Request) (any, error)

// answer makes an http handler of h: a time limit for the backends (waits add their own), then the answer.
func (s *Server) answer(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		timer := time.AfterFunc(requestTime, func() { cancel(errTooSlow) })
		defer timer.Stop()
		ctx = context.WithValue(ctx, timerKey{}, timer)
		v, err := h(r.WithContext(withConn(ctx, w)))
		deadline(http.NewResponseController(w).SetWriteDeadline, writeTime)
		if err != nil {
			if errors.Is(context.Cause(ctx), errTooSlow) && errors.Is(err, context.Canceled) {
				err = errTooSlow
			}
			s.refuse(w, err)
			return
		}
		s.write(w, http.StatusOK, v)
	}
}

var errTooSlow error = api.Errorf(api.CodeUnavailable, "serve request: the daemon did not finish within %s; see its log", requestTime)

type timerKey struct{}

// extend gives a request that waits as much more time.
func extend(ctx context.Context, wait time.Duration) {
	if timer, ok := ctx.Value(timerKey{}).(*time.Timer); ok {
		timer.Reset(wait + requestTime)
	}
}

type connKey struct{}

// withConn lets decode set the deadlines of the request's connection.
func withConn(ctx context.Context, w http.ResponseWriter) context.Context {
	return context.WithValue(ctx, connKey{}, http.NewResponseController(w))
}

// readBy limits how long the body may take, and returns what lifts the limit again: net/http would otherwise end the
// request's context when it runs out.
func readBy(ctx context.Context) (lift func()) {
	control, ok := ctx.Value(connKey{}).(*http.ResponseController)
	if !ok {
		return func() {}
	}
	deadline(control.SetReadDeadline, bodyTime)
	return func() { _ = control.SetReadDeadline(time.Time{}) }
}

// deadline sets a deadline where the connection has one; test recorders have none.
func deadline(set func(time.Time) error, d time.Duration) { _ = set(time.Now().Add(d)) }

// recorder remembers the status that was sent.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader sends and remembers the status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write sends b.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
