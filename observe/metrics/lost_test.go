package metrics

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/observe"
)

func lost(where string, n uint64, whose *observe.Party) *observe.Flow {
	return &observe.Flow{Source: &observe.Party{}, Destination: &observe.Party{}, Endpoint: whose, Lost: &api.Lost{Where: where, Count: n}}
}

// TestLost: what was lost is counted by where, whatever metrics are wanted, and by whose it was.
func TestLost(t *testing.T) {
	again := *web
	again.EndpointID = "e-web-2"
	c := count(t, "flow", lost(api.LostKernel, 7, web), lost(api.LostKernel, 2, nil), lost(api.LostKernel, 1, db), lost(api.LostKernel, 4, &again),
		lost(api.LostSubscriber, 3, nil), &observe.Flow{})
	want := []string{"source=hubble_ring_buffer 3", "source=perf_event_ring_buffer 14"}
	if diff := cmp.Diff(want, exposed(t, c, "hubble_lost_events_total")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want = []string{"container=db,network=front,project=,service= 1", "container=shop-web-1,network=front,project=shop,service=web 11"}
	if diff := cmp.Diff(want, exposed(t, c, "sluice_container_events_lost_total")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := exposed(t, c, "hubble_flows_processed_total"); len(got) > 0 {
		t.Errorf("lost flows are counted as flows: %v", got)
	}
}

// TestLostOfGoneContainers: what a container lost is forgotten a minute after it.
func TestLostOfGoneContainers(t *testing.T) {
	c := NewFlows(nil, func() map[string]bool { return map[string]bool{"e-web": true} })
	c.Count(lost(api.LostKernel, 7, web))
	c.Count(lost(api.LostKernel, 7, db))
	start := time.Unix(1000, 0)
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 2}, {59 * time.Second, 2}, {60 * time.Second, 1}, {time.Hour, 1}} {
		c.sweep(start.Add(step.after))
		if got := exposed(t, c, "sluice_container_events_lost_total"); len(got) != step.want {
			t.Errorf("after %s: %v", step.after, got)
		}
	}
}
