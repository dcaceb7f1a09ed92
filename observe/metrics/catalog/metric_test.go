package catalog

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func TestValue(t *testing.T) {
	for name, c := range map[string]struct {
		metric Metric
		labels []string
		want   string // of the message, or of the error behind "! "
	}{
		"counter":       {Metric{Name: "a_total", Kind: Counter, Labels: []string{"l"}}, []string{"v"}, `label:{name:"l" value:"v"} counter:{value:7}`},
		"gauge":         {Metric{Name: "a", Kind: Gauge}, nil, `gauge:{value:7}`},
		"label missing": {Metric{Name: "a", Kind: Gauge, Labels: []string{"l"}}, nil, "! "},
		"no text":       {Metric{Name: "a", Kind: Gauge, Labels: []string{"l"}}, []string{"\xff"}, "! "},
	} {
		t.Run(name, func(t *testing.T) {
			var got dto.Metric
			err := c.metric.Value(7, c.labels...).Write(&got)
			if strings.HasPrefix(c.want, "! ") {
				if err == nil {
					t.Errorf("no error: %v", &got)
				}
			} else if text := strings.ReplaceAll(got.String(), "  ", " "); err != nil || text != c.want {
				t.Errorf("got %s, %v", text, err)
			}
		})
	}
}

// TestVectors: series have the metric's labels, then more.
func TestVectors(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	counters := Metric{Name: "a_total", Help: "A.", Kind: Counter, Labels: []string{"x"}}.Counters("y")
	histograms := Metric{Name: "b_seconds", Help: "B.", Kind: Histogram, Buckets: []float64{1, 2}}.Histograms()
	r.MustRegister(counters, histograms)
	counters.WithLabelValues("1", "2").Inc()
	histograms.WithLabelValues().Observe(1.5)
	families, err := r.Gather()
	if err != nil || len(families) != 2 || families[0].GetMetric()[0].GetLabel()[1].GetName() != "y" ||
		len(families[1].GetMetric()[0].GetHistogram().GetBucket()) != 2 {
		t.Errorf("%v, %v", families, err)
	}
}
