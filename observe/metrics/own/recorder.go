package own

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Outcomes.
const (
	success = "success"
	failure = "failure"
)

// Recorder counts what the daemon does. It implements the Recorder of endpoint, of driver and of api/server; all
// methods may be called concurrently.
type Recorder struct {
	regenerations, passes, streams *prometheus.CounterVec
	regeneration, pass             prometheus.Observer
	plugin, api                    *prometheus.HistogramVec
}

// NewRecorder returns a recorder whose metrics are in the registry.
func NewRecorder(r prometheus.Registerer) *Recorder {
	regeneration, pass := regenerationTime.Histograms(), passTime.Histograms()
	rec := &Recorder{
		regenerations: regenerations.Counters(), passes: passes.Counters(), streams: apiStreams.Counters(),
		regeneration: regeneration.WithLabelValues(), pass: pass.WithLabelValues(),
		plugin: pluginTime.Histograms(), api: apiTime.Histograms(),
	}
	for _, outcome := range []string{success, failure} { // so that rates begin at 0
		rec.regenerations.WithLabelValues(outcome)
		rec.passes.WithLabelValues(outcome)
	}
	r.MustRegister(rec.regenerations, rec.passes, rec.streams, regeneration, pass, rec.plugin, rec.api)
	return rec
}

// Replaced counts a replacement of programs.
func (r *Recorder) Replaced(took time.Duration, err error) {
	r.regenerations.WithLabelValues(outcome(err)).Inc()
	r.regeneration.Observe(took.Seconds())
}

// Passed counts a pass over all endpoints.
func (r *Recorder) Passed(took time.Duration, err error) {
	r.passes.WithLabelValues(outcome(err)).Inc()
	r.pass.Observe(took.Seconds())
}

func outcome(err error) string {
	if err != nil {
		return failure
	}
	return success
}

// Answered counts a call of Docker's.
func (r *Recorder) Answered(method string, status int, took time.Duration) {
	r.plugin.WithLabelValues(method, strconv.Itoa(status)).Observe(took.Seconds())
}

// Served counts a request to the API.
func (r *Recorder) Served(route string, stream bool, status int, took time.Duration) {
	if stream {
		r.streams.WithLabelValues(route, strconv.Itoa(status)).Inc()
		return
	}
	r.api.WithLabelValues(route, strconv.Itoa(status)).Observe(took.Seconds())
}
