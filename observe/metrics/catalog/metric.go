package catalog

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Kind is the type of a metric.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Metric is the definition of one metric.
type Metric struct {
	Name   string
	Kind   Kind
	Labels []string
	Help   string // one sentence, without a full stop
	// Buckets are upper bounds of a histogram's.
	Buckets []float64
}

// Desc returns the metric for a collector that reads its values when it is asked.
func (m Metric) Desc() *prometheus.Desc { return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil) }

// Value returns one value of a counter or gauge, with the values of its labels; one that cannot be is left out of the
// scrape, which says so.
func (m Metric) Value(v float64, labels ...string) prometheus.Metric {
	return m.ValueOf(m.Desc(), v, labels...)
}

// ValueOf is Value for who has the metric's Desc, which takes longer to make than a value.
func (m Metric) ValueOf(desc *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	kind := prometheus.GaugeValue
	if m.Kind == Counter {
		kind = prometheus.CounterValue
	}
	value, err := prometheus.NewConstMetric(desc, kind, v, labels...)
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return value
}

// Counters returns the series of a counter, which has more labels behind its own.
func (m Metric) Counters(more ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, slices.Concat(m.Labels, more))
}

// Histograms returns the series of a histogram.
func (m Metric) Histograms() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: m.Buckets}, m.Labels)
}
