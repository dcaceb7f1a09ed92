package observe

import (
	"testing"

	"github.com/sluice-net/sluice/api"
)

func TestHistory(t *testing.T) {
	every := func(*api.Event) bool { return true }
	odd := func(e *api.Event) bool { return e.Length%2 == 1 }
	for _, c := range []struct {
		name          string
		added, n      int
		match         func(*api.Event) bool
		first, length int
	}{
		{"empty", 0, 5, every, 0, 0},
		{"all", 10, -1, every, 1, 10},
		{"some", 10, 3, every, 8, 3},
		{"none", 10, 0, every, 0, 0},
		{"more than there are", 10, 100, every, 1, 10},
		{"matching", 10, 2, odd, 7, 2},
		{"full", historySize, -1, every, 1, historySize},
		{"around", historySize + 7, -1, every, 8, historySize},
		{"twice around", 2*historySize + 1, 2, every, 2 * historySize, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var h history
			for i := range c.added {
				h.add(api.Event{Length: uint32(i + 1)})
			}
			got := h.last(c.n, c.match)
			if len(got) != c.length {
				t.Fatalf("%d events, want %d", len(got), c.length)
			}
			for i, e := range got {
				if i > 0 && e.Length <= got[i-1].Length {
					t.Fatalf("event %d comes before %d", got[i-1].Length, e.Length)
				}
			}
			if c.length > 0 && int(got[0].Length) != c.first {
				t.Errorf("begins with event %d, want %d", got[0].Length, c.first)
			}
		})
	}
}
