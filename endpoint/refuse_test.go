package endpoint

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/service"
)

// TestCheckPublished: who names the container's port in a label, where the host's is meant, would leave that one open.
func TestCheckPublished(t *testing.T) {
	http := service.Mapping{Port: 80, HostPort: 8080}
	tests := map[string]struct {
		label string
		ports []service.Mapping
		want  string // in the error; empty: accepted
	}{
		"the host's":                 {"sluice.publish.8080", []service.Mapping{http}, ""},
		"the container's":            {"sluice.publish.80", []service.Mapping{http}, "write sluice.publish.8080"},
		"both are the same":          {"sluice.publish.80", []service.Mapping{{Port: 80, HostPort: 80}}, ""},
		"another one's host port":    {"sluice.publish.80", []service.Mapping{http, {Port: 81, HostPort: 80}}, ""},
		"within a range":             {"sluice.publish.8085", []service.Mapping{{Port: 8085, HostPort: 8080, HostPortEnd: 8090}}, ""},
		"beside a range":             {"sluice.publish.80", []service.Mapping{{Port: 80, HostPort: 8080, HostPortEnd: 8090}}, "write sluice.publish.8080"},
		"an ephemeral one":           {"sluice.publish.80", []service.Mapping{{Port: 80}}, ""},
		"nothing is published":       {"sluice.publish.80", nil, ""},
		"of neither":                 {"sluice.publish.443", []service.Mapping{http}, ""},
		"all ports":                  {"sluice.publish", []service.Mapping{http}, ""},
		"with a protocol":            {"sluice.publish.80/tcp", []service.Mapping{http}, "write sluice.publish.8080"},
		"no label about publication": {"sluice.ingress", []service.Mapping{http}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := checkPublished(identity.Labels{tt.label: "@lan"}, tt.ports)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (!errors.Is(err, errLabels) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
