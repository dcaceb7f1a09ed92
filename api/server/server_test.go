package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/api/server"
	"github.com/sluice-net/sluice/api/server/servertest"
)

// start serves a fake and returns a client of it.
func start(t *testing.T, f *servertest.Fake) *api.Client {
	t.Helper()
	c := api.NewClient(servertest.Serve(t, f.Backend(), server.Options{}))
	t.Cleanup(c.Close)
	return c
}

// TestDeleteSparesLabels: the policies that labels are go with their containers only.
func TestDeleteSparesLabels(t *testing.T) {
	f := servertest.Sample()
	c := start(t, f)
	_, err := c.DeletePolicies(t.Context(), api.DeleteRequest{Names: []string{"labels:web@front"}})
	if api.CodeOf(err) != api.CodeInvalid || !strings.Contains(err.Error(), "sluice endpoint label") {
		t.Errorf("deleting labels: %v", err)
	}
	if _, err := c.DeletePolicies(t.Context(), api.DeleteRequest{All: true}); err != nil {
		t.Error(err)
	}
	want := []servertest.Call{{Method: "DeletePolicies", Args: []string{"allow-web", "shop/deny-all"}}}
	if diff := cmp.Diff(want, f.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// TestRoundTrip checks that what a backend says reaches the client whole.
func TestRoundTrip(t *testing.T) {
	f := servertest.Sample()
	c := start(t, f)
	ctx := t.Context()
	for name, call := range map[string]func() (got, want any, err error){
		"version": func() (any, any, error) { v, err := c.Version(ctx); return v, f.Backend().Version, err },
		"status":  func() (any, any, error) { v, err := c.Status(ctx); return v, f.StatusValue, err },
		"networks": func() (any, any, error) {
			v, err := c.Networks(ctx)
			return v, f.NetworkList, err
		},
		"endpoints": func() (any, any, error) {
			v, err := c.Endpoints(ctx, "db", "web@front")
			return v, []api.Endpoint{f.EndpointList[2], f.EndpointList[0]}, err
		},
		"identities": func() (any, any, error) {
			v, err := c.Identities(ctx, "web")
			return v, f.IdentityList[2:3], err
		},
		"policies": func() (any, any, error) {
			v, err := c.Policies(ctx, "deny-all")
			return v, f.PolicyList[1:2], err
		},
		"ports":     func() (any, any, error) { v, err := c.Ports(ctx, "web"); return v, f.PortList[:2], err },
		"addresses": func() (any, any, error) { v, err := c.Addresses(ctx); return v, f.AddressList, err },
		"entries":   func() (any, any, error) { v, err := c.PolicyEntries(ctx, "web"); return v, f.EntryList[3:], err },
		"metrics":   func() (any, any, error) { v, err := c.Metrics(ctx); return v, f.MetricList, err },
		"flows": func() (any, any, error) {
			var all []api.Connection
			err := c.Connections(ctx, []string{"db"}, func(x api.Connection) error { all = append(all, x); return nil })
			return all, f.FlowList[:1], err
		},
		"events": func() (any, any, error) {
			var all []api.Event
			err := c.Events(ctx, api.EventFilter{}, func(x api.Event) error { all = append(all, x); return nil })
			return all, f.EventList, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, want, err := call()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateComparable(), cmpopts.EquateEmpty(), cmp.Comparer(sameText)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// sameText compares addresses and prefixes.
func sameText(a, b fmt.Stringer) bool { return a.String() == b.String() }

func TestEmptyListsAreLists(t *testing.T) {
	socket := servertest.Serve(t, (&servertest.Fake{}).Backend(), server.Options{})
	for _, path := range []string{"networks", "endpoints", "identities", "policies", "ports", "bpf/endpoints", "bpf/policy", "bpf/metrics"} {
		if _, body := raw(t, socket, "GET", "/v1/"+path, ""); strings.TrimSpace(body) != "[]" {
			t.Errorf("%s: %s", path, body)
		}
	}
}

// raw sends a request as text and returns the answer.
func raw(t *testing.T, socket, method, path, body string) (int, string) {
	t.Helper()
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://x"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, string(b)
}

func TestRefusals(t *testing.T) {
	f := servertest.Sample()
	socket := servertest.Serve(t, f.Backend(), server.Options{})
	long := strings.Repeat("x", 65<<10)
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		says                     string
	}{
		{"no such path", "GET", "/v2/status", "", 404, "no such path"},
		{"wrong method", "DELETE", "/v1/status", "", 404, "DELETE /v1/status"},
		{"empty body", "POST", "/v1/endpoints/label", "", 400, "the body is empty"},
		{"no JSON", "POST", "/v1/endpoints/label", "hello", 400, "invalid character"},
		{"unknown field", "POST", "/v1/endpoints/label", `{"ref":"web","added":{}}`, 400, `unknown field \"added\"`},
		{"wrong type", "POST", "/v1/endpoints/label", `{"ref":7}`, 400, "cannot unmarshal number"},
		{"two documents", "POST", "/v1/endpoints/label", `{"ref":"web","remove":["a"]}{}`, 400, "more than one JSON document"},
		{"too large", "POST", "/v1/endpoints/label", `{"ref":"` + long + `"}`, 400, "larger than 65536 bytes"},
		{"large tail", "POST", "/v1/endpoints/label", `{"ref":"web","remove":["a"]}` + strings.Repeat(" ", 65<<10), 400, "larger than 65536 bytes"},
		{"nothing to do", "POST", "/v1/endpoints/label", `{"ref":"web"}`, 400, "nothing to add or remove"},
		{"no such endpoint", "POST", "/v1/endpoints/label", `{"ref":"x","remove":["a"]}`, 404, "find endpoint"},
		{"absurd wait", "POST", "/v1/endpoints/label", `{"ref":"web","remove":["a"],"wait":true,"timeout":36000000000001}`, 400, "between 0 and 1h0m0s"},
		{"negative wait", "POST", "/v1/policies", `{"sources":[{"source":"-","text":""}],"timeout":-1}`, 400, "between 0 and"},
		{"regenerate nothing", "POST", "/v1/endpoints/regenerate", `{}`, 400, "either endpoints or all"},
		{"regenerate both", "POST", "/v1/endpoints/regenerate", `{"refs":["web"],"all":true}`, 400, "either endpoints or all"},
		{"apply nothing", "POST", "/v1/policies", `{"sources":[]}`, 400, "there is no document"},
		{"delete nothing", "POST", "/v1/policies/delete", `{}`, 400, "either policies or all"},
		{"delete unknown", "POST", "/v1/policies/delete", `{"names":["allow-web","x"]}`, 404, "find policy"},
		{"log level", "POST", "/v1/log/level", `{"level":"loud"}`, 400, "there is no such level"},
		{"ambiguous", "GET", "/v1/endpoints?ref=a", "", 300, "could be any of"},
		{"ambiguous filter", "POST", "/v1/events", `{"endpoints":["a"]}`, 300, "could be any of"},
		{"bad filter", "POST", "/v1/events", `{"ports":[70000]}`, 400, "cannot unmarshal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := raw(t, socket, c.method, c.path, c.body)
			if status != c.status || !strings.Contains(body, c.says) {
				t.Errorf("status %d, want %d; %s", status, c.status, body)
			}
			var e api.Error
			if err := json.Unmarshal([]byte(body), &e); err != nil || e.Code.Status() != status {
				t.Errorf("the body is no error with a code: %s (%v)", body, err)
			}
		})
	}
	if calls := f.Calls(); len(calls) != 0 {
		t.Errorf("a refused request changed something: %v", calls)
	}
}

func TestErrorsOfBackends(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		code api.Code
		says string
	}{
		"coded":    {api.Errorf(api.CodeConflict, "busy"), api.CodeConflict, "busy"},
		"wrapped":  {fmt.Errorf("list: %w", api.Errorf(api.CodeUnavailable, "docker is gone")), api.CodeUnavailable, "list: docker is gone"},
		"problems": {fmt.Errorf("apply: %w", &api.Error{Code: api.CodeInvalid, Message: "bad", Problems: []api.Problem{{Message: "one"}}}), api.CodeInvalid, "bad\none"},
		"plain":    {errors.New("disk is full"), api.CodeInternal, "disk is full"},
	} {
		t.Run(name, func(t *testing.T) {
			f := servertest.Sample()
			f.Fail = c.err
			client := start(t, f)
			_, err := client.Networks(t.Context())
			if api.CodeOf(err) != c.code || err.Error() != c.says {
				t.Errorf("networks: %v, want %q %q", err, c.code, c.says)
			}
			if err := client.Connections(t.Context(), nil, func(api.Connection) error { return nil }); api.CodeOf(err) != c.code {
				t.Errorf("connections, which fail behind the first lines: %v", err)
			}
			if err := client.Events(t.Context(), api.EventFilter{}, func(api.Event) error { return nil }); api.CodeOf(err) != c.code {
				t.Errorf("events: %v", err)
			}
		})
	}
}

func TestMissingBackends(t *testing.T) {
	socket := servertest.Serve(t, server.Backend{}, server.Options{})
	for _, request := range []string{"GET /v1/status", "GET /v1/networks", "GET /v1/endpoints", "GET /v1/identities", "GET /v1/policies",
		"GET /v1/ports", "GET /v1/bpf/endpoints", "GET /v1/bpf/policy", "GET /v1/bpf/metrics", "GET /v1/bpf/conntrack", "GET /v1/log/level",
		`POST /v1/log/level {"level":"info"}`, `POST /v1/events {}`, `POST /v1/policies {"sources":[{}]}`, `POST /v1/policies/delete {"all":true}`,
		`POST /v1/endpoints/label {"ref":"x","remove":["a"]}`, `POST /v1/endpoints/regenerate {"all":true}`} {
		words := append(strings.SplitN(request, " ", 3), "")
		if status, body := raw(t, socket, words[0], words[1], words[2]); status != http.StatusServiceUnavailable {
			t.Errorf("%s: status %d, %s", request, status, body)
		}
	}
}

// panicking is a backend with a defect.
type panicking struct{ servertest.Fake }

func (*panicking) Networks(context.Context) ([]api.Network, error) { panic("defect") }

func (*panicking) Connections(_ context.Context, yield func(api.Connection) bool) error {
	for range 2000 { // more than is buffered
		yield(api.Connection{Protocol: "tcp"})
	}
	panic("late defect")
}

func TestPanics(t *testing.T) {
	log, hook := logtest.NewNullLogger()
	p := &panicking{}
	b := p.Backend()
	b.Networks, b.Kernel = p, p
	c := api.NewClient(servertest.Serve(t, b, server.Options{Log: log}))
	defer c.Close()
	if _, err := c.Networks(t.Context()); api.CodeOf(err) != api.CodeInternal || !strings.Contains(err.Error(), "its log has the details") {
		t.Errorf("networks: %v", err)
	}
	if e := hook.LastEntry(); hook.Entries[0].Level != logrus.ErrorLevel || !strings.Contains(fmt.Sprint(hook.Entries[0].Data["stack"]), "panicking") {
		t.Errorf("the log has %v", e)
	}
	err := c.Connections(t.Context(), nil, func(api.Connection) error { return nil })
	if api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("a stream that breaks: %v", err)
	}
	if _, err := c.Version(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestAccessLog(t *testing.T) {
	log, hook := logtest.NewNullLogger()
	log.SetLevel(logrus.DebugLevel)
	socket := servertest.Serve(t, servertest.Sample().Backend(), server.Options{Log: log})
	raw(t, socket, "GET", "/v1/networks?ref=nope", "")
	poll(t, "the request is logged", func() bool { return len(hook.AllEntries()) > 0 })
	e := hook.LastEntry()
	if e.Level != logrus.DebugLevel || e.Data["path"] != "/v1/networks" || e.Data["status"] != 404 || e.Data["method"] != "GET" {
		t.Errorf("logged %+v", e.Data)
	}
}

// poll waits until done, at most ten seconds.
func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after ten seconds it is not so that %s", what)
		}
	}
}

func TestClientThatLeavesEndsTheRequest(t *testing.T) {
	f := servertest.Sample()
	f.Hold = make(chan struct{})
	c := start(t, f)
	ctx, leave := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer leave()
	if _, err := c.Status(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	// The fake's Status returns only because its context ended: Serve's cleanup would wait for it.
}

func TestHeartbeats(t *testing.T) {
	f := servertest.Sample()
	f.EventList = nil
	socket := servertest.Serve(t, f.Backend(), server.Options{Heartbeat: time.Millisecond})
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	body := `{"follow":true}`
	fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	beats := make([]byte, 3)
	if _, err := io.ReadFull(resp.Body, beats); err != nil || string(beats) != "\n\n\n" {
		t.Errorf("got %q, %v", beats, err)
	}
	conn.Close()
	poll(t, "the subscription ends with the connection", func() bool {
		calls := f.Calls()
		return calls[len(calls)-1].Method == "Unsubscribe"
	})
}

func TestLabelWaits(t *testing.T) {
	f := servertest.Sample()
	c := start(t, f)
	got, err := c.Label(t.Context(), api.LabelRequest{Ref: "shop/frontend", LabelChange: api.LabelChange{Remove: []string{"app"}}, Waiting: api.Waiting{Wait: true}})
	if err != nil || got.Revision != 12 || len(got.Regenerations) != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
	f.Hold = make(chan struct{})
	_, err = c.Label(t.Context(), api.LabelRequest{Ref: "db", LabelChange: api.LabelChange{Remove: []string{"app"}},
		Waiting: api.Waiting{Wait: true, Timeout: time.Millisecond}})
	want := "wait for revision 12 (the change itself was accepted): 2 endpoints are missing"
	if api.CodeOf(err) != api.CodeUnavailable || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}

// FuzzBodies sends bodies to every path that has one: never a defect, and never an answer that is no JSON.
func FuzzBodies(f *testing.F) {
	f.Add(uint8(0), []byte(`{"ref":"web","add":{"a":"b"},"wait":true,"timeout":1}`))
	f.Add(uint8(1), []byte(`{"refs":["web","db@back"]}`))
	f.Add(uint8(2), []byte(`{"sources":[{"source":"a.yaml","text":"kind: X"}]}`))
	f.Add(uint8(3), []byte(`{"sources":[{}]}`))
	f.Add(uint8(4), []byte(`{"names":["allow-web"]}`))
	f.Add(uint8(5), []byte(`{"level":"debug"}`))
	f.Add(uint8(6), []byte(`{"types":["drop"],"endpoints":["web"],"since":"2030-01-02T15:04:05Z","last":3}`))
	f.Add(uint8(6), []byte(`{"types":null,"ports":[-1]}`))
	paths := []string{"endpoints/label", "endpoints/regenerate", "policies", "policies/validate", "policies/delete", "log/level", "events"}
	fake := servertest.Sample()
	h := server.New(fake.Backend(), server.Options{})
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		if strings.Contains(strings.ToLower(string(body)), "follow") {
			return // would last until the client leaves
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/"+paths[int(which)%len(paths)], bytes.NewReader(body))
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if rec.Code >= 500 && rec.Code != http.StatusServiceUnavailable {
			t.Errorf("status %d: %s", rec.Code, rec.Body)
		}
		for line := range strings.Lines(rec.Body.String()) {
			if !json.Valid([]byte(line)) && strings.TrimSpace(line) != "" {
				t.Errorf("no JSON: %q", line)
			}
		}
	})
}
