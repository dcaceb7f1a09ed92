package packettest

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/abi"
)

// ordinary are the limits of containers while few of them write much.
func (k *kernel) ordinary() {
	k.t.Helper()
	for class, rate := range map[uint32]uint32{abi.EventsDenials: abi.EventRateDenials, abi.EventsFlows: abi.EventRateFlows,
		abi.EventsPackets: abi.EventRatePackets, abi.EventsLearn: abi.EventRateLearn} {
		burst := 250 * time.Millisecond
		if class == abi.EventsDenials {
			burst = time.Second
		}
		if err := k.maps["event_limits"].Put(class, abi.EventLimit{Cost: 1e9 / uint64(rate), Burst: uint64(burst)}); err != nil {
			k.t.Fatal(err)
		}
	}
}

// A flood of drops is counted whole, and told within the budget; what is not told is counted.
func TestPrivilegedEventBudget(t *testing.T) {
	const flood = 20000
	k := newKernel(t)
	k.ordinary()
	a := k.load(alice, options{features: open, closed: true})
	r := k.reader()
	start := time.Now()
	k.flood(a.egress, between(alice, bob, 4).udp(1, 2), flood)
	seconds := int(time.Since(start).Seconds()) + 1
	if n := k.counted(abi.DirectionEgress, abi.DropClosed); n != flood {
		t.Errorf("counted %d", n)
	}
	told, b := len(r.drain()), k.eventBudget(alice.slot, abi.EventsDenials)
	if told > (seconds+1)*abi.EventRateDenials+1 {
		t.Errorf("told %d in %d s", told, seconds)
	}
	if told != int(b.Written) || told+int(b.Lost) != flood {
		t.Errorf("of %d events %d were told, and the budget is %+v", flood, told, b)
	}
}

// One container floods drops, flows and packets; another's every event arrives, those of each class, and its own flood of one
// class costs it nothing of the others.
func TestPrivilegedBudgetsApart(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		k := newKernel(t)
		k.ordinary()
		flooder := k.load(alice, options{features: open.with("POLICY_EGRESS"), level: "packets",
			policies: map[string]stub{"policy_egress": onlyPort(udp, 80, 1)}})
		quiet := k.load(bob, options{features: open.with("POLICY_EGRESS"), policies: map[string]stub{"policy_egress": onlyPort(udp, 80, 1)}})
		k.load(carol, options{features: open, level: "none"})
		r := k.reader()
		got := map[string]int{}
		drain := func() {
			for _, e := range r.drain() {
				got[fmt.Sprintf("%d %d %t", e.Slot, e.Type, e.Cause&abi.CauseNew != 0)]++
			}
		}
		out := between(alice, alice, family)
		out.dst = alice.gateway(family)
		k.flood(flooder.egress, out.udp(1, 81), 30000) // denied
		k.flood(flooder.egress, out.udp(1, 80), 30000) // packets of a flow
		own := between(bob, bob, family)
		own.dst = bob.gateway(family)
		const events = 200
		for i := range uint16(events) {
			k.run(quiet.egress, own.udp(1000+i, 80), fromStack)
			k.run(quiet.egress, own.udp(1000+i, 81), fromStack)
			if i%20 == 0 {
				drain()
				k.flood(flooder.egress, out.udp(1, 81), 1000)
				k.run(flooder.egress, out.udp(2000+i, 80), fromStack) // a flow of its own
			}
		}
		drain()
		flows, drops := got[fmt.Sprintf("%d %d true", bob.slot, abi.EventTrace)], got[fmt.Sprintf("%d %d false", bob.slot, abi.EventDrop)]
		if flows != events || drops != events {
			t.Errorf("of %d flows and drops each of the quiet container, %d and %d arrived", events, flows, drops)
		}
		if n := got[fmt.Sprintf("%d %d true", alice.slot, abi.EventTrace)]; n != 1+events/20 {
			t.Errorf("of %d flows of the container that floods, %d arrived", 1+events/20, n)
		}
		for _, class := range []uint32{abi.EventsDenials, abi.EventsPackets} {
			if b := k.eventBudget(alice.slot, class); b.Lost == 0 {
				t.Errorf("class %d: the flood lost nothing: %+v", class, b)
			}
		}
		for _, class := range []uint32{abi.EventsDenials, abi.EventsFlows} {
			if b := k.eventBudget(bob.slot, class); b.Lost != 0 || b.Written != events {
				t.Errorf("class %d: the budget of the quiet container: %+v", class, b)
			}
		}
	})
}

// While the ring is more than half full, who wrote much of late waits, and others find room in it.
func TestPrivilegedBudgetOfCrowdedRing(t *testing.T) {
	k := newKernel(t)                                                    // whose ring holds about 5,700 events
	for _, class := range []uint32{abi.EventsFlows, abi.EventsPackets} { // each 2,500 at once, and then next to nothing
		if err := k.maps["event_limits"].Put(class, abi.EventLimit{Cost: 1e9, Burst: 2500e9}); err != nil {
			t.Fatal(err)
		}
	}
	a, c := k.load(alice, options{features: open, level: "packets"}), k.load(carol, options{features: open})
	r := k.reader()
	out := alice.to(alice.gw4.String())
	k.flood(a.egress, out.udp(1, 2), 20000)
	for port := range uint16(3500) {
		k.run(a.egress, out.udp(port+2, 2), fromStack)
	}
	if b := k.eventBudget(alice.slot, abi.EventsFlows); b.Written > 1500 || b.Lost == 0 { // half of the ring, and a sixteenth of 2,500
		t.Errorf("the flood: %+v", b)
	}
	const flows = 100
	for i := range uint16(flows) {
		k.run(c.egress, carol.to(carol.gw4.String()).udp(1000+i, 80), fromStack)
	}
	got := 0
	for _, e := range r.drain() {
		if e.Slot == carol.slot {
			got++
		}
	}
	if b := k.eventBudget(carol.slot, abi.EventsFlows); got != flows || b.Lost != 0 {
		t.Errorf("%d of %d flows arrived, budget %+v", got, flows, b)
	}
}

// What the full ring does not take is lost, and counted.
func TestPrivilegedRingFull(t *testing.T) {
	k := newKernel(t)
	a := k.load(alice, options{features: open, level: "packets"})
	r := k.reader()
	const flood = 20000 // without a limit
	k.flood(a.egress, alice.to(alice.gw4.String()).udp(1, 2), flood)
	told, b := len(r.drain()), k.eventBudget(alice.slot, abi.EventsPackets)
	if flow := k.eventBudget(alice.slot, abi.EventsFlows); flow.Written != 1 {
		t.Errorf("the flow: %+v", flow)
	}
	if told != int(b.Written)+1 || b.Written+b.Lost != flood-1 || b.Lost == 0 {
		t.Errorf("of %d packets %d were told: %+v", flood, told, b)
	}
}

// The reader is not woken before a quarter of the ring is full.
func TestPrivilegedRingWakesSeldom(t *testing.T) {
	k := newKernel(t)
	a := k.load(alice, options{features: open, level: "packets"})
	r := k.reader()
	woken := make(chan error, 1)
	r.r.SetDeadline(time.Now().Add(time.Second))
	start := time.Now()
	go func() {
		_, err := r.r.Read()
		woken <- err
	}()
	in := alice.to(alice.gw4.String()).udp(1, 2)
	k.flood(a.egress, in, 100)
	select {
	case err := <-woken:
		if time.Since(start) < time.Second {
			t.Fatalf("100 events woke the reader (%v)", err)
		}
	case <-time.After(200 * time.Millisecond):
	}
	k.flood(a.egress, in, 3000)
	if err := <-woken; err != nil && !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) > 900*time.Millisecond {
		t.Errorf("a third of the ring woke the reader after %v (%v)", time.Since(start), err)
	}
}
