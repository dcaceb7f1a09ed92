package packettest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"github.com/sluice-net/sluice/internal/abi"
)

// reader drains the ring.
type reader struct {
	t testing.TB
	r *ringbuf.Reader
}

func (k *kernel) reader() reader {
	k.t.Helper()
	r, err := ringbuf.NewReader(k.maps["events"])
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { r.Close() })
	return reader{k.t, r}
}

// drain returns the events written so far.
func (r reader) drain() (all []abi.Event) {
	r.t.Helper()
	r.r.SetDeadline(time.Now())
	for {
		record, err := r.r.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return all
		}
		if err != nil {
			r.t.Fatal(err)
		}
		var e abi.Event
		if err := binary.Read(bytes.NewReader(record.RawSample), binary.NativeEndian, &e); err != nil {
			r.t.Fatal(err)
		}
		all = append(all, e)
	}
}

// A denied connection is told twice: as the verdict that it is, and as the drop; both name the rule.
func TestPrivilegedEventOfDenial(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		k := newKernel(t)
		o := closedBy("policy_ingress", answer(9, false))
		o.revision = 12
		a := k.load(alice, options{features: open})
		k.load(bob, o)
		r := k.reader()
		there := between(alice, bob, family)
		in := there.tcp(5000, 80, "S")
		k.run(a.egress, in, fromStack)
		events := r.drain()
		if len(events) != 2 {
			t.Fatalf("%d events", len(events))
		}
		for i, kind := range []uint8{abi.EventVerdict, abi.EventDrop} {
			e := events[i]
			if e.Time == 0 {
				t.Error("no time")
			}
			e.Time, e.Ifindex = 0, 0
			want := abi.Event{Src: abi.FromAddr(there.src), Dst: abi.FromAddr(there.dst), Sport: abi.ToBE16(5000), Dport: abi.ToBE16(80),
				Proto: tcp, Type: kind, Point: abi.PointIngress, TCPFlags: 2, Reason: uint16(abi.DropPolicyDenied), Rule: 9, Slot: bob.slot,
				Revision: 12, Identity: alice.identity, Length: uint32(len(in)), Family: uint8(family),
				Side: abi.PolicyIngress}
			if e != want {
				t.Errorf("event %d:\n%+v, want\n%+v", i, e, want)
			}
		}
	})
}

// Noise is counted and not told; what a container does wrong is told.
func TestPrivilegedQuietDrops(t *testing.T) {
	k := newKernel(t)
	a := k.load(alice, options{features: open})
	r := k.reader()
	k.run(a.egress, alice.to("224.0.0.251").udp(5353, 5353), fromStack)
	if events := r.drain(); len(events) != 0 {
		t.Errorf("multicast: %d events", len(events))
	}
	spoofed := between(alice, bob, 4)
	spoofed.src = bob.ip4.Addr()
	k.run(a.egress, spoofed.udp(1, 2), fromStack)
	events := r.drain()
	if len(events) != 1 || events[0].Reason != uint16(abi.DropSpoofedIP) || events[0].Point != abi.PointEgress {
		t.Errorf("spoofed: %+v", events)
	}
}

// Allowed verdicts and traces are written while somebody listens, and only then.
func TestPrivilegedObservers(t *testing.T) {
	for _, test := range []struct {
		about         string
		flags         uint32
		first, second []uint8 // types of events of the first and of the next packet
	}{
		{"nobody", 0, nil, nil},
		{"verdicts", abi.ObserverAllowed, []uint8{abi.EventVerdict, abi.EventVerdict}, nil},
		{"traces", abi.ObserverTraces, []uint8{abi.EventTrace, abi.EventTrace}, nil},
	} {
		t.Run(test.about, func(t *testing.T) {
			k := newKernel(t)
			a := k.load(alice, closedBy("policy_egress", answer(1, true)))
			k.load(bob, options{features: open})
			if err := k.maps["observers"].Put(uint32(0), test.flags); err != nil {
				t.Fatal(err)
			}
			r := k.reader()
			there := between(alice, bob, 4)
			for i, want := range [][]uint8{test.first, test.second} {
				k.run(a.egress, there.udp(5000, 80), fromStack)
				var got []uint8
				for _, e := range r.drain() {
					got = append(got, e.Type)
				}
				if i == 1 && len(got) <= 2 && test.flags == abi.ObserverTraces {
					continue // the clock's next second is news too
				}
				if !bytes.Equal(got, want) {
					t.Errorf("packet %d: events %v, want %v", i+1, got, want)
				}
			}
		})
	}
}

// A flood of drops is counted whole, and told within the budget.
func TestPrivilegedEventBudget(t *testing.T) {
	const flood = 20000
	k := newKernel(t)
	a := k.load(alice, options{features: open, closed: true})
	r := k.reader()
	o := runOptions(between(alice, bob, 4).udp(1, 2))
	o.Repeat = flood
	start := time.Now()
	if _, err := a.egress.Run(o); err != nil {
		t.Fatal(err)
	}
	seconds := int(time.Since(start).Seconds()) + 1
	if n := k.counted(abi.DirectionEgress, abi.DropClosed); n != flood {
		t.Errorf("counted %d", n)
	}
	var lost []abi.Budget
	if err := k.maps["event_budget"].Lookup(uint32(abi.EventDrop), &lost); err != nil {
		t.Fatal(err)
	}
	var unwritten uint32
	for _, b := range lost {
		unwritten += b.Lost
	}
	told := len(r.drain())
	if told > 2*seconds*abi.EventRate {
		t.Errorf("told %d in %d s", told, seconds)
	}
	// The ring is smaller than the budget: what found no room in it is lost too.
	if told+int(unwritten) != flood {
		t.Errorf("of %d events %d were told and %d lost", flood, told, unwritten)
	}
}

// Each slot's packets and bytes are counted by direction.
func TestPrivilegedSlotCounters(t *testing.T) {
	k := newKernel(t)
	a := k.load(alice, options{features: open})
	k.load(bob, options{features: open})
	in := between(alice, bob, 4).udp(1, 2)
	k.run(a.egress, in, fromStack)
	for slot, want := range map[uint32]abi.Counter{
		alice.slot*2 + abi.DirectionEgress: {Packets: 1, Bytes: uint64(len(in))},
		bob.slot*2 + abi.DirectionIngress:  {Packets: 1, Bytes: uint64(len(in))},
		bob.slot*2 + abi.DirectionEgress:   {},
	} {
		var perCPU []abi.Counter
		if err := k.maps["slots"].Lookup(slot, &perCPU); err != nil {
			t.Fatal(err)
		}
		var sum abi.Counter
		for _, c := range perCPU {
			sum.Packets += c.Packets
			sum.Bytes += c.Bytes
		}
		if sum != want {
			t.Errorf("key %d: %+v, want %+v", slot, sum, want)
		}
	}
}
