package servertest

import (
	"context"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/api/server"
)

// Fake implements every backend of package server. Its lists are what it answers; Fail, where set, is what every call
// answers instead. Calls records the changes that were asked for.
type Fake struct {
	StatusValue   api.Status
	NetworkList   []api.Network
	EndpointList  []api.Endpoint
	IdentityList  []api.Identity
	PolicyList    []api.Policy
	FileList      []api.PolicyFile
	PortList      []api.Port
	FlowList      []api.Connection
	AddressList   []api.AddressEntry
	EntryList     []api.PolicyEntry
	MetricList    []api.Metric
	EventList     []api.Event
	TrafficList   []api.Traffic
	CapturedList  []api.Captured
	Explained     api.Explanation
	DiffValue     api.PolicyDiff
	ExposureList  []api.Exposure
	EdgeList      []api.Edge
	LearnedValue  api.Learned
	Regenerations []api.Regeneration // what a wait finds
	WaitError     error
	Level         string
	Fail          error
	Refuse        error         // what applying and validating policies answer
	Hold          chan struct{} // if set, waits and Status do not answer before it is closed

	mu      sync.Mutex
	calls   []Call
	follows chan api.Event
}

// Call is one change that a client asked for.
type Call struct {
	Method string
	Args   any
}

// Calls returns the changes that were asked for, in their order.
func (f *Fake) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *Fake) record(method string, args any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, Call{method, args})
}

// Backend returns the fake as the handlers want it.
func (f *Fake) Backend() server.Backend {
	return server.Backend{
		Version: api.Version{Version: "0.1.0", Commit: "0123456789ab", Go: "go1.26", OS: "linux", Arch: "amd64"},
		Status:  f, Networks: f, Endpoints: f, Identities: f, Policies: f, Insight: f, Files: f, Revisions: f, Ports: f, Kernel: f, Events: f, Traffic: f, Captures: f, Log: f,
	}
}

// Serve serves the backend on a socket of its own until the test ends, and returns the socket's path.
func Serve(t testing.TB, b server.Backend, o server.Options) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	srv := server.New(b, o).HTTP()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // ends with Close
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return socket
}

// hold blocks while the test wants it.
func (f *Fake) hold(ctx context.Context) error {
	if f.Hold == nil {
		return f.Fail
	}
	select {
	case <-f.Hold:
		return f.Fail
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Status implements server.Status.
func (f *Fake) Status(ctx context.Context) (api.Status, error) { return f.StatusValue, f.hold(ctx) }

// Networks implements server.Networks.
func (f *Fake) Networks(context.Context) ([]api.Network, error) { return f.NetworkList, f.Fail }

// Endpoints implements server.Endpoints.
func (f *Fake) Endpoints(context.Context) ([]api.Endpoint, error) { return f.EndpointList, f.Fail }

// Relabel implements server.Endpoints.
func (f *Fake) Relabel(_ context.Context, id string, change api.LabelChange) (uint64, error) {
	f.record("Relabel", map[string]any{"id": id, "change": change})
	return 12, f.Fail
}

// Regenerate implements server.Endpoints.
func (f *Fake) Regenerate(_ context.Context, ids []string) ([]api.Regeneration, error) {
	f.record("Regenerate", ids)
	var out []api.Regeneration
	for _, r := range f.Regenerations {
		if slices.Contains(ids, r.Endpoint) {
			out = append(out, r)
		}
	}
	return out, f.Fail
}

// Identities implements server.Identities.
func (f *Fake) Identities(context.Context) ([]api.Identity, error) { return f.IdentityList, f.Fail }

// Policies implements server.Policies.
func (f *Fake) Policies(context.Context) ([]api.Policy, error) { return f.PolicyList, f.Fail }

// PolicyFiles implements server.PolicyFiles.
func (f *Fake) PolicyFiles(context.Context) ([]api.PolicyFile, error) { return f.FileList, f.Fail }

// ApplyPolicies implements server.Policies: it calls each source a new policy.
func (f *Fake) ApplyPolicies(ctx context.Context, sources []api.PolicySource) (api.Change, error) {
	f.record("ApplyPolicies", sources)
	results, err := f.ValidatePolicies(ctx, sources)
	for i := range results {
		results[i].Action = api.ActionCreated
	}
	return api.Change{Revision: 13, Policies: results}, err
}

// ValidatePolicies implements server.Policies: each source is a policy called as its file.
func (f *Fake) ValidatePolicies(_ context.Context, sources []api.PolicySource) ([]api.PolicyResult, error) {
	if f.Refuse != nil {
		return nil, f.Refuse
	}
	var out []api.PolicyResult
	for _, s := range sources {
		name := filepath.Base(s.Source)
		name = name[:len(name)-len(filepath.Ext(name))]
		out = append(out, api.PolicyResult{Name: name, Kind: "CiliumNetworkPolicy", Source: s.Source, Action: api.ActionValid, Endpoints: 1})
	}
	return out, f.Fail
}

// DeletePolicies implements server.Policies.
func (f *Fake) DeletePolicies(_ context.Context, names []string) (api.Change, error) {
	f.record("DeletePolicies", names)
	c := api.Change{Revision: 14}
	for _, n := range names {
		c.Policies = append(c.Policies, api.PolicyResult{Name: n, Action: api.ActionDeleted, Endpoints: 2})
	}
	return c, f.Fail
}

// Wait implements server.Revisions.
func (f *Fake) Wait(ctx context.Context, revision uint64) ([]api.Regeneration, error) {
	f.record("Wait", revision)
	if err := f.hold(ctx); err != nil {
		return nil, api.Errorf(api.CodeUnavailable, "2 endpoints are missing")
	}
	return f.Regenerations, f.WaitError
}

// Ports implements server.Ports.
func (f *Fake) Ports(context.Context) ([]api.Port, error) { return f.PortList, f.Fail }

// Connections implements server.Kernel.
func (f *Fake) Connections(_ context.Context, yield func(api.Connection) bool) error {
	for _, c := range f.FlowList {
		if !yield(c) {
			return nil
		}
	}
	return f.Fail
}

// Addresses implements server.Kernel.
func (f *Fake) Addresses(context.Context) ([]api.AddressEntry, error) { return f.AddressList, f.Fail }

// PolicyEntries implements server.Kernel.
func (f *Fake) PolicyEntries(_ context.Context, ids []string) ([]api.PolicyEntry, error) {
	var out []api.PolicyEntry
	for _, e := range f.EntryList {
		if ids == nil || slices.Contains(ids, e.Endpoint) {
			out = append(out, e)
		}
	}
	return out, f.Fail
}

// Metrics implements server.Kernel.
func (f *Fake) Metrics(context.Context) ([]api.Metric, error) { return f.MetricList, f.Fail }

// Subscribe implements server.Events: EventList, then, with Follow, what Send brings.
func (f *Fake) Subscribe(ctx context.Context, filter api.EventFilter) (<-chan api.Event, error) {
	f.record("Subscribe", filter)
	if f.Fail != nil {
		return nil, f.Fail
	}
	ch := make(chan api.Event, 16)
	go func() {
		defer close(ch)
		for _, e := range f.EventList {
			select {
			case ch <- e:
			case <-ctx.Done():
				return
			}
		}
		if !filter.Follow {
			return
		}
		for {
			select {
			case e, open := <-f.follow():
				if !open {
					return
				}
				ch <- e
			case <-ctx.Done():
				f.record("Unsubscribe", nil)
				return
			}
		}
	}()
	return ch, nil
}

func (f *Fake) follow() chan api.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.follows == nil {
		f.follows = make(chan api.Event)
	}
	return f.follows
}

// Stop ends the subscriptions that follow, as a daemon does that stops.
func (f *Fake) Stop() { close(f.follow()) }

// Send gives an event to one follower, and reports whether there was one in time.
func (f *Fake) Send(e api.Event) bool {
	select {
	case f.follow() <- e:
		return true
	case <-time.After(10 * time.Second):
		return false
	}
}

// LogLevel implements server.Log.
func (f *Fake) LogLevel() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Level
}

// SetLogLevel implements server.Log.
func (f *Fake) SetLogLevel(level string) error {
	if !slices.Contains([]string{"trace", "debug", "info", "warning", "error"}, level) {
		return api.Errorf(api.CodeInvalid, "set log level %q: there is no such level", level)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Level = level
	return nil
}

// labels returns a copy of a with more.
func labels(a map[string]string, more map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.Copy(out, more)
	return out
}

// Explain implements server.Insight.
func (f *Fake) Explain(_ context.Context, r api.ExplainRequest, _ func(string) ([]string, error)) (api.Explanation, error) {
	f.record("Explain", r)
	return f.Explained, f.Fail
}

// DiffPolicies implements server.Insight.
func (f *Fake) DiffPolicies(_ context.Context, sources []api.PolicySource) (api.PolicyDiff, error) {
	f.record("DiffPolicies", sources)
	return f.DiffValue, f.Fail
}

// Exposed implements server.Insight.
func (f *Fake) Exposed(_ context.Context, ids []string, allow *string) ([]api.Exposure, error) {
	f.record("Exposed", map[string]any{"ids": ids, "allow": allow})
	return f.ExposureList, f.Fail
}

// Graph implements server.Insight.
func (f *Fake) Graph(_ context.Context, ids []string) ([]api.Edge, error) {
	f.record("Graph", ids)
	return f.EdgeList, f.Fail
}

// Learn implements server.Insight.
func (f *Fake) Learn(_ context.Context, ids []string, r api.LearnRequest) (api.Learned, error) {
	f.record("Learn", map[string]any{"ids": ids, "request": r})
	return f.LearnedValue, f.Fail
}

// Hint implements server.Insight.
func (f *Fake) Hint(e api.Event) string { return e.Hint }
