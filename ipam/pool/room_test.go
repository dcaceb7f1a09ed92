package pool

import "testing"

// TestRoom: as many addresses as Room promises are given, and no more.
func TestRoom(t *testing.T) {
	for _, c := range []struct {
		subnet, choice string
		capacity       float64
	}{
		{"10.0.0.0/29", "", 6}, {"10.0.0.0/24", "10.0.0.0/25", 127}, {"10.0.0.0/24", "10.0.0.128/25", 127},
		{"10.0.0.0/24", "10.0.0.64/28", 16}, {"10.0.0.0/30", "", 2}, {"fd00::/122", "", 63}, {"fd00::/64", "fd00::10/124", 16},
		{"fd00::/64", "", 18446744073709551615},
	} {
		p := must(t, c.subnet, c.choice)
		if capacity, used := p.Room(); capacity != c.capacity || used != 0 {
			t.Errorf("%s %s: %v of %v", c.subnet, c.choice, used, capacity)
		}
		given := 0
		for ; given < 300; given++ {
			if _, err := p.Next(); err != nil {
				break
			}
		}
		if _, used := p.Room(); used != given || c.capacity < 300 && float64(given) != c.capacity {
			t.Errorf("%s %s: %d given, Room says %d of %v", c.subnet, c.choice, given, used, c.capacity)
		}
	}
	p := must(t, "10.0.0.0/24", "10.0.0.128/25")
	if err := p.Take(addr("10.0.0.9")); err != nil {
		t.Fatal(err)
	}
	if _, used := p.Room(); used != 0 {
		t.Errorf("an address outside of the range counts: %d", used)
	}
}
