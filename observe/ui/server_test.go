package ui

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/webguard"
	"github.com/sluice-net/sluice/observe"
)

var (
	web = &observe.Party{Container: "shop-web-1", Project: "shop", Service: "web"}
	db  = &observe.Party{Container: "shop-db-1", Project: "shop", Service: "db"}
)

// ring is a ring of flows that can be walked like an observer's.
type ring struct{ flows *observe.Flows }

func (r ring) Walk(ctx context.Context, q observe.Query, each func(*observe.Flow) error) error {
	oldest, next := r.flows.Bounds()
	var past []*observe.Flow
	for seq := oldest; seq < next; seq++ {
		f := r.flows.Get(seq)
		if (q.Since.IsZero() || !f.Time.Before(q.Since)) && (q.Until.IsZero() || !f.Time.After(q.Until)) && (q.Match == nil || q.Match(f)) {
			past = append(past, f)
		}
	}
	if q.Last > 0 && len(past) > int(q.Last) {
		past = past[len(past)-int(q.Last):]
	}
	for _, f := range past {
		if err := each(f); err != nil {
			return err
		}
	}
	if !q.Follow {
		return nil
	}
	for reader := r.flows.Reader(next); ; {
		f, _, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		if q.Match == nil || q.Match(f) {
			if err := each(f); err != nil {
				return err
			}
		}
	}
}

// inventory is a list of endpoints that may change.
type inventory struct {
	mu        sync.Mutex
	endpoints []api.Endpoint
	ports     []api.Port
}

func (i *inventory) Endpoints(context.Context) ([]api.Endpoint, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.endpoints, nil
}

func (i *inventory) PublishedPorts(context.Context) ([]api.Port, error) { return i.ports, nil }

// page is a served page.
type page struct {
	url    string
	client *http.Client
	flows  *observe.Flows
	server *Server
	there  *inventory
}

func servePage(t *testing.T, change func(*Options)) page {
	t.Helper()
	p := page{flows: observe.NewFlows(4096), there: &inventory{
		endpoints: []api.Endpoint{
			{ID: "e1", Container: "shop-web-1", Project: "shop", Service: "web", Network: "front", State: api.StateReady, IPv4: netip.MustParsePrefix("10.0.0.2/24")},
			{ID: "e2", Container: "shop-web-1", Project: "shop", Service: "web", Network: "back", State: api.StateFailed, LastError: "no program"},
			{ID: "e3", Container: "shop-db-1", Project: "shop", Service: "db", Network: "back", State: api.StateReady,
				Ingress: api.Direction{Enforced: true, Policies: []string{"shop/db"}}},
		},
		ports: []api.Port{
			{HostAddr: netip.IPv4Unspecified(), HostPort: 8080, Protocol: "tcp", Port: 80, Endpoint: "e1"},
			{HostAddr: netip.IPv6Unspecified(), HostPort: 8080, Protocol: "tcp", Port: 80, Endpoint: "e1"},
		},
	}}
	o := Options{
		Flows: ring{p.flows}, Inventory: p.there, Heartbeat: 200 * time.Millisecond,
		API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body := make([]byte, 100)
			n, _ := r.Body.Read(body)
			fmt.Fprintf(w, `{"asked":"%s %s?%s %s"}`, r.Method, r.URL.Path, r.URL.RawQuery, strings.ReplaceAll(string(body[:n]), `"`, ""))
		}),
		Hint: func(*observe.Flow) string { return "label it" },
	}
	if change != nil {
		change(&o)
	}
	var err error
	if p.server, err = New(o); err != nil {
		t.Fatal(err)
	}
	served := httptest.NewServer(p.server)
	t.Cleanup(served.Close)
	t.Cleanup(p.server.Close)
	p.url, p.client = served.URL, served.Client()
	return p
}

// add publishes a packet of a connection from web to db, which was opened that many seconds ago.
func (p page) add(kind uint8, reason abi.DropReason) {
	e := abi.Event{Time: uint64(time.Hour), Opened: uint64(time.Hour), Type: kind, Reason: uint16(reason), Family: 4, Proto: 6,
		Src: abi.FromAddr(netip.MustParseAddr("10.0.0.2")), Dst: abi.FromAddr(netip.MustParseAddr("10.0.0.3")), Sport: abi.ToBE16(40000), Dport: abi.ToBE16(5432),
		Sent: abi.Counter{Packets: 2, Bytes: 200}, Received: abi.Counter{Packets: 1, Bytes: 100}, Side: abi.PolicyIngress}
	f := &observe.Flow{Time: time.Now(), Kernel: e, Source: web, Destination: db}
	if reason != 0 {
		f.Rule = &observe.Rule{Policy: "shop/db", Place: "default deny"}
	}
	p.flows.Add(f)
}

func (p page) get(t *testing.T, path string, into any) *http.Response {
	t.Helper()
	resp, err := p.client.Get(p.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if into != nil {
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	return resp
}

// event is a server-sent event; a comment has no name.
type event struct{ name, data string }

// listen follows a stream of events until the test ends.
func (p page) listen(t *testing.T, path string) <-chan event {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	resp, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatalf("%s: status %d, type %s", path, resp.StatusCode, kind)
	}
	out := make(chan event, 64)
	go func() {
		defer close(out)
		defer resp.Body.Close()
		var e event
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			switch key, value, _ := strings.Cut(lines.Text(), ": "); key {
			case "event":
				e.name = value
			case "data":
				e.data = value
			case "":
				out <- e
				e = event{}
			}
		}
	}()
	return out
}

// next waits for an event of a name for which fits returns true.
func next[T any](t *testing.T, events <-chan event, name string, fits func(T) bool) T {
	t.Helper()
	for deadline := time.After(10 * time.Second); ; {
		select {
		case e, open := <-events:
			if !open {
				t.Fatalf("the stream ended before %s", name)
			}
			var v T
			if e.name != name {
				continue
			}
			if err := json.Unmarshal([]byte(e.data), &v); err != nil {
				t.Fatal(err)
			}
			if fits == nil || fits(v) {
				return v
			}
		case <-deadline:
			t.Fatalf("no event %s that fits", name)
		}
	}
}

func TestPageAndItsHeaders(t *testing.T) {
	p := servePage(t, nil)
	for path, want := range map[string]int{"/": 200, "/nothing.js": 404, "/../server.go": 404, "/api/nothing": 404} {
		resp := p.get(t, path, nil)
		h := resp.Header
		if resp.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, resp.StatusCode, want)
		}
		policy := h.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: the content policy %q lacks %s", path, policy, part)
			}
		}
		if strings.Contains(policy, "unsafe") || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", path, h)
		}
	}
	resp := p.get(t, "/", nil)
	req, _ := http.NewRequest(http.MethodGet, p.url+"/", nil)
	req.Header.Set("If-None-Match", resp.Header.Get("ETag"))
	again, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	again.Body.Close()
	if again.StatusCode != http.StatusNotModified {
		t.Errorf("the same page again: status %d", again.StatusCode)
	}
}

func TestMapTellsTopologyAndEdges(t *testing.T) {
	p := servePage(t, nil)
	p.add(abi.EventTrace, 0)
	events := p.listen(t, "/api/map")
	topology := next[Topology](t, events, "topology", nil)
	if len(topology.Nodes) != 2 || topology.Nodes[0].ID != "shop-db-1" || topology.Nodes[1].ID != "shop-web-1" {
		t.Fatalf("nodes %+v", topology.Nodes)
	}
	n := topology.Nodes[1]
	if n.State != api.StateFailed || n.Error != "no program" || len(n.Networks) != 2 || n.Networks[1].IPv4 != "10.0.0.2" || len(n.Ports) != 1 || n.Ports[0].HostPort != 8080 {
		t.Errorf("container %+v", n)
	}
	if a := topology.Nodes[0].Networks[0]; a.Ingress == nil || a.Ingress[0] != "shop/db" || a.Egress != nil {
		t.Errorf("attachment %+v", a)
	}
	e := next[edgesEvent](t, events, "edges", func(e edgesEvent) bool { return len(e.Edges) == 1 })
	if got := e.Edges[0]; got.From != "shop-web-1" || got.To != "shop-db-1" || got.Connections != 1 || got.Bytes != 300 {
		t.Errorf("edge %+v", got)
	}
	p.there.mu.Lock()
	p.there.endpoints = p.there.endpoints[:2]
	p.there.mu.Unlock()
	topology = next[Topology](t, events, "topology", nil)
	if !topology.Nodes[0].Gone {
		t.Errorf("the container that went is %+v", topology.Nodes[0])
	}
}

func TestDropIsToldWithinASecond(t *testing.T) {
	p := servePage(t, nil)
	p.add(abi.EventTrace, 0)
	events := p.listen(t, "/api/map")
	next[edgesEvent](t, events, "edges", nil)
	begin := time.Now()
	p.add(abi.EventDrop, abi.DropPolicyDenied)
	e := next[edgesEvent](t, events, "edges", func(e edgesEvent) bool { return len(e.Edges) == 1 && len(e.Edges[0].Denials) > 0 })
	if took := time.Since(begin); took > time.Second {
		t.Errorf("it took %v", took)
	}
	if d := e.Edges[0].Denials[0]; d.Reason != "policy denied" || d.Policy != "shop/db" || d.Direction != "ingress" || d.Port != 5432 {
		t.Errorf("denial %+v", d)
	}
}

func TestMapIsSharedAndForgotten(t *testing.T) {
	p := servePage(t, nil)
	a, leaveA := p.server.tracker.look(t.Context())
	b, leaveB := p.server.tracker.look(t.Context())
	if a != b {
		t.Error("two who look have two maps")
	}
	leaveA()
	leaveA() // once
	if c, leave := p.server.tracker.look(t.Context()); c != a {
		t.Error("the map was forgotten while somebody looks")
	} else {
		leave()
	}
	leaveB()
	p.server.tracker.mu.Lock()
	p.server.tracker.end()
	p.server.tracker.mu.Unlock()
	if c, leave := p.server.tracker.look(t.Context()); c == a {
		t.Error("a map that was ended is used")
	} else {
		leave()
	}
}

func TestFlowsArePagedAndFiltered(t *testing.T) {
	p := servePage(t, nil)
	for range 5 {
		p.add(abi.EventTrace, 0)
	}
	p.add(abi.EventDrop, abi.DropPolicyDenied)
	for _, c := range []struct {
		query string
		want  []uint64 // numbers of flows
	}{
		{"", []uint64{1, 2, 3, 4, 5, 6}},
		{"?last=2", []uint64{5, 6}},
		{"?q=verdict:dropped", []uint64{6}},
		{"?q=verdict:forwarded&last=2", []uint64{4, 5}},
		{"?since=1h&last=3", []uint64{4, 5, 6}},
		{"?until=1h", nil},
		{"?since=" + time.Now().Add(time.Hour).UTC().Format(time.RFC3339), nil},
	} {
		var e flowsEvent
		p.get(t, "/api/flows"+c.query, &e)
		var got []uint64
		for _, f := range e.Flows {
			got = append(got, f.Seq)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, want %v", c.query, got, c.want)
		}
	}
	var e flowsEvent
	p.get(t, "/api/flows?last=1", &e)
	f := e.Flows[0]
	if f.Verdict != "dropped" || f.Reason != "policy denied" || f.Policy != "shop/db" || f.Rule != "default deny" || f.Hint != "label it" ||
		f.Source.ID != "shop-web-1" || f.Source.Address != "10.0.0.2" || f.Port != 5432 || f.Protocol != "tcp" {
		t.Errorf("flow %+v", f)
	}
}

func TestQuestionsThatMakeNoSense(t *testing.T) {
	p := servePage(t, nil)
	for path, says := range map[string]string{
		"/api/flows?q=verdict:x": "dropped, forwarded", "/api/flows?last=-1": "use a number", "/api/flows?last=5000": "up to 1000",
		"/api/flows?since=yesterday":                   "how long ago",
		"/api/history?" + strings.Repeat("of=a&", 600): "at most",
	} {
		var refused api.Error
		if resp := p.get(t, path, &refused); resp.StatusCode != http.StatusBadRequest || !strings.Contains(refused.Message, says) {
			t.Errorf("%.40s: status %d, %s", path, resp.StatusCode, refused.Message)
		}
	}
	refused := next[api.Error](t, p.listen(t, "/api/flows/stream?q=verdict:x"), "refused", nil)
	if !strings.Contains(refused.Message, "forwarded") {
		t.Errorf("refused: %s", refused.Message)
	}
}

func TestFlowsStreamLive(t *testing.T) {
	p := servePage(t, nil)
	p.add(abi.EventTrace, 0)
	events := p.listen(t, "/api/flows/stream?q=verdict:dropped&last=10")
	next[flowsEvent](t, events, "flows", nil)
	p.add(abi.EventTrace, 0)
	p.add(abi.EventDrop, abi.DropPolicyDenied)
	e := next[flowsEvent](t, events, "flows", func(e flowsEvent) bool { return len(e.Flows) > 0 })
	if len(e.Flows) != 1 || e.Flows[0].Seq != 3 {
		t.Errorf("flows %+v", e.Flows)
	}
	next[struct{}](t, comments(events), "comment", nil) // silence is broken by a heartbeat
}

// comments calls comments by a name.
func comments(in <-chan event) <-chan event {
	out := make(chan event)
	go func() {
		defer close(out)
		for e := range in {
			if e.name == "" {
				out <- event{"comment", "{}"}
				return
			}
		}
	}()
	return out
}

func TestFloodIsCutAndCounted(t *testing.T) {
	p := servePage(t, nil)
	events := p.listen(t, "/api/flows/stream")
	next[flowsEvent](t, events, "flows", nil)
	const flood = 3000
	for range flood {
		p.add(abi.EventTrace, 0)
	}
	var got uint64
	var newest uint64
	next(t, events, "flows", func(e flowsEvent) bool {
		if len(e.Flows) > maxPending {
			t.Errorf("%d flows at once", len(e.Flows))
		}
		got += uint64(len(e.Flows)) + e.Skipped
		if len(e.Flows) > 0 {
			newest = e.Flows[len(e.Flows)-1].Seq
		}
		return got == flood
	})
	if newest != flood {
		t.Errorf("the newest shown is %d of %d", newest, flood)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	p := servePage(t, nil)
	for range maxStreams {
		p.server.slots <- struct{}{}
	}
	var refused api.Error
	if resp := p.get(t, "/api/map", &refused); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(refused.Message, "close one") {
		t.Errorf("one too many: status %d, %s", resp.StatusCode, refused.Message)
	}
	<-p.server.slots
	p.listen(t, "/api/map")
}

func TestSlowClientIsDropped(t *testing.T) {
	t.Parallel()
	server, err := New(Options{Flows: ring{observe.NewFlows(16)}, Inventory: &inventory{}, API: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		server.stream(func(_ context.Context, _ *http.Request, out *events) error {
			big := strings.Repeat("x", 1<<20)
			for range 64 { // more than any socket holds
				if err := out.send("flood", big); err != nil {
					ended <- err
					return err
				}
			}
			ended <- nil
			return nil
		})(w, r)
	})
	served := &http.Server{Handler: handler}
	go func() { _ = served.Serve(l) }()
	defer served.Close()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") // and reads nothing
	select {
	case err := <-ended:
		if err == nil {
			t.Error("all was sent to who does not read")
		}
	case <-time.After(writeTime + 10*time.Second):
		t.Error("who does not read is not cut off")
	}
}

func TestClosingEndsStreams(t *testing.T) {
	p := servePage(t, nil)
	events := p.listen(t, "/api/map")
	next[Topology](t, events, "topology", nil)
	p.server.Close()
	for deadline := time.After(10 * time.Second); ; {
		select {
		case _, open := <-events:
			if !open {
				return
			}
		case <-deadline:
			t.Fatal("the stream goes on")
		}
	}
}

func TestQuestionsAreForwarded(t *testing.T) {
	p := servePage(t, nil)
	for path, want := range map[string]string{
		"/api/policies?ref=a": "GET /v1/policies?ref=a ",
		"/api/exposed":        "POST /v1/policy/exposed? {}",
		"/api/status":         "GET /v1/status? ",
	} {
		var got struct{ Asked string }
		p.get(t, path, &got)
		if got.Asked != want {
			t.Errorf("%s: %q, want %q", path, got.Asked, want)
		}
	}
	resp, err := p.client.Post(p.url+"/api/explain", "application/json", strings.NewReader("{from}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct{ Asked string }
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.Asked != "POST /v1/policy/explain? {from}" {
		t.Errorf("explain: %q, %v", got.Asked, err)
	}
	for _, path := range []string{"/api/policies", "/v1/policies", "/v1/policies/delete", "/api/endpoints/label"} { // nothing can be changed
		resp, err := p.client.Post(p.url+path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("post %s: status %d", path, resp.StatusCode)
		}
	}
}

func TestFilterAnswersWithCommands(t *testing.T) {
	p := servePage(t, nil)
	var a filterAnswer
	p.get(t, "/api/filter?q=from:web+nginx", &a)
	if a.Sluice != "sluice observe --follow --from-pod /web" || a.Hubble != "hubble observe --follow --from-pod /web" || len(a.Left) != 1 || len(a.Keys) < 20 {
		t.Errorf("%+v", a)
	}
	var b filterAnswer
	p.get(t, "/api/filter?q=port:x", &b)
	if !strings.Contains(b.Problem, "use a number") || b.Sluice != "" || len(b.Keys) != len(a.Keys) {
		t.Errorf("%+v", b)
	}
}

func TestHistoryOfEdges(t *testing.T) {
	p := servePage(t, nil)
	p.add(abi.EventTrace, 0)
	sum := func(query string) (total float64) {
		var h struct{ Opened []float64 }
		p.get(t, "/api/history?"+query, &h)
		for _, n := range h.Opened {
			total += n
		}
		return total
	}
	if sum("") == 0 || sum("of=shop-web-1") == 0 || sum("from=shop-web-1&to=shop-db-1") == 0 || sum("from=shop-db-1&to=shop-web-1") != 0 || sum("of=other") != 0 {
		t.Errorf("%v %v %v %v %v", sum(""), sum("of=shop-web-1"), sum("from=shop-web-1&to=shop-db-1"), sum("from=shop-db-1&to=shop-web-1"), sum("of=other"))
	}
}

func TestGuardStandsBeforeEverything(t *testing.T) {
	p := servePage(t, nil)
	guarded := httptest.NewServer(p.server.HTTP(webguard.New(webguard.Options{Token: "0123456789abcdef"}).Wrap).Handler)
	defer guarded.Close()
	for _, path := range []string{"/app.js", "/api/map", "/api/flows", "/api/policies"} {
		resp, err := guarded.Client().Get(guarded.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without a token: status %d", path, resp.StatusCode)
		}
	}
	req, _ := http.NewRequest(http.MethodGet, guarded.URL+"/api/flows", nil)
	req.Host = "evil.example"
	resp, err := guarded.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("by a name that was bound to the address: status %d", resp.StatusCode)
	}
}
