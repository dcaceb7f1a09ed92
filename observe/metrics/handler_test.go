package metrics

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// broken is a collector with a value that cannot be.
type broken struct{ desc *prometheus.Desc }

func (b broken) Describe(out chan<- *prometheus.Desc) { out <- b.desc }
func (b broken) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.NewInvalidMetric(b.desc, io.ErrUnexpectedEOF)
}

// TestHandler: a scrape has what can be read, and counts itself.
func TestHandler(t *testing.T) {
	r := prometheus.NewRegistry()
	log, hook := logtest.NewNullLogger()
	h := Handler(r, log)
	r.MustRegister(count(t, "tcp", flow()), broken{prometheus.NewDesc("broken", "It is.", nil, nil)})
	get := func() string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		if w.Code != 200 {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		return w.Body.String()
	}
	get()
	text := get()
	for _, want := range []string{
		`hubble_tcp_flags_total{family="IPv4",flag="SYN"} 1`, `hubble_metrics_http_handler_requests_total{code="200"} 1`,
		`hubble_metrics_http_handler_request_duration_seconds_count{code="200"} 1`, `hubble_lost_events_total{source="hubble_ring_buffer"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("without %s:\n%s", want, text)
		}
	}
	if len(hook.AllEntries()) != 2 || !strings.Contains(hook.LastEntry().Message, "unexpected EOF") {
		t.Errorf("logged %v", hook.AllEntries())
	}
}

// TestDefinitions: what is defined is exposed, under names as Prometheus wants them.
func TestDefinitions(t *testing.T) {
	names := strings.Join(kindNames(), " ")
	r := prometheus.NewPedanticRegistry()
	log, _ := logtest.NewNullLogger()
	h := Handler(r, log)
	c := count(t, names, flow(), flow(to(world)), flow(ping(4, 8)), flow(dropped(abi.DropPolicyDenied)), flow(judged(abi.EventVerdict, 0, byName)))
	c.folded.WithLabelValues("tcp")
	c.Count(lost(api.LostKernel, 1, web))
	r.MustRegister(c)
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exposed := map[string]string{}
	for _, f := range families {
		exposed[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	for _, m := range Definitions() {
		if exposed[m.Name] != string(m.Kind) {
			t.Errorf("%s is a %s, exposed as %q", m.Name, m.Kind, exposed[m.Name])
		}
		delete(exposed, m.Name)
	}
	if len(exposed) > 0 {
		t.Errorf("exposed and not defined: %v", exposed)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

// TestRun: flows of the ring are counted from now on, and those that were overwritten before they could be.
func TestRun(t *testing.T) {
	ring := observe.NewFlows(64)
	ring.Add(flow(flags(rst)))
	c := NewFlows(mustParse(t, "tcp"), everyone)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Run(ctx, ring)
	}()
	until := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not %s: %v", what, exposed(t, c, "hubble_tcp_flags_total"))
			}
		}
	}
	until("counted", func() bool {
		ring.Add(flow())
		return len(exposed(t, c, "hubble_tcp_flags_total")) > 0
	})
	many := make([]*observe.Flow, 10000)
	for i := range many {
		many[i] = flow()
	}
	ring.Add(many...)
	until("lost", func() bool { return exposed(t, c, "hubble_lost_events_total")[0] == "source=hubble_ring_buffer 9936" })
	cancel()
	<-ended
	if got := exposed(t, c, "hubble_tcp_flags_total"); len(got) != 1 || strings.Contains(got[0], "RST") {
		t.Errorf("flows from before were counted: %v", got)
	}
}
