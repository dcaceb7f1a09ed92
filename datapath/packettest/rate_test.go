package packettest

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/abi"
)

// slow is a rate at which a packet takes minutes, so that the time of a test does not count.
const slow = 8 // bit/s

// limited are the features of a container with both limits.
var limited = open.with("RATE_EGRESS", "RATE_INGRESS")

// limit gives a direction of a container a rate and a burst, of which so much is used.
func (k *kernel) limit(c container, direction uint32, bits uint64, burst, used time.Duration) {
	k.t.Helper()
	r := abi.Rate{BitsPerSecond: bits, Burst: uint64(burst)}
	if used != 0 {
		r.Used = uint64(monotonic(k.t) + used)
	}
	if err := k.maps["rates"].Put(c.slot*2+direction, r); err != nil {
		k.t.Fatal(err)
	}
}

// used is how long what passed uses a rate up, from now.
func (k *kernel) used(c container, direction uint32) time.Duration {
	k.t.Helper()
	var r abi.Rate
	if err := k.maps["rates"].Lookup(c.slot*2+direction, &r); err != nil {
		k.t.Fatal(err)
	}
	return time.Duration(r.Used) - monotonic(k.t)
}

// monotonic is the programs' clock.
func monotonic(t testing.TB) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// near allows for the time that a test takes.
func near(got, want time.Duration) bool { return got <= want && got > want-30*time.Second }

// A packet passes as long as the burst is not used up, and uses its length, without the Ethernet header: in each
// direction, to a container, to the host, from the stack, as the first of its flow and later.
func TestPrivilegedRateLimits(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		k := newKernel(t)
		a, b := k.load(alice, options{features: limited}), k.load(bob, options{features: limited})
		gateway := alice.gw4
		if family == 6 {
			gateway = alice.gw6
		}
		for _, proto := range protocols(family) {
			there := between(alice, bob, family)
			toHost := alice.to(gateway.String())
			fromHost := ends{bob.hostMAC, bob.mac, gateway, there.dst}
			for _, test := range []struct {
				about     string
				c         container
				direction uint32
				in        []byte
				passed    uint32
			}{
				{"to a container", alice, abi.DirectionEgress, there.transport(proto), tcRedirect},
				{"from a container", bob, abi.DirectionIngress, there.transport(proto), tcRedirect},
				{"to the host", alice, abi.DirectionEgress, toHost.transport(proto), tcOK},
				{"from the host", bob, abi.DirectionIngress, fromHost.transport(proto), tcOK},
			} {
				before := k.counted(int(test.direction), abi.DropRate)
				program := a.egress // which leads to bob's
				if test.about == "from the host" {
					program = b.ingress
				}
				k.limit(test.c, test.direction, slow, 100*time.Second, 0)
				if verdict, _ := k.run(program, test.in, fromStack); verdict != test.passed {
					t.Fatalf("protocol %d %s: verdict %d, want %d", proto, test.about, verdict, test.passed)
				}
				cost := time.Duration(len(test.in)-14) * time.Second
				if used := k.used(test.c, test.direction); !near(used, cost) {
					t.Errorf("protocol %d %s: a packet used %v, want %v", proto, test.about, used, cost)
				}
				for _, step := range []struct {
					used time.Duration
					want uint32
				}{{50 * time.Second, test.passed}, {200 * time.Second, tcDrop}, {200 * time.Second, tcDrop}} {
					k.limit(test.c, test.direction, slow, 100*time.Second, step.used)
					if verdict, _ := k.run(program, test.in, fromStack); verdict != step.want {
						t.Errorf("protocol %d %s: verdict %d with %v used, want %d", proto, test.about, verdict, step.used, step.want)
					}
				}
				k.limit(test.c, test.direction, 0, 0, 0)
				if n := k.counted(int(test.direction), abi.DropRate) - before; n != 2 {
					t.Errorf("protocol %d %s: %d drops were counted", proto, test.about, n)
				}
			}
		}
	})
}

// Who sends a flood is not told of each drop; others' events keep their budget.
func TestPrivilegedRateTold(t *testing.T) {
	k := newKernel(t)
	a := k.load(alice, options{features: limited})
	k.load(bob, options{features: limited})
	in := between(alice, bob, 4).udp(5000, 80)
	k.run(a.egress, in, fromStack)
	k.limit(alice, abi.DirectionEgress, slow, 0, time.Hour)
	r := k.reader()
	for range 100 {
		k.run(a.egress, in, fromStack)
	}
	if n := k.counted(abi.DirectionEgress, abi.DropRate); n != 100 {
		t.Errorf("%d drops were counted", n)
	}
	events := r.drainOf(abi.EventDrop)
	if len(events) == 0 || len(events) > 10 {
		t.Fatalf("%d events", len(events))
	}
	if e := events[0]; e.Reason != uint16(abi.DropRate) || e.Type != abi.EventDrop || e.Slot != alice.slot || e.Dst != abi.FromAddr(bob.ip4.Addr()) {
		t.Errorf("told %+v", e)
	}
}

// What is small has room beyond the burst, so that acknowledgements and names get through a flood.
func TestPrivilegedRateOfSmallPackets(t *testing.T) {
	const burst = 100 * time.Second
	both(t, func(t *testing.T, family int) {
		k := newKernel(t)
		a := k.load(alice, options{features: limited})
		k.load(bob, options{features: open})
		there := between(alice, bob, family)
		for _, test := range []struct {
			length  int
			used    time.Duration
			verdict uint32
		}{
			{100, burst * 9 / 10, tcRedirect},
			{1000, burst * 9 / 10, tcRedirect},
			{100, burst * 11 / 10, tcRedirect},
			{1000, burst * 11 / 10, tcDrop},
			{100, burst * 14 / 10, tcDrop},
		} {
			k.limit(alice, abi.DirectionEgress, slow, burst, test.used)
			in := there.packet(udp, &layers.UDP{SrcPort: 5000, DstPort: 80}, gopacket.Payload(make([]byte, test.length)))
			if verdict, _ := k.run(a.egress, in, fromStack); verdict != test.verdict {
				t.Errorf("%d bytes with %v of %v used: verdict %d, want %d", test.length, test.used, burst, verdict, test.verdict)
			}
		}
	})
}

// What a policy denies uses nothing up, so that nobody spends what others may send a container.
func TestPrivilegedRateOfDenied(t *testing.T) {
	k := newKernel(t)
	o := closedBy("policy_ingress", answer(1, false))
	o.features = o.features.with("RATE_EGRESS", "RATE_INGRESS")
	b := k.load(bob, o)
	k.limit(bob, abi.DirectionIngress, slow, time.Hour, 0)
	k.run(b.ingress, between(alice, bob, 4).udp(1, 2), from(alice))
	if n := k.counted(abi.DirectionIngress, abi.DropPolicyDenied); n != 1 {
		t.Fatalf("%d packets were denied", n)
	}
	if used := k.used(bob, abi.DirectionIngress); used > 0 {
		t.Errorf("used %v", used)
	}
}

// A packet that the sender's program says is allowed is limited all the same.
func TestPrivilegedRateOfKnownFlow(t *testing.T) {
	k := newKernel(t)
	a := k.load(alice, options{features: open})
	k.load(bob, options{features: limited})
	in := between(alice, bob, 4).udp(5000, 80)
	k.limit(bob, abi.DirectionIngress, 8e9, time.Hour, 0)
	for range 3 {
		if verdict, _ := k.run(a.egress, in, fromStack); verdict != tcRedirect {
			t.Fatalf("verdict %d", verdict)
		}
	}
	k.limit(bob, abi.DirectionIngress, slow, 0, time.Hour)
	if verdict, _ := k.run(a.egress, in, fromStack); verdict != tcDrop {
		t.Errorf("verdict %d beyond the limit", verdict)
	}
}

// A packet that the device will cut counts with the headers of every segment.
func TestPrivilegedRateOfSegments(t *testing.T) {
	const size, payload = 1000, 3500 // four segments
	both(t, func(t *testing.T, family int) {
		network := 20
		if family == 6 {
			network = 40
		}
		k := newKernel(t)
		a := k.load(alice, options{features: limited})
		k.load(bob, options{features: open})
		for proto, transport := range map[uint8]int{tcp: 20, udp: 8} {
			k.limit(alice, abi.DirectionEgress, slow, 2*time.Hour, 0)
			there := between(alice, bob, family)
			in := append(there.transport(proto)[:14+network+transport], make([]byte, payload)...)
			if family == 4 {
				binary.BigEndian.PutUint16(in[16:], uint16(len(in)-14))
			} else {
				binary.BigEndian.PutUint16(in[18:], uint16(len(in)-54))
			}
			o := runOptions(in)
			o.Context = segmented(size)
			if verdict, err := a.egress.Run(o); err != nil || verdict != tcRedirect {
				t.Fatalf("protocol %d: verdict %d, %v", proto, verdict, err)
			}
			if want := time.Duration(payload+4*(network+transport)) * time.Second; !near(k.used(alice, abi.DirectionEgress), want) {
				t.Errorf("protocol %d: used %v, want %v", proto, k.used(alice, abi.DirectionEgress), want)
			}
		}
	})
}

// Offsets in struct __sk_buff: of context.Rest, and of what lies in it.
const (
	contextRest    = 92
	contextTstamp  = 152
	contextGSOSize = 176
)

// segmented is the context of a packet that is to be cut.
func segmented(size uint32) context {
	var c context
	binary.NativeEndian.PutUint32(c.Rest[contextGSOSize-contextRest:], size)
	return c
}

// departure sends a packet of alice to the outside and returns verdict and departure time, 0: at once.
func (o *outside) departure(t *testing.T, in []byte) (uint32, time.Duration) {
	t.Helper()
	run := runOptions(in)
	run.Context = context{Ifindex: uint32(o.door)}
	var after context
	run.ContextOut = &after
	verdict, err := o.alice.egress.Run(run)
	if err != nil {
		t.Fatal(err)
	}
	return verdict, time.Duration(binary.NativeEndian.Uint64(after.Rest[contextTstamp-contextRest:]))
}

// By an uplink with fq, TCP beyond half of the burst gets a departure time instead of being dropped; other packets, and
// those for other uplinks, do not wait.
func TestPrivilegedRatePaces(t *testing.T) {
	const burst = 100 * time.Second
	both(t, func(t *testing.T, family int) {
		_, far := outsideOf(family)
		o := newOutside(t, "MASQUERADE", "RATE_EGRESS")
		for _, paces := range []bool{false, true} {
			if paces {
				o.pace(t)
			}
			for _, proto := range protocols(family) {
				in := alice.to(far).transport(proto)
				waits := paces && proto == tcp
				for _, step := range []struct {
					used  time.Duration
					drops bool
				}{
					{burst / 4, false},
					{burst * 3 / 4, waits}, // 25 s are too long to wait
					{burst * 2, true},
				} {
					o.limit(alice, abi.DirectionEgress, 8e9, burst, step.used)
					verdict, at := o.departure(t, in)
					if (verdict == tcDrop) != step.drops || at != 0 {
						t.Errorf("protocol %d, fq %t, %v used: verdict %d, departure %v", proto, paces, step.used, verdict, at)
					}
				}
				wait := 150 * time.Millisecond
				o.limit(alice, abi.DirectionEgress, 8e9, burst, burst/2+wait)
				verdict, at := o.departure(t, in)
				if verdict == tcDrop || (at != 0) != waits {
					t.Errorf("protocol %d, fq %t: verdict %d, departure %v", proto, paces, verdict, at)
				}
				if left := at - monotonic(t); waits && (left > wait || left < -10*time.Second) {
					t.Errorf("protocol %d: departure in %v, want %v", proto, left, wait)
				}
			}
		}
	})
}

// pace gives the uplink queues that keep packets.
func (o *outside) pace(t *testing.T) {
	t.Helper()
	var u abi.Uplink
	if err := o.maps["uplinks"].Lookup(uint32(o.uplink), &u); err != nil {
		t.Fatal(err)
	}
	u.Flags |= abi.UplinkPaces
	if err := o.maps["uplinks"].Put(uint32(o.uplink), &u); err != nil {
		t.Fatal(err)
	}
}
