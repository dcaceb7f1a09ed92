package own

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/sluice-net/sluice/api"
)

// BenchmarkScrape is what a scrape costs on a host of 4,096 containers, without reading the kernel's counters.
func BenchmarkScrape(b *testing.B) {
	s := full()
	var all []api.Endpoint
	for i := range 4096 {
		all = append(all, api.Endpoint{
			ID: fmt.Sprint("e", i), Container: fmt.Sprint("shop-web-", i), Project: "shop", Service: "web", Network: "shop_default",
			Egress: api.Direction{Packets: uint64(i), Bytes: uint64(1000 * i)},
		})
	}
	s.Endpoints = func(context.Context) ([]api.Endpoint, error) { return all, nil }
	log, _ := logtest.NewNullLogger()
	r := prometheus.NewRegistry()
	r.MustRegister(NewCollector(s, log))
	h := promhttp.HandlerFor(r, promhttp.HandlerOpts{})
	for b.Loop() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		b.ReportMetric(float64(w.Body.Len()), "bytes")
	}
}
