package metrics

import (
	"maps"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/metrics/catalog"
)

var (
	lostEvents = catalog.Metric{Name: "hubble_lost_events_total", Kind: catalog.Counter, Labels: []string{"source"},
		Help: "Events that these metrics miss: perf_event_ring_buffer, programs did not write them, for budgets were used up or the ring buffer was full; hubble_ring_buffer, they were overwritten in memory before they were counted"}
	lostOfContainer = catalog.Metric{Name: "sluice_container_events_lost_total", Kind: catalog.Counter,
		Labels: []string{"project", "service", "container", "network"},
		Help:   "Events that a container's programs did not write, for its budgets were used up or the ring buffer was full"}
)

// The sources of lost events.
const (
	lostByPrograms = "perf_event_ring_buffer"
	lostByRing     = "hubble_ring_buffer"
)

// losses counts what was lost. It is a prometheus.Collector.
type losses struct {
	*prometheus.CounterVec // by source

	mu         sync.Mutex
	containers map[string]*containerLoss // by endpoint's id
}

// containerLoss is what was lost of one container.
type containerLoss struct {
	labels [4]string
	events uint64
}

func newLosses() *losses {
	l := &losses{CounterVec: lostEvents.Counters(), containers: map[string]*containerLoss{}}
	for _, source := range []string{lostByPrograms, lostByRing} { // so that rates begin at 0
		l.WithLabelValues(source)
	}
	return l
}

// add counts what a flow says of lost ones.
func (l *losses) add(f *observe.Flow, r *residents) {
	if f.Lost == nil {
		return
	}
	if f.Lost.Where == api.LostSubscriber {
		l.overwritten(f.Lost.Count)
		return
	}
	l.WithLabelValues(lostByPrograms).Add(float64(f.Lost.Count))
	p := f.Endpoint
	if p == nil || p.EndpointID == "" || r.goneParty(p) {
		return
	}
	r.note(p.EndpointID)
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.containers[p.EndpointID]
	if c == nil {
		c = &containerLoss{}
		l.containers[p.EndpointID] = c
	}
	c.labels = [4]string{p.Project, p.Service, p.Container, p.Network} // it may have been renamed
	c.events += f.Lost.Count
}

// overwritten counts flows that were not read in time.
func (l *losses) overwritten(n uint64) { l.WithLabelValues(lostByRing).Add(float64(n)) }

// sweep forgets containers that are gone for a minute.
func (l *losses) sweep(r *residents) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.containers, func(id string, _ *containerLoss) bool { return r.gone(id) })
}

// Describe implements prometheus.Collector.
func (l *losses) Describe(out chan<- *prometheus.Desc) {
	l.CounterVec.Describe(out)
	out <- lostOfContainer.Desc()
}

// Collect implements prometheus.Collector. Endpoints of the same labels are one series: a container that was made anew.
func (l *losses) Collect(out chan<- prometheus.Metric) {
	l.CounterVec.Collect(out)
	l.mu.Lock()
	defer l.mu.Unlock()
	sums := map[[4]string]uint64{}
	for _, c := range l.containers {
		sums[c.labels] += c.events
	}
	for labels, n := range sums {
		out <- lostOfContainer.Value(float64(n), labels[:]...)
	}
}
