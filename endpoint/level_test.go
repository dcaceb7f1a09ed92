package endpoint

import (
	"context"
	"testing"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/policy"
)

// observes returns what is told of a container's packets, as the endpoint shows it and as its programs have it.
func (w *world) observes(e *Endpoint) string {
	w.t.Helper()
	all, err := w.Endpoints(context.Background())
	w.must(err)
	for _, v := range all {
		if v.ID == e.ID {
			if runs := w.running[e.ID].program.Level.String(); runs != v.Observe {
				w.t.Errorf("%s shows level %q and runs with %q", v.Container, v.Observe, runs)
			}
			return v.Observe
		}
	}
	w.t.Fatalf("no endpoint %s", e.ID)
	return ""
}

// TestLevels: a container's label goes before a policy, that before its network's option, that before the daemon's.
func TestLevels(t *testing.T) {
	w := newWorld(t)
	w.Observe = policy.LevelDrops
	w.makeNetwork(1)
	request := networkRequest(2)
	request.Options.Observe = "packets"
	w.engine.do(func() { w.engine.networks[request.ID] = "net2" })
	w.must(w.CreateNetwork(context.Background(), request))

	labelled, plain := w.run(1, 1, "sluice.observe=none"), w.run(1, 2, "app=db")
	option, both := w.run(2, 3), w.run(2, 4, "sluice.observe=flows")
	check := func(when string, want map[*Endpoint]string) {
		t.Helper()
		w.settle()
		for e, level := range want {
			if got := w.observes(e); got != level {
				t.Errorf("%s %s has level %s, want %s", when, e.Container.Name, got, level)
			}
		}
	}
	check("at first", map[*Endpoint]string{labelled: "none", plain: "drops", option: "packets", both: "flows"})

	if _, err := w.Relabel(context.Background(), plain.ID, api.LabelChange{Add: map[string]string{"sluice.observe": "packets"}}); err != nil {
		t.Fatal(err)
	}
	check("with a label", map[*Endpoint]string{plain: "packets"})
	if _, err := w.Relabel(context.Background(), plain.ID, api.LabelChange{Remove: []string{"sluice.observe"}}); err != nil {
		t.Fatal(err)
	}
	w.apply("policies: [{name: watch, for: 'label:app=db', observe: flows}]")
	check("by policy", map[*Endpoint]string{plain: "flows", labelled: "none"})

	_, err := w.Relabel(context.Background(), plain.ID, api.LabelChange{Add: map[string]string{"sluice.observe": "drop"}})
	if api.CodeOf(err) != api.CodeInvalid {
		t.Errorf("a level that there is not: %v", err)
	}

	w.start() // a daemon after this one, with another default
	check("after a restart", map[*Endpoint]string{labelled: "none", plain: "flows", option: "packets", both: "flows"})
}
