package datapath

import (
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/policy"
)

func TestBurstOf(t *testing.T) {
	for about, c := range map[string]struct {
		rate policy.Rate
		want time.Duration
	}{
		"default":                 {policy.Rate{BitsPerSecond: 100e6}, 250 * time.Millisecond},
		"default of a slow one":   {policy.Rate{BitsPerSecond: 1e6}, 524288 * time.Microsecond}, // 64 KiB
		"a megabyte":              {policy.Rate{BitsPerSecond: 100e6, BurstBytes: 1e6}, 80 * time.Millisecond},
		"less than a packet":      {policy.Rate{BitsPerSecond: 8e9, BurstBytes: 1}, time.Nanosecond},
		"more than anybody means": {policy.Rate{BitsPerSecond: 1, BurstBytes: 1 << 63}, time.Minute},
		"no rate":                 {policy.Rate{BurstBytes: 1}, time.Minute},
	} {
		if got := burstOf(c.rate); got != c.want {
			t.Errorf("%s: %v, want %v", about, got, c.want)
		}
	}
}

// rateOf is what the map has for a direction of a slot.
func rateOf(t *testing.T, l *Loader, slot, direction uint32) (r abi.Rate) {
	t.Helper()
	if err := l.Map(ratesMap).Lookup(slot*2+direction, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestPrivilegedLimits: the map has the limits of the programs in the slot. A changed limit goes on where the former one
// was; a restarted daemon changes nothing; what is not limited any more, or gone, has no entry.
func TestPrivilegedLimits(t *testing.T) {
	testutil.Privileged(t)
	dir := pinDir(t)
	l := openLoader(t, dir)
	p := sample(5)
	p.EgressRate = policy.Rate{BitsPerSecond: 20e6}
	p.IngressRate = policy.Rate{BitsPerSecond: 100e6, BurstBytes: 1e6}
	check := func(about string, l *Loader, egress, ingress abi.Rate) {
		t.Helper()
		if got := rateOf(t, l, 5, abi.DirectionEgress); got != egress {
			t.Errorf("%s: egress %+v, want %+v", about, got, egress)
		}
		if got := rateOf(t, l, 5, abi.DirectionIngress); got != ingress {
			t.Errorf("%s: ingress %+v, want %+v", about, got, ingress)
		}
	}
	mustReplace(t, l, p)
	egress := abi.Rate{BitsPerSecond: 20e6, Burst: uint64(250 * time.Millisecond)}
	ingress := abi.Rate{BitsPerSecond: 100e6, Burst: uint64(80 * time.Millisecond)}
	check("limited", l, egress, ingress)

	egress.Used, egress.Told = 12345, 678 // as the programs do
	if err := l.Map(ratesMap).Put(uint32(5*2+abi.DirectionEgress), &egress); err != nil {
		t.Fatal(err)
	}
	p.EgressRate.BitsPerSecond, egress.BitsPerSecond = 30e6, 30e6
	mustReplace(t, l, p)
	check("changed", l, egress, ingress)

	again := openLoader(t, dir)
	check("restarted", again, egress, ingress)
	wantLoaded(t, again, map[uint32]string{5: p.Fingerprint()})

	p.EgressRate = policy.Rate{}
	mustReplace(t, again, p)
	egress.BitsPerSecond, egress.Burst = 0, 0
	check("one limit less", again, egress, ingress)
	if err := again.Clear(5); err != nil {
		t.Fatal(err)
	}
	check("cleared", again, egress, abi.Rate{})
}

// A load that the kernel refuses, like any other error before the slots are written, changes no limit.
func TestPrivilegedLimitOfRefusedProgram(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	p := sample(5)
	p.EgressRate = policy.Rate{BitsPerSecond: 20e6}
	mustReplace(t, l, p)
	delete(l.container.programs, "ingress")
	p.EgressRate.BitsPerSecond = 30e6
	if err := l.Replace(t.Context(), p); err == nil {
		t.Fatal("no error")
	}
	if r := rateOf(t, l, 5, abi.DirectionEgress); r.BitsPerSecond != 20e6 {
		t.Errorf("the limit is %d bit/s", r.BitsPerSecond)
	}
}
