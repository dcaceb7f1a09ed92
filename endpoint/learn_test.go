package endpoint

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/api"
)

// learned is an event of a container in mode learn.
func (w *world) learned(container, direction, src, dst string) api.Event {
	w.t.Helper()
	ids, err := w.find(container)
	w.must(err)
	party := func(s string) api.Party {
		a := netip.MustParseAddrPort(s)
		p := api.Party{Addr: a.Addr(), Port: a.Port(), Entity: api.EntityWorld}
		if known := w.Addr(a.Addr()); known != nil {
			p.Endpoint, p.Container, p.Entity = known.EndpointID, known.Container, known.Entity
		}
		return p
	}
	return api.Event{Type: api.EventLearn, Verdict: api.VerdictLearned, Time: w.now(), Direction: direction, Protocol: "tcp",
		Endpoint: api.Party{Endpoint: ids[0]}, Source: party(src), Destination: party(dst)}
}

// send records events as the daemon does, until all are.
func (w *world) send(events ...api.Event) {
	ch := make(chan api.Event, len(events))
	for _, e := range events {
		ch <- e
	}
	close(ch)
	w.Record(context.Background(), ch)
}

func (w *world) policyOf(ref, format string, reset bool) api.Learned {
	w.t.Helper()
	ids, err := w.find(ref)
	w.must(err)
	l, err := w.Learn(context.Background(), ids, api.LearnRequest{Ref: ref, Format: format, Reset: reset})
	w.must(err)
	return l
}

func TestLearn(t *testing.T) {
	w := shop(t)
	w.send(
		w.learned("c1", api.Egress, "10.1.1.1:40000", "10.1.1.3:5432"),
		w.learned("c2", api.Egress, "10.1.1.2:40001", "10.1.1.3:5432"), // another replica
		w.learned("c1", api.Egress, "[fd00:1::101]:40000", "[fd00:1::103]:80"),
		w.learned("c1", api.Egress, "10.1.1.1:40002", "192.0.2.7:443"),
		w.learned("c1", api.Egress, "10.1.1.1:40003", "10.1.0.1:53"),
		w.learned("c1", api.Ingress, "10.1.1.4:40000", "10.1.1.1:80"),
		w.learned("c4", api.Egress, "10.1.1.4:40000", "10.1.1.1:80"),
		api.Event{Type: api.EventLost, Lost: &api.Lost{Where: api.LostKernel, Count: 5, Learn: 2}},
	)
	want := "labels:\n  sluice.egress: 192.0.2.7:443, @host:53, db:{80,5432}\n  sluice.ingress: name:c4:80\n"
	for _, restarted := range []bool{false, true} {
		if restarted {
			w.start()
		}
		l := w.policyOf("shop/web", api.LearnLabels, false)
		if diff := cmp.Diff(want, l.Policy); diff != "" {
			t.Errorf("restarted %v: %s", restarted, diff)
		}
		if l.Lost != 2 || l.Mode != "enforce" || l.Subject != "shop/web" || len(l.Flows) != 5 {
			t.Errorf("restarted %v: %+v", restarted, l)
		}
	}
	if l := w.policyOf("c4", api.LearnLabels, false); !strings.Contains(l.Policy, "sluice.egress: shop/web:80") {
		t.Errorf("%s", l.Policy)
	}
	// What is printed can be applied, and allows what was seen and nothing else.
	for _, format := range []string{api.LearnYAML, api.LearnCNP} {
		l := w.policyOf("shop/web", format, false)
		for to, verdict := range map[string]string{"c3:5432": "allowed", "c3:81": "denied", "192.0.2.7:443": "allowed", "192.0.2.7:80": "denied", "@host:53": "allowed"} {
			if e, err := w.explain("shop/web", to, l.Policy); err != nil || e.Verdict != verdict {
				t.Errorf("%s: to %s: %+v, %v\n%s", format, to, e.Verdict, err, l.Policy)
			}
		}
	}
	w.policyOf("shop/web", api.LearnLabels, true)
	w.start()
	if l := w.policyOf("shop/web", api.LearnLabels, false); len(l.Flows) != 0 {
		t.Errorf("what was forgotten is there: %+v", l.Flows)
	}
	if l := w.policyOf("c4", api.LearnLabels, false); len(l.Flows) != 1 {
		t.Errorf("another subject was forgotten too")
	}
}

// TestLearnIsBounded: a scan of the world does not fill the memory, and is still allowed by what comes out.
func TestLearnIsBounded(t *testing.T) {
	w := shop(t)
	var events []api.Event
	for i := range mostFlows + 500 {
		events = append(events, w.learned("c4", api.Egress, "10.1.1.4:40000", fmt.Sprintf("8.%d.%d.1:443", i/250, i%250)))
	}
	w.send(events...)
	if n := len(w.recordings["c4"].Flows); n > mostFlows+2 {
		t.Errorf("%d flows are remembered", n)
	}
	if l := w.policyOf("c4", api.LearnLabels, false); !strings.Contains(l.Policy, "'@internet:443'") {
		t.Errorf("%s", l.Policy)
	}
}

func TestHint(t *testing.T) {
	w := shop(t)
	w.apply(only("web"))
	w.settle()
	db, err := w.find("c3")
	w.must(err)
	drop := func(port uint16) api.Event {
		return api.Event{Type: api.EventDrop, Verdict: api.VerdictDropped, Direction: api.Ingress, Protocol: "tcp", Endpoint: api.Party{Endpoint: db[0]},
			Source:      api.Party{Addr: netip.MustParseAddr("10.1.1.4"), Port: 40000},
			Destination: api.Party{Addr: netip.MustParseAddr("10.1.1.3"), Port: port}}
	}
	want := "label c3 sluice.ingress=name:c4:80"
	if got := w.Hint(drop(80)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := w.Hint(api.Event{Type: api.EventDrop, Verdict: api.VerdictDropped}); got != "" {
		t.Errorf("what no policy denied: %q", got)
	}
	worked := 0
	for port := range uint16(5000) {
		if w.Hint(drop(1000+port)) != "" {
			worked++
		}
	}
	if worked == 0 || worked > hintsPerSecond {
		t.Errorf("%d hints were worked out in a flood", worked)
	}
	if got := w.Hint(drop(80)); got != want {
		t.Errorf("what is known costs nothing, but: %q", got)
	}
	w.later(time.Second)
	if w.Hint(drop(9000)) == "" {
		t.Error("no hint after the flood")
	}
}
