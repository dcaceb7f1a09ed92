package observe

import (
	"testing"
	"testing/quick"
	"time"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/testutil"
)

func TestFairShare(t *testing.T) {
	const all = ^uint64(0)
	for _, c := range []struct {
		about  string
		wanted []uint64
		there  uint64
		want   uint64
	}{
		{"nobody", nil, 100, all},
		{"enough for all", []uint64{30, 30, 40}, 100, all},
		{"one wants all", []uint64{1000}, 100, 100},
		{"equal", []uint64{1000, 1000, 1000, 1000}, 100, 25},
		{"the modest get theirs", []uint64{1000, 10, 1000, 10}, 100, 40},
		{"just what there is", []uint64{50, 50}, 100, all},
		{"more who want than there is", []uint64{2, 2, 2, 2}, 3, 1},
	} {
		if got := fairShare(c.wanted, c.there); got != c.want {
			t.Errorf("%s: %d, want %d", c.about, got, c.want)
		}
	}
}

// TestFairShareProperty: together they get no more than there is, and not less than what they want if there is as much.
func TestFairShareProperty(t *testing.T) {
	property := func(wants []uint16, plenty uint16) bool {
		there := uint64(plenty) + uint64(len(wants)) // at least one for each
		var wanted []uint64
		var want, got uint64
		for _, w := range wants {
			wanted = append(wanted, uint64(w))
			want += uint64(w)
		}
		share := fairShare(wanted, there)
		for _, w := range wanted {
			got += min(w, share)
		}
		return got <= there && (want > there || got == want)
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}

func TestSlotOfBudget(t *testing.T) {
	for _, slot := range []uint32{0, 7, 4095} {
		if s, c := slotOf(budgetKey(slot, abi.EventsLearn)); s != slot || c != abi.EventsLearn {
			t.Errorf("slot %d becomes %d, class %d", slot, s, c)
		}
	}
	if s, c := slotOf(abi.EventsFlows); s != NoSlot || c != abi.EventsFlows {
		t.Errorf("the first entries are those of slot %d, class %d", s, c)
	}
}

// TestPrivilegedBalance: while many containers write more than is read, each may write its share, and what it could before
// once they are done.
func TestPrivilegedBalance(t *testing.T) {
	testutil.Privileged(t)
	_, maps := pinned(t)
	b, err := newBudgets(maps["event_budget"], maps["event_limits"])
	if err != nil {
		t.Fatal(err)
	}
	const burst = 77
	for class := range uint32(abi.EventsClasses) {
		if err := maps["event_limits"].Put(class, abi.EventLimit{Burst: burst}); err != nil {
			t.Fatal(err)
		}
	}
	second := func(write func(key uint32, e *abi.EventBudget)) {
		t.Helper()
		for slot := range uint32(20) {
			for class := range uint32(abi.EventsClasses) {
				key := budgetKey(slot, class)
				var e abi.EventBudget
				if err := maps["event_budget"].Lookup(key, &e); err != nil {
					t.Fatal(err)
				}
				write(key, &e)
				if err := maps["event_budget"].Put(key, e); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := b.balance(); err != nil {
			t.Fatal(err)
		}
	}
	rates := func() (all [abi.EventsClasses]uint64) {
		for class := range uint32(abi.EventsClasses) {
			var l abi.EventLimit
			if err := maps["event_limits"].Lookup(class, &l); err != nil {
				t.Fatal(err)
			}
			if l.Burst != burst {
				t.Errorf("class %d: the burst became %d", class, l.Burst)
			}
			if l.Cost != 0 {
				all[class] = uint64(time.Second) / l.Cost
			}
		}
		return all
	}
	quiet := func(uint32, *abi.EventBudget) {}
	flood := func(key uint32, e *abi.EventBudget) {
		slot, class := slotOf(key)
		switch class {
		case abi.EventsFlows:
			e.Written, e.Lost = e.Written+2000, e.Lost+500000
			if slot < 10 { // they want 500 each, and the others share what is left
				e.Written, e.Lost = e.Written-1500, e.Lost-500000
			}
		case abi.EventsCaptures:
			e.Written += 100000
		}
	}
	want := classRates
	second(quiet)
	if got := rates(); got != want {
		t.Errorf("at first: %v, want %v", got, want)
	}
	second(flood)
	want[abi.EventsFlows], want[abi.EventsPackets], want[abi.EventsLearn] = 4500, 4500, 4500
	if got := rates(); got != want {
		t.Errorf("while ten flood: %v, want %v", got, want)
	}
	second(quiet)
	if got := rates(); got != classRates {
		t.Errorf("afterwards: %v, want %v", got, classRates)
	}
}

// TestPrivilegedLosses: what was lost is told by container and class; captures are no events.
func TestPrivilegedLosses(t *testing.T) {
	testutil.Privileged(t)
	_, maps := pinned(t)
	b, err := newBudgets(maps["event_budget"], maps["event_limits"])
	if err != nil {
		t.Fatal(err)
	}
	put := func(m *ebpf.Map, key uint32, lost uint64) {
		if err := m.Put(key, abi.EventBudget{Written: 9, Lost: lost}); err != nil {
			t.Fatal(err)
		}
	}
	put(maps["event_budget"], abi.EventsDenials, 1)
	put(maps["event_budget"], budgetKey(4, abi.EventsDenials), 2)
	put(maps["event_budget"], budgetKey(4, abi.EventsFlows), 3)
	put(maps["event_budget"], budgetKey(4, abi.EventsPackets), 4)
	put(maps["event_budget"], budgetKey(4, abi.EventsLearn), 5)
	put(maps["event_budget"], budgetKey(4, abi.EventsCaptures), 6)
	put(maps["event_budget"], budgetKey(5, abi.EventsCaptures), 7)
	put(maps["event_budget"], budgetKey(6, abi.EventsFlows), 0)
	got, err := b.losses()
	if err != nil {
		t.Fatal(err)
	}
	want := Losses{NoSlot: {Events: 1, Denials: 1}, 4: {Events: 14, Denials: 2, Flows: 3, Packets: 4, Learn: 5}}
	if len(got) != len(want) || got[NoSlot] != want[NoSlot] || got[4] != want[4] {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
