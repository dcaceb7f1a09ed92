package driver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/endpoint"
	"github.com/sluice-net/sluice/ipam"
	"github.com/sluice-net/sluice/store"
)

// backends notes what reaches the use-cases, as text, and answers plausibly.
type backends struct {
	mu       sync.Mutex
	calls    []string
	fail     error                                               // of every call
	networks map[string]endpoint.NetworkRequest                  // by id
	link     func(endpoint.JoinRequest) (name string, err error) // makes a real interface; nil: none
}

func newBackends() *backends { return &backends{networks: map[string]endpoint.NetworkRequest{}} }

func (b *backends) note(format string, args ...any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, fmt.Sprintf(format, args...))
	return b.fail
}

func (b *backends) CreateNetwork(_ context.Context, r endpoint.NetworkRequest) error {
	b.networks[r.ID] = r
	return b.note("CreateNetwork %+v", r)
}

func (b *backends) DeleteNetwork(_ context.Context, id string) error {
	return b.note("DeleteNetwork %s", id)
}

func (b *backends) CreateEndpoint(_ context.Context, r endpoint.EndpointRequest) (a endpoint.EndpointAnswer, err error) {
	if r.MAC == nil {
		a.MAC = []byte{2, 0, 0, 0, 0, 1}
	}
	return a, b.note("CreateEndpoint %+v", r)
}

func (b *backends) Join(_ context.Context, r endpoint.JoinRequest) (endpoint.JoinAnswer, error) {
	a := endpoint.JoinAnswer{SrcName: "src0", DstPrefix: "eth"}
	n := b.networks[r.NetworkID]
	if !n.Internal && len(n.IPv4) > 0 {
		a.Gateway = n.IPv4[0].Gateway
	}
	if !n.Internal && len(n.IPv6) > 0 {
		a.Gateway6 = n.IPv6[0].Gateway
	}
	if b.link != nil {
		name, err := b.link(r)
		if err != nil {
			return a, err
		}
		a.SrcName = name
	}
	return a, b.note("Join %+v", r)
}

func (b *backends) Leave(_ context.Context, network, id string) error {
	return b.note("Leave %s %s", network, id)
}

func (b *backends) DeleteEndpoint(_ context.Context, network, id string) error {
	return b.note("DeleteEndpoint %s %s", network, id)
}

func (b *backends) OperInfo(_ context.Context, network, id string) (map[string]string, error) {
	return map[string]string{}, b.note("OperInfo %s %s", network, id)
}

func (b *backends) Program(_ context.Context, r endpoint.PortsRequest) error {
	return b.note("Program %+v", r)
}

func (b *backends) Revoke(_ context.Context, network, id string) error {
	return b.note("Revoke %s %s", network, id)
}

// memory is a store for ipam.
type memory map[string][]byte

func (m memory) List(context.Context, string) ([]store.Entry, error) { return nil, nil }

func (m memory) Apply(_ context.Context, ops ...store.Op) error { return store.Check(ops) }

type noRoutes struct{}

func (noRoutes) Prefixes() ([]netip.Prefix, error) { return nil, nil }

// newServer serves the backends and an empty ipam.
func newServer(t testing.TB, b *backends) *Server {
	t.Helper()
	s, err := makeServer(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func makeServer(ctx context.Context, b *backends) (*Server, error) {
	a, err := ipam.New(ctx, ipam.Options{Store: memory{}, Host: noRoutes{}, ResolvConf: []string{}})
	if err != nil {
		return nil, err
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	return New(Options{Networks: b, Endpoints: b, Ports: b, IPAM: ipam.Driver{Allocator: a}, Log: log}), nil
}

// post sends a body as Docker does and returns the status and the answer.
func post(t testing.TB, h http.Handler, method string, body []byte) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/"+method, bytes.NewReader(body))
	r.Host = "" // as engine 20.10 sends it
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	answer := w.Body.Bytes()
	if !json.Valid(answer) {
		t.Errorf("%s answers no JSON: %q", method, answer)
	}
	return w.Code, string(bytes.TrimSpace(answer))
}
