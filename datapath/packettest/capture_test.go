package packettest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/sluice-net/sluice/internal/abi"
)

// captured is a record of the ring captures.
type captured struct {
	abi.Capture
	frame []byte
}

// captures drains the ring captures.
func (k *kernel) captures() func() []captured {
	k.t.Helper()
	r, err := ringbuf.NewReader(k.maps["captures"])
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { r.Close() })
	return func() (all []captured) {
		k.t.Helper()
		r.SetDeadline(time.Now())
		for {
			record, err := r.Read()
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return all
			}
			if err != nil {
				k.t.Fatal(err)
			}
			var c captured
			b := bytes.NewReader(record.RawSample)
			if err := binary.Read(b, binary.NativeEndian, &c.Capture); err != nil {
				k.t.Fatal(err)
			}
			c.frame = record.RawSample[len(record.RawSample)-b.Len():][:c.Captured]
			all = append(all, c)
		}
	}
}

// want is what a capture shows of a packet.
type wantCapture struct {
	slot   uint32
	point  uint8
	reason abi.DropReason // DropNone: it passed
	frame  []byte
}

func checkCaptures(t *testing.T, about string, got []captured, want ...wantCapture) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d packets were captured, want %d: %+v", about, len(got), len(want), got)
		return
	}
	for i, w := range want {
		c, kind := got[i], uint8(abi.EventTrace)
		if w.reason != abi.DropNone {
			kind = abi.EventDrop
		}
		if c.Event.Slot != w.slot || c.Event.Point != w.point || c.Event.Type != kind || c.Event.Reason != uint16(w.reason) || c.Event.Time == 0 {
			t.Errorf("%s: packet %d: %+v, want %+v", about, i, c.Event, w)
		}
		if int(c.Length) != len(w.frame) || !bytes.Equal(c.frame, w.frame[:len(c.frame)]) || len(c.frame) == 0 {
			t.Errorf("%s: packet %d: %d bytes captured of %d,\n%x\nwant\n%x", about, i, c.Captured, c.Length, c.frame, w.frame)
		}
	}
}

// Both directions of a captured container are seen, every packet, with the bytes that it sent or gets; others are not.
func TestPrivilegedCapture(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		for _, proto := range protocols(family) {
			k := newKernel(t)
			a, b := k.load(alice, options{features: open, capture: 1600}), k.load(bob, options{features: open})
			drain := k.captures()
			there := between(alice, bob, family)
			out, in := there.transport(proto), there.turned(bob).answered(proto)
			for i := range 3 { // also what would take the short way
				k.run(a.egress, out, fromStack)
				k.run(b.egress, in, fromStack)
				checkCaptures(t, fmt.Sprintf("protocol %d, round %d", proto, i), drain(),
					wantCapture{alice.slot, abi.PointEgress, abi.DropNone, out}, wantCapture{alice.slot, abi.PointIngress, abi.DropNone, in})
			}
		}
	})
}

// Drops are captured with their reason wherever they happen, noise and neighbour discovery too.
func TestPrivilegedCaptureOfDrops(t *testing.T) {
	k := newKernel(t)
	o := closedBy("policy_egress", onlyPort(udp, 80, 1))
	o.capture, o.level = 1600, "none"
	a := k.load(alice, o)
	k.load(bob, options{features: open})
	drain := k.captures()
	spoofed := between(alice, bob, 4)
	spoofed.src = bob.ip4.Addr()
	for _, c := range []struct {
		reason abi.DropReason
		packet []byte
	}{
		{abi.DropPolicyDenied, between(alice, bob, 4).udp(1, 81)},
		{abi.DropPolicyDenied, between(alice, bob, 6).udp(1, 81)},
		{abi.DropSpoofedIP, spoofed.udp(1, 80)},
		{abi.DropMulticast, alice.to("224.0.0.251").udp(5353, 5353)},
		{abi.DropNotIP, frame(&lldp, gopacket.Payload(make([]byte, 60)))},
		{abi.DropNotTracked, between(alice, bob, 4).tcp(1, 80, "SA")},
		{abi.DropInvalid, between(alice, bob, 4).udp(1, 80)[:38]},
	} {
		k.run(a.egress, c.packet, fromStack)
		checkCaptures(t, c.reason.String(), drain(), wantCapture{alice.slot, abi.PointEgress, c.reason, c.packet})
	}
	closed := k.load(alice, options{features: open, closed: true, capture: 1600})
	k.run(closed.egress, between(alice, bob, 4).udp(1, 80), fromStack)
	checkCaptures(t, "closed", drain(), wantCapture{alice.slot, abi.PointEgress, abi.DropClosed, between(alice, bob, 4).udp(1, 80)})
	in := between(bob, alice, 4).udp(1, 80)
	k.run(closed.ingress, in, from(bob))
	checkCaptures(t, "to a closed one", drain(), wantCapture{alice.slot, abi.PointIngress, abi.DropClosed, in})
}

// lldp is a frame of no protocol that is carried.
var lldp = func() (e layers.Ethernet) {
	e = *between(alice, bob, 4).ethernet()
	e.EthernetType = 0x88cc // LLDP
	return e
}()

// What leaves by an uplink is captured as the container sent it, answers as it gets them; drops on the way out are told apart.
func TestPrivilegedCaptureOutside(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		for _, proto := range protocols(family) {
			o := newOutside(t, "MASQUERADE", "SERVICES")
			o.alice = o.load(alice, options{features: open.with("MASQUERADE", "SERVICES"), capture: 1600})
			drain := o.captures()
			_, far := outsideOf(family)
			s := o.masquerade(t, family, proto)
			checkCaptures(t, "out", drain(), wantCapture{alice.slot, abi.PointEgress, abi.DropNone, alice.to(far).transport(proto)})
			_, delivered := o.enter(o.answer(s, proto))
			got := drain()
			checkCaptures(t, "in", got, wantCapture{alice.slot, abi.PointIngress, abi.DropNone, delivered})
			if len(got) == 1 && got[0].Event.Dst.Addr() != alice.addr(family) {
				t.Errorf("captured %+v", got[0].Event)
			}
			o.removeDevices(t)
		}
	})
}

// A reply from behind a frontend is captured as the container gets it, and told as it is in the flow.
func TestPrivilegedCaptureOfTranslated(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE", "SERVICES")
		host, _ := outsideOf(family)
		o.publish(wildcard(family), 80, udp, bob.addr(family), 8000)
		o.alice = o.load(alice, options{features: open.with("MASQUERADE", "SERVICES"), capture: 1600})
		drain := o.captures()
		asked := alice.to(host).udp(5000, 80)
		o.leave(o.alice, asked)
		checkCaptures(t, "asked", drain(), wantCapture{alice.slot, abi.PointEgress, abi.DropNone, asked})
		_, answer := o.leave(o.bob, between(bob, alice, family).udp(8000, 5000))
		got := drain()
		checkCaptures(t, "answered", got, wantCapture{alice.slot, abi.PointIngress, abi.DropNone, answer})
		if len(got) == 1 && (got[0].Event.Src.Addr() != bob.addr(family) || read(t, got[0].frame).src != netip.AddrPortFrom(netip.MustParseAddr(host), 80)) {
			t.Errorf("captured %+v", got[0])
		}
	})
}

// The snap length cuts; long frames are captured whole if it says so.
func TestPrivilegedCaptureLength(t *testing.T) {
	long := between(alice, bob, 4).packet(udp, &layers.UDP{SrcPort: 5, DstPort: 6}, gopacket.Payload(make([]byte, 3000)))
	for _, test := range []struct {
		snap   uint32
		packet []byte
		want   int
	}{
		{1, long, 1}, {96, long, 96}, {1600, long, 1600}, {abi.CaptureMax, long, len(long)},
		{abi.CaptureMax, between(alice, bob, 4).udp(1, 2), 46}, {46, between(alice, bob, 4).udp(1, 2), 46}, {14, between(alice, bob, 4).udp(1, 2), 14},
	} {
		k := newKernel(t)
		a := k.load(alice, options{features: open, capture: test.snap})
		k.load(bob, options{features: open, capture: test.snap})
		drain := k.captures()
		k.run(a.egress, test.packet, fromStack)
		got := drain()
		checkCaptures(t, fmt.Sprint(test.snap), got, wantCapture{alice.slot, abi.PointEgress, abi.DropNone, test.packet},
			wantCapture{bob.slot, abi.PointIngress, abi.DropNone, test.packet})
		for _, c := range got {
			if int(c.Captured) != test.want {
				t.Errorf("snap length %d: %d bytes captured, want %d", test.snap, c.Captured, test.want)
			}
		}
	}
}

// What the ring has no room for is lost, and counted for the container; no event is lost for it.
func TestPrivilegedCaptureLoss(t *testing.T) {
	const flood = 3000
	k := newKernel(t)
	a := k.load(alice, options{features: open, capture: 1600})
	drain := k.captures()
	out := alice.to(alice.gw4.String())
	k.flood(a.egress, out.packet(udp, &layers.UDP{SrcPort: 5, DstPort: 6}, gopacket.Payload(make([]byte, 1400))), flood)
	b := k.eventBudget(alice.slot, abi.EventsCaptures)
	if got := len(drain()); got != int(b.Written) || b.Written+b.Lost != flood || b.Lost == 0 || got < 500 {
		t.Errorf("of %d packets %d were captured, and the budget is %+v", flood, got, b)
	}
	if f := k.eventBudget(alice.slot, abi.EventsFlows); f.Lost != 0 || f.Written == 0 {
		t.Errorf("the flow: %+v", f)
	}
}
