package policy

import (
	"testing"

	"github.com/sluice-net/sluice/identity"
)

// TestCheckLabels: what depends on labels that are not known yet is left to LabelPolicy.
func TestCheckLabels(t *testing.T) {
	for _, c := range []struct {
		key, value   string
		alone, whole bool // whether it is accepted
	}{
		{"sluice.egress", "@internet:443", true, true},
		{"sluice.egress", "db:5432", true, false},    // of which project?
		{"sluice.ingress", "@net:http", true, false}, // which port is that?
		{"sluice.egress", "@intrenet", false, false},
		{"sluice.egres", "@internet", false, false},
		{"sluice.egress", "@lan:http", false, false}, // the local network names no ports
		{"app", "db", true, true},
	} {
		l := identity.Labels{c.key: c.value}
		if err := CheckLabels(l); (err == nil) != c.alone {
			t.Errorf("CheckLabels(%s) = %v, want it accepted: %v", l, err, c.alone)
		}
		if _, err := LabelPolicy(l); (err == nil) != c.whole {
			t.Errorf("LabelPolicy(%s): %v, want it accepted: %v", l, err, c.whole)
		}
	}
}
