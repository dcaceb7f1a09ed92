package datapath

import (
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/policy"
)

// TestPrivilegedEventSettings: what a daemon's flags say of events holds for the programs that it adopts, too, and limits are
// those of quiet times again.
func TestPrivilegedEventSettings(t *testing.T) {
	testutil.Privileged(t)
	dir := pinDir(t)
	check := func(l *Loader, interval uint32) {
		t.Helper()
		var s abi.Settings
		if err := l.Map("settings").Lookup(uint32(0), &s); err != nil || s.FlowInterval != interval {
			t.Errorf("settings %+v, %v; want an interval of %d", s, err, interval)
		}
		for class, cost := range map[uint32]uint64{abi.EventsDenials: 1e6, abi.EventsFlows: 1e5, abi.EventsPackets: 1e5, abi.EventsLearn: 1e5, abi.EventsCaptures: 0} {
			var limit abi.EventLimit
			if err := l.Map("event_limits").Lookup(class, &limit); err != nil || limit.Cost != cost || (limit.Burst == 0) != (cost == 0) {
				t.Errorf("class %d: limit %+v, %v; want a cost of %d ns", class, limit, err, cost)
			}
		}
	}
	l := openLoader(t, dir)
	check(l, 5) // of 2^30 ns
	if err := l.Map("event_limits").Put(uint32(abi.EventsFlows), abi.EventLimit{Cost: 1e9}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	opts := loaderOptions(t, dir)
	opts.FlowInterval = time.Minute
	l, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	check(l, 56)
}

// TestPrivilegedEveryLevel: programs load at every level, also such that capture.
func TestPrivilegedEveryLevel(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	for _, level := range []policy.Level{policy.LevelUnset, policy.LevelNone, policy.LevelDrops, policy.LevelFlows, policy.LevelPackets} {
		for _, capture := range []uint32{0, 96, 1600, 1 << 20} {
			for _, closed := range []bool{false, true} {
				p := sample(1)
				p.Level, p.Capture, p.Closed = level, capture, closed
				p.Egress, p.Ingress = tableOf(3), tableOf(5000)
				mustReplace(t, l, p)
			}
		}
	}
}

// Package policy does not know the kernel, so its levels are compared here.
func TestLevelNumbers(t *testing.T) {
	for level, want := range map[policy.Level]byte{policy.LevelUnset: abi.LevelFlows, policy.LevelNone: abi.LevelNone,
		policy.LevelDrops: abi.LevelDrops, policy.LevelFlows: abi.LevelFlows, policy.LevelPackets: abi.LevelPackets} {
		if got := (Program{Level: level}).level(); got != want {
			t.Errorf("%s is %d, in the programs %d", level, got, want)
		}
	}
}
