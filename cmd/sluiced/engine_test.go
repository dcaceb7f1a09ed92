package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeEngine serves the part of Docker's API that the daemon asks, and calls its plugin as Docker does.
type fakeEngine struct {
	t       *testing.T
	plugin  *http.Client
	mu      sync.Mutex
	silent  chan struct{}     // closed when the engine answers (again)
	network string            // id, empty: none
	names   map[string]string // endpoint id → name of the container
}

var apiVersion = regexp.MustCompile(`^/v1\.[0-9]+`)

// newFakeEngine listens on the engine's socket, and calls the plugin on its.
func newFakeEngine(t *testing.T, socket, plugin string) *fakeEngine {
	t.Helper()
	e := &fakeEngine{t: t, silent: make(chan struct{}), names: map[string]string{}, plugin: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", plugin)
		},
	}}}
	close(e.silent)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(e.serve))
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return e
}

func (e *fakeEngine) serve(w http.ResponseWriter, r *http.Request) {
	path := apiVersion.ReplaceAllString(r.URL.Path, "")
	select {
	case <-e.answering():
	case <-r.Context().Done():
		return
	}
	w.Header().Set("Api-Version", "1.41")
	w.Header().Set("Content-Type", "application/json")
	switch {
	case path == "/events":
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return
	case path == "/_ping":
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	attached := map[string]any{}
	containers := []any{}
	for ep, name := range e.names {
		cid := "cc" + ep
		attached[cid] = map[string]string{"Name": name, "EndpointID": ep}
		app, _, _ := strings.Cut(name, "-")
		containers = append(containers, map[string]any{"Id": cid, "Names": []string{"/" + name}, "Image": "probe", "Labels": map[string]string{"app": app}})
	}
	network := map[string]any{"Id": e.network, "Name": "net", "Driver": "sluice", "Containers": attached}
	var answer any
	switch {
	case path == "/version":
		answer = map[string]string{"Version": "20.10.24", "ApiVersion": "1.41"}
	case path == "/networks" && e.network == "":
		answer = []any{}
	case path == "/networks":
		answer = []any{network}
	case path == "/networks/"+e.network:
		answer = network
	case path == "/containers/json":
		answer = containers
	default:
		w.WriteHeader(http.StatusNotFound)
		answer = map[string]string{"message": "no such object: " + path}
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil && r.Context().Err() == nil {
		e.t.Errorf("answer %s: %v", path, err)
	}
}

// silence makes the engine take requests and not answer, until the function that it returns is called.
func (e *fakeEngine) silence() (end func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.silent = make(chan struct{})
	return sync.OnceFunc(func() { close(e.answering()) })
}

// answering is closed while the engine answers.
func (e *fakeEngine) answering() chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.silent
}

// list makes the engine list an endpoint of a container, or no longer with an empty name.
func (e *fakeEngine) list(endpoint, name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if name == "" {
		delete(e.names, endpoint)
		return
	}
	e.names[endpoint] = name
}

// answer is what any plugin method may answer.
type answer struct {
	Err           string
	PoolID, Pool  string
	Address       string
	Gateway       string
	GatewayIPv6   string
	InterfaceName struct{ SrcName string }
	Interface     struct{ MacAddress string }
}

// call calls a method of the plugin once.
func (e *fakeEngine) call(method string, request any) (answer, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return answer{}, err
	}
	return e.post(method, body)
}

func (e *fakeEngine) post(method string, body []byte) (a answer, err error) {
	r, err := e.plugin.Post("http://plugin/"+method, "application/vnd.docker.plugins.v1.2+json", bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("%s answered %q: %w", method, text, err)
	}
	if a.Err != "" || r.StatusCode != http.StatusOK {
		return a, fmt.Errorf("%s: %s %s", method, r.Status, a.Err)
	}
	return a, nil
}

// insist calls a method until the plugin answers: Docker repeats a call while nobody listens.
func (e *fakeEngine) insist(method string, request any) answer {
	e.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		a, err := e.call(method, request)
		if err == nil {
			return a
		}
		if time.Now().After(deadline) || !strings.Contains(err.Error(), "plugin/") {
			e.t.Fatalf("%s: %v", method, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
