package driver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	// contentType is that of protocol version 1.2; Docker sends it in Accept.
	contentType = "application/vnd.docker.plugins.v1.2+json"
	// maxBody bounds a request: the largest real one, with a thousand ports, has 200 KiB.
	maxBody = 1 << 20
	// callTime bounds a call: Docker has no limit of its own and holds the container's lock meanwhile.
	callTime = 60 * time.Second
)

// errRequest marks errors of the request itself, as opposed to refusals by the use-cases.
var errRequest = errors.New("malformed request")

// Method answers the body of one call. The answer is encoded as JSON.
type Method = func(ctx context.Context, body []byte) (any, error)

// Options are what a Server serves.
type Options struct {
	Networks  Networks
	Endpoints Endpoints
	Ports     Ports
	IPAM      IPAM // on the same socket
	Log       logrus.FieldLogger
	Recorder  Recorder // nil: nobody counts
}

// Recorder counts Docker's calls. Its methods are called by several goroutines.
type Recorder interface {
	// Answered tells how long a call of a known method took, and the HTTP status of the answer.
	Answered(method string, status int, took time.Duration)
}

type unrecorded struct{}

func (unrecorded) Answered(string, int, time.Duration) {}

// Server answers Docker's plugin calls: POST /Method with a JSON body. It is an http.Handler.
type Server struct {
	Options
	methods map[string]Method
}

// New makes the server of all methods.
func New(o Options) *Server {
	if o.Recorder == nil {
		o.Recorder = unrecorded{}
	}
	s := &Server{Options: o, methods: map[string]Method{}}
	s.methods["Plugin.Activate"] = func(context.Context, []byte) (any, error) {
		return map[string][]string{"Implements": {"NetworkDriver", "IpamDriver"}}, nil
	}
	s.networkMethods()
	s.ipamMethods()
	return s
}

// ServeHTTP answers one call. A panic becomes an error: Docker would retry a broken connection with an empty body.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	log := s.Log.WithField("method", name)
	method, ok := s.methods[name]
	switch {
	case !ok:
		s.fail(w, log, http.StatusNotFound, fmt.Errorf("unknown method %q", name))
		return
	case r.Method != http.MethodPost:
		s.fail(w, log, http.StatusMethodNotAllowed, fmt.Errorf("%s %s: %w: use POST", r.Method, name, errRequest))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		s.fail(w, log, http.StatusBadRequest, fmt.Errorf("read request of %s: %w: %w", name, errRequest, err))
		return
	}
	start := time.Now()
	// Not to be broken off when dockerd dies: half done is worse than done for nobody.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), callTime)
	defer cancel()
	answer, err := protect(func() (any, error) { return method(ctx, body) })
	took := time.Since(start)
	log = log.WithField("took", took.Round(time.Microsecond))
	switch {
	case errors.Is(err, errRequest):
		s.Recorder.Answered(name, http.StatusBadRequest, took)
		s.fail(w, log, http.StatusBadRequest, fmt.Errorf("%s: %w", name, err))
	case err != nil:
		s.Recorder.Answered(name, http.StatusInternalServerError, took)
		s.fail(w, log, http.StatusInternalServerError, err)
	default:
		s.Recorder.Answered(name, http.StatusOK, took)
		log.Debug("answered Docker")
		w.Header().Set("Content-Type", contentType)
		if answer == nil {
			answer = struct{}{}
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			log.WithError(err).Warn("answer Docker")
		}
	}
}

// protect turns a panic into an error.
func protect(call func() (any, error)) (answer any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("defect in Sluice, please report it: %v\n%s", p, debug.Stack())
		}
	}()
	return call()
}

// fail answers an error: Docker reads Err from network drivers and Error from IPAM drivers.
func (s *Server) fail(w http.ResponseWriter, log logrus.FieldLogger, status int, err error) {
	log.WithError(err).Warn("refused Docker's request")
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	message, _, _ := strings.Cut(err.Error(), "\ngoroutine ")
	if err := json.NewEncoder(w).Encode(map[string]string{"Err": message, "Error": message}); err != nil {
		log.WithError(err).Warn("answer Docker")
	}
}

// method makes a Method of a function with typed request and answer. An empty body is refused: Docker sends one when it
// retries after a broken connection, and an answer would make it believe in what never happened.
func method[Request any](call func(ctx context.Context, r *Request) (any, error)) Method {
	return func(ctx context.Context, body []byte) (any, error) {
		if body = bytes.TrimSpace(body); len(body) == 0 || string(body) == "null" {
			return nil, fmt.Errorf("%w: the body is empty", errRequest)
		}
		r := new(Request)
		if err := json.Unmarshal(body, r); err != nil {
			return nil, fmt.Errorf("%w: %w", errRequest, err)
		}
		return call(ctx, r)
	}
}
