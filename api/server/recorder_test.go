package server_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/api/server"
	"github.com/sluice-net/sluice/api/server/servertest"
)

// served remembers what a Recorder was told.
type served struct {
	mu   sync.Mutex
	told []string
}

func (s *served) Served(route string, stream bool, status int, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, fmt.Sprint(route, " ", stream, " ", status, " ", took > 0))
}

// TestRecorder: every request is counted once, under the route as documented, so that no path a client makes up adds one.
func TestRecorder(t *testing.T) {
	s := &served{}
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
	h := server.New(servertest.Sample().Backend(), server.Options{Recorder: s, Metrics: metrics})
	for _, c := range []struct{ method, path, body, want string }{
		{"GET", "/v1/version", "", "GET /v1/version false 200 true"},
		{"GET", "/v1/endpoints?ref=nosuch", "", "GET /v1/endpoints false 404 true"},
		{"POST", "/v1/events", "{}", "POST /v1/events true 200 true"},
		{"POST", "/v1/events", "[", "POST /v1/events true 400 true"},
		{"GET", "/v1/anything/else", "", "other false 404 true"},
		{"PUT", "/v1/version", "", "other false 404 true"},
		{"GET", "/metrics", "", "GET /metrics false 200 true"},
	} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		if got := s.told[len(s.told)-1]; got != c.want {
			t.Errorf("%s %s: recorded %q, want %q", c.method, c.path, got, c.want)
		}
	}
	if len(s.told) != 7 || !slices.Contains(s.told, "GET /metrics false 200 true") {
		t.Errorf("recorded %q", s.told)
	}
}

// TestWithoutMetrics: a server that keeps none says that there is no such path.
func TestWithoutMetrics(t *testing.T) {
	w := httptest.NewRecorder()
	server.New(servertest.Sample().Backend(), server.Options{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}
