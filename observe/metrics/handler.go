package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/observe/metrics/catalog"
)

// Metrics of the handler itself.
var (
	requests = catalog.Metric{Name: "hubble_metrics_http_handler_requests_total", Kind: catalog.Counter, Labels: []string{"code"},
		Help: "Requests for metrics by HTTP status"}
	requestTime = catalog.Metric{Name: "hubble_metrics_http_handler_request_duration_seconds", Kind: catalog.Histogram,
		Labels: []string{"code"}, Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		Help: "Time that requests for metrics take by HTTP status"}
	handled = []catalog.Metric{requests, requestTime}
)

// maxScrapes is how many requests are served at a time; more are refused.
const maxScrapes = 4

// Handler serves what is in a registry, and counts its requests there. What cannot be read is left out, and logged.
func Handler(r *prometheus.Registry, log logrus.FieldLogger) http.Handler {
	count, took := requests.Counters(), requestTime.Histograms()
	r.MustRegister(count, took)
	serve := promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, ErrorLog: printer{log}, MaxRequestsInFlight: maxScrapes, EnableOpenMetrics: true,
	})
	return promhttp.InstrumentHandlerCounter(count, promhttp.InstrumentHandlerDuration(took, serve))
}

// printer is a log as promhttp wants it.
type printer struct{ logrus.FieldLogger }

// Println logs a problem of a scrape.
func (p printer) Println(v ...any) { p.Warnln(v...) }
