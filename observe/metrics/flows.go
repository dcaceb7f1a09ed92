package metrics

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/hubble/convert"
	"github.com/sluice-net/sluice/observe/metrics/catalog"
)

// sweepPeriod is how often series are looked for that must go.
const sweepPeriod = 10 * time.Second

// Metrics of flows that are always there.
var (
	seriesHeld = catalog.Metric{Name: "sluice_flow_metrics_series", Kind: catalog.Gauge, Labels: []string{"metric"},
		Help: "Series of a metric of flows, of which there are at most 10000, and then few more for all that is other"}
	foldedSeries = catalog.Metric{Name: "sluice_flow_metrics_folded_total", Kind: catalog.Counter, Labels: []string{"metric"},
		Help: "Sets of labels for which a metric of flows had no room, so that their flows are counted as other, found out again now and then"}
)

// Flows counts flows. It is a prometheus.Collector.
type Flows struct {
	converter *convert.Converter
	lost      *losses
	folded    *prometheus.CounterVec

	mu        sync.Mutex
	counters  []*counter
	residents *residents
}

// NewFlows returns what counts the wanted metrics. living returns the endpoints that exist now, by Docker's id; nil if
// that cannot be told.
func NewFlows(c Config, living func() map[string]bool) *Flows {
	f := &Flows{residents: newResidents(living), converter: convert.New(convert.Options{}), lost: newLosses(), folded: foldedSeries.Counters()}
	for _, w := range c {
		f.counters = append(f.counters, newCounter(w, f.folded, f.residents))
	}
	return f
}

// Definitions returns all metrics of flows that a user can ask for, without the labels of options.
func Definitions() []catalog.Metric {
	var all []catalog.Metric
	for _, k := range kinds {
		all = append(all, k.metric)
	}
	return slices.Concat(all, []catalog.Metric{lostEvents, lostOfContainer, seriesHeld, foldedSeries}, handled)
}

// Settings returns how --metrics calls the metrics that a user can ask for, by their names.
func Settings() map[string]string {
	all := map[string]string{}
	for _, k := range kinds {
		all[k.metric.Name] = k.name
	}
	return all
}

// Describe implements prometheus.Collector.
func (f *Flows) Describe(out chan<- *prometheus.Desc) {
	for _, c := range f.collectors() {
		c.Describe(out)
	}
	out <- seriesHeld.Desc()
}

// Collect implements prometheus.Collector.
func (f *Flows) Collect(out chan<- prometheus.Metric) {
	for _, c := range f.collectors() {
		c.Collect(out)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.counters {
		out <- seriesHeld.Value(float64(len(c.series)), c.metric.Name)
	}
}

func (f *Flows) collectors() []prometheus.Collector {
	all := []prometheus.Collector{f.lost, f.folded}
	for _, c := range f.counters {
		all = append(all, c.vec)
	}
	return all
}

// Run counts what comes into the ring until the context ends.
func (f *Flows) Run(ctx context.Context, ring *observe.Flows) {
	sweeping := make(chan struct{})
	go func() {
		defer close(sweeping)
		f.sweepAlways(ctx)
	}()
	_, next := ring.Bounds()
	reader := ring.Reader(next)
	for {
		flow, lost, err := reader.Next(ctx)
		if lost > 0 {
			f.lost.overwritten(lost)
		}
		if err != nil {
			break // the context ended
		}
		f.Count(flow)
	}
	<-sweeping
}

func (f *Flows) sweepAlways(ctx context.Context) {
	tick := time.NewTicker(sweepPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			f.sweep(now)
		}
	}
}

func (f *Flows) sweep(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.residents.refresh(now)
	f.lost.sweep(f.residents)
	for _, c := range f.counters {
		c.sweep(now)
	}
}

// Count counts one flow, or those that were lost.
func (f *Flows) Count(flow *observe.Flow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if flow.IsLost() {
		f.lost.add(flow, f.residents)
		return
	}
	for _, c := range f.counters {
		c.count(flow, f.converter)
	}
}
