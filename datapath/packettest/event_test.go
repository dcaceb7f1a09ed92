package packettest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"slices"
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

// drainOf returns those of some types.
func (r reader) drainOf(types ...uint8) (some []abi.Event) {
	r.t.Helper()
	for _, e := range r.drain() {
		if slices.Contains(types, e.Type) {
			some = append(some, e)
		}
	}
	return some
}

// A denied connection is told once, as the drop that it is, with what the policy said and the rule.
func TestPrivilegedEventOfDenial(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		k := newKernel(t)
		o := closedBy("policy_ingress", answer(9, false))
		o.revision = 12
		a := k.load(alice, options{features: open, level: "drops"})
		k.load(bob, o)
		r := k.reader()
		there := between(alice, bob, family)
		in := there.tcp(5000, 80, "S")
		k.run(a.egress, in, fromStack)
		events := r.drain()
		if len(events) != 1 {
			t.Fatalf("%d events", len(events))
		}
		e := events[0]
		if e.Time == 0 {
			t.Error("no time")
		}
		e.Time, e.Ifindex = 0, 0
		want := abi.Event{Src: abi.FromAddr(there.src), Dst: abi.FromAddr(there.dst), Sport: abi.ToBE16(5000), Dport: abi.ToBE16(80),
			Proto: tcp, Type: abi.EventDrop, Point: abi.PointIngress, TCPFlags: 2, Reason: uint16(abi.DropPolicyDenied), Rule: 9, Slot: bob.slot,
			Revision: 12, Identity: alice.identity, Length: uint32(len(in)), Family: uint8(family),
			Side: abi.PolicyIngress, Judged: abi.JudgedDenied}
		if e != want {
			t.Errorf("got\n%+v, want\n%+v", e, want)
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
