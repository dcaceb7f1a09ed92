package main

import (
	"testing"

	"github.com/sluice-net/sluice/internal/testutil"
)

// The table whose verdicts are measured is valid, and has what its name promises.
func TestMixedTable(t *testing.T) {
	for _, entries := range verdictEntries {
		table := mixed(entries)
		if err := table.Validate(); err != nil {
			t.Errorf("%d entries: %v", entries, err)
		}
		if n := len(table.Identities) + len(table.CIDRs); n != entries {
			t.Errorf("%d entries, want %d", n, entries)
		}
		rules := map[uint16]bool{}
		for _, p := range table.Identities {
			for _, e := range p.Profile {
				rules[e.Rule] = true
			}
		}
		if entries > 4 && (len(table.CIDRs) == 0 || !rules[1] || !rules[2] || !rules[3]) {
			t.Errorf("%d entries: %d ranges of addresses, rules %v", entries, len(table.CIDRs), rules)
		}
	}
}

// Both forms are measured where both load.
func TestPrivilegedVerdictCosts(t *testing.T) {
	testutil.Privileged(t)
	for _, c := range []struct {
		entries, limit int
		measured       bool
	}{{1, limitTree, true}, {1, limitSearch, true}, {256, limitTree, true}, {256, limitSearch, true}, {16384, limitTree, false}} {
		costs, err := verdictCosts(mixed(c.entries), c.entries, c.limit, 1)
		if err != nil || (len(costs) == verdictRounds) != c.measured {
			t.Errorf("%d entries, limit %d: %d measurements, %v", c.entries, c.limit, len(costs), err)
		}
	}
}

func TestVerdictRows(t *testing.T) {
	both := verdictRow(16, []float64{20, 20, 20}, []float64{10, 10, 10})
	if both.Against != "tree" || both.Value != 20 || both.Other != 10 || both.Judged != 2 || both.Gated {
		t.Errorf("both forms: %+v", both)
	}
	alone := verdictRow(16384, []float64{60}, nil)
	if alone.compared() || alone.Judged != 60 || alone.Gated || alone.Note == "" {
		t.Errorf("search alone: %+v", alone)
	}
	if r := flatRow([]float64{60}, []float64{20}); !r.missed() {
		t.Errorf("three times as much passes: %+v", r)
	}
	if got := less([]float64{30, 5}, 10); got[0] != 20 || got[1] != 0 {
		t.Errorf("less the frame: %v", got)
	}
}
