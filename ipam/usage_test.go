package ipam

import (
	"fmt"
	"testing"
)

func TestUsage(t *testing.T) {
	f := newFixture(t)
	p := f.pool("10.5.0.0/24", "10.5.0.16/28")
	f.pool("fd05::/64", "")
	f.lease(p.ID, "")
	f.lease(p.ID, "10.5.0.200") // outside of the range: none that could have been chosen
	f.restart()
	if got := fmt.Sprint(f.Usage()); got != "[{10.5.0.0/24 16 1} {fd05::/64 1.8446744073709552e+19 0}]" {
		t.Error(got)
	}
}
