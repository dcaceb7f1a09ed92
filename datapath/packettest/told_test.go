package packettest

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/internal/abi"
)

// told are the traces among events, one a word: the slot whose program speaks, < before that of a reply, and the causes.
func told(events []abi.Event) (words []string) {
	names := map[uint32]string{alice.slot: "alice", bob.slot: "bob", carol.slot: "carol"}
	for _, e := range events {
		if e.Type != abi.EventTrace {
			continue
		}
		word := names[e.Slot] + ">"
		if e.Reply == 1 {
			word = names[e.Slot] + "<"
		}
		for i, cause := range []string{"new", "state", "time", "closed", "packet"} {
			if e.Cause&(1<<i) != 0 {
				word += "," + cause
			}
		}
		words = append(words, word)
	}
	return words
}

func (r reader) wantTold(about string, want ...string) []abi.Event {
	r.t.Helper()
	events := r.drain()
	if got := told(events); !slices.Equal(got, want) {
		r.t.Errorf("%s: told %q, want %q", about, got, want)
	}
	return events
}

// A connection is told when it opens, is answered, closes on one side, and is over, then with its totals; not by packets that
// change nothing.
func TestPrivilegedToldOfTCP(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		for _, end := range []struct {
			about string
			steps []step
		}{
			{"FIN and FIN", []step{{false, "FA", []string{"alice>,state"}}, {true, "FA", []string{"bob<,closed"}}, {false, "A", nil}}},
			{"reset", []step{{true, "R", []string{"bob<,closed"}}, {true, "R", nil}}},
			{"reset after FIN", []step{{true, "FA", []string{"bob<,state"}}, {false, "RA", []string{"alice>,closed"}}}},
		} {
			k := newKernel(t)
			a, b := k.load(alice, options{features: open}), k.load(bob, options{features: open})
			r := k.reader()
			var sent, received abi.Counter
			var last []abi.Event
			for i, s := range append([]step{
				{false, "S", []string{"alice>,new"}}, {false, "S", nil}, {true, "SA", []string{"bob<,state"}}, {true, "SA", nil},
				{false, "A", nil}, {false, "PA", nil}, {true, "PA", nil},
			}, end.steps...) {
				there := between(alice, bob, family)
				p, in, c := a.egress, there.tcp(5000, 80, s.flags), &sent
				if s.reply {
					p, in, c = b.egress, there.turned(bob).tcp(80, 5000, s.flags), &received
				}
				if verdict, _ := k.run(p, in, fromStack); verdict != tcRedirect {
					t.Fatalf("%s: step %d: verdict %d", end.about, i, verdict)
				}
				c.Packets++
				c.Bytes += uint64(len(in))
				events := r.wantTold(fmt.Sprintf("%s: step %d, %s", end.about, i, s.flags), s.want...)
				if len(events) > 0 {
					last = events
				}
				for _, e := range events {
					if e.Sent != sent || e.Received != received || e.Opened == 0 || e.Opened > e.Time || e.Length != uint32(len(in)) {
						t.Errorf("%s: step %d: told %+v, sent %+v, received %+v", end.about, i, e, sent, received)
					}
				}
			}
			if len(last) == 0 || last[0].Cause != abi.CauseClosed {
				t.Errorf("%s: last told %+v", end.about, last)
			}
		}
	})
}

// step is a segment of alice's connection to bob, and what is told of it.
type step struct {
	reply bool
	flags string
	want  []string
}

// Flows of other protocols are told when they begin and are answered.
func TestPrivilegedToldOfDatagrams(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		for _, proto := range protocols(family)[1:] {
			k := newKernel(t)
			a, b := k.load(alice, options{features: open}), k.load(bob, options{features: open})
			r := k.reader()
			there := between(alice, bob, family)
			for i, want := range [][]string{{"alice>,new"}, nil} {
				k.run(a.egress, there.transport(proto), fromStack)
				r.wantTold(fmt.Sprintf("protocol %d, packet %d", proto, i), want...)
			}
			for i, want := range [][]string{{"bob<,state"}, nil} {
				k.run(b.egress, there.turned(bob).answered(proto), fromStack)
				r.wantTold(fmt.Sprintf("protocol %d, answer %d", proto, i), want...)
			}
		}
	})
}

// A flow that goes on is told every few seconds, whoever sends, once.
func TestPrivilegedToldAgain(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		k := newKernel(t)
		k.setInterval(7)
		a, b := k.load(alice, options{features: open}), k.load(bob, options{features: open})
		r := k.reader()
		there := between(alice, bob, family)
		x, y := there.ports(udp)
		back := there.turned(bob).udp(80, 5000)
		k.run(a.egress, there.udp(5000, 80), fromStack)
		k.run(b.egress, back, fromStack)
		r.drain()
		later := func(units uint32) {
			k.change(x, y, udp, func(f *abi.Flow) { f.Told -= units; f.Last--; f.Tick-- })
		}
		later(5)
		k.run(a.egress, there.udp(5000, 80), fromStack)
		r.wantTold("early")
		later(7)
		k.run(b.egress, back, fromStack)
		events := r.wantTold("the responder sends", "bob<,time")
		if len(events) == 1 && (events[0].Sent.Packets != 2 || events[0].Received.Packets != 2) {
			t.Errorf("told %+v", events[0])
		}
		k.run(a.egress, there.udp(5000, 80), fromStack)
		r.wantTold("told already")
	})
}

// The receiver tells of a connection what its own policy says, once, and again when it has another policy.
func TestPrivilegedToldByPolicy(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		for _, proto := range protocols(family) {
			k := newKernel(t)
			a := k.load(alice, options{features: open})
			load := func(revision uint32) {
				o := closedBy("policy_ingress", answer(4, true))
				o.revision = revision
				k.load(bob, o)
			}
			load(3)
			r := k.reader()
			there := between(alice, bob, family)
			k.run(a.egress, there.transport(proto), fromStack)
			events := r.wantTold("the first packet", "alice>,new", "bob>,new")
			if len(events) == 2 {
				for i, want := range []struct{ rule, revision uint32 }{{0, 1}, {4, 3}} {
					e := events[i]
					if e.Judged != abi.JudgedAllowed || uint32(e.Rule) != want.rule || e.Revision != want.revision || e.Sent.Packets != 1 {
						t.Errorf("protocol %d: event %d: %+v", proto, i, e)
					}
				}
			}
			k.run(a.egress, there.transport(proto), fromStack)
			r.wantTold("the second packet")
			load(4)
			k.run(a.egress, there.transport(proto), fromStack)
			events = r.wantTold("another policy", "bob>,state")
			if len(events) == 1 && (events[0].Judged != abi.JudgedAllowed || events[0].Revision != 4 || events[0].Sent.Packets != 3) {
				t.Errorf("protocol %d: told %+v", proto, events[0])
			}
		}
	})
}

// What is told of two containers' packets is what the higher of their levels says, each packet once, but that a container of
// level packets tells all that it sends and is sent.
func TestPrivilegedLevels(t *testing.T) {
	for _, test := range []struct {
		alice, bob level
		steps      [4][]string // the first packet, the answer, another packet, another answer
	}{
		{"none", "none", [4][]string{}},
		{"drops", "drops", [4][]string{}},
		{"none", "drops", [4][]string{}},
		{"flows", "flows", [4][]string{{"alice>,new"}, {"bob<,state"}}},
		{"flows", "none", [4][]string{{"alice>,new"}, {"alice<,state"}}},
		{"drops", "flows", [4][]string{{"bob>,new"}, {"bob<,state"}}},
		{"packets", "flows", [4][]string{{"alice>,new,packet"}, {"bob<,state", "alice<,packet"}, {"alice>,packet"}, {"alice<,packet"}}},
		{"none", "packets", [4][]string{{"bob>,new,packet"}, {"bob<,state,packet"}, {"bob>,packet"}, {"bob<,packet"}}},
		{"packets", "packets", [4][]string{{"alice>,new,packet", "bob>,packet"}, {"bob<,state,packet", "alice<,packet"},
			{"alice>,packet", "bob>,packet"}, {"bob<,packet", "alice<,packet"}}},
	} {
		both(t, func(t *testing.T, family int) {
			k := newKernel(t)
			a, b := k.load(alice, options{features: open, level: test.alice}), k.load(bob, options{features: open, level: test.bob})
			r := k.reader()
			there := between(alice, bob, family)
			for _, proto := range protocols(family) {
				for i, want := range test.steps {
					p, in := a.egress, there.transport(proto)
					if i%2 == 1 {
						p, in = b.egress, there.turned(bob).answered(proto)
					}
					if verdict, _ := k.run(p, in, fromStack); verdict != tcRedirect {
						t.Fatalf("protocol %d: packet %d: verdict %d", proto, i, verdict)
					}
					r.wantTold(fmt.Sprintf("alice %s, bob %s, protocol %d, packet %d", test.alice, test.bob, proto, i), want...)
				}
				f := k.flow(first(there.ports(proto)), second(there.ports(proto)), proto)
				if f == nil || f.Sent.Packets != 2 || f.Received.Packets != 2 {
					t.Errorf("alice %s, bob %s, protocol %d: the flow is %+v", test.alice, test.bob, proto, f)
				}
			}
		})
	}
}

// The flow notes who told of it first, for whoever tells that it expired.
func TestPrivilegedTeller(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		for _, test := range []struct {
			alice, bob     level
			teller, opened uint32
		}{
			{"flows", "flows", alice.slot + 1, 1}, {"none", "flows", bob.slot + 1, 0}, {"flows", "none", alice.slot + 1, 1},
			{"drops", "drops", 0, 0}, {"none", "packets", bob.slot + 1, 0},
		} {
			k := newKernel(t)
			a, b := k.load(alice, options{features: open, level: test.alice}), k.load(bob, options{features: open, level: test.bob})
			there := between(alice, bob, family)
			for range 2 {
				k.run(a.egress, there.transport(udp), fromStack)
				k.run(b.egress, there.turned(bob).answered(udp), fromStack)
			}
			x, y := there.ports(udp)
			if f := k.flow(x, y, udp); f.Teller != test.teller || f.TellerOpened != test.opened {
				t.Errorf("alice %s, bob %s: the teller is %d, opened %d", test.alice, test.bob, f.Teller, f.TellerOpened)
			}
			if test.teller == 0 {
				k.run(k.load(bob, options{features: open, level: "packets"}).egress, there.turned(bob).answered(udp), fromStack)
				if f := k.flow(x, y, udp); f.Teller != bob.slot+1 || f.TellerOpened != 0 {
					t.Errorf("told later, by an answer: the teller is %d, opened %d", f.Teller, f.TellerOpened)
				}
			}
		}
	})
}

func first(a, _ netip.AddrPort) netip.AddrPort  { return a }
func second(_, b netip.AddrPort) netip.AddrPort { return b }

// Drops are told from level drops on, noise among them from level packets on. All are counted.
func TestPrivilegedLevelsOfDrops(t *testing.T) {
	for _, test := range []struct {
		level         level
		denied, noise int
	}{{"none", 0, 0}, {"drops", 1, 0}, {"flows", 1, 0}, {"packets", 1, 1}} {
		k := newKernel(t)
		o := closedBy("policy_egress", answer(0, false))
		o.level = test.level
		a := k.load(alice, o)
		r := k.reader()
		for _, in := range []struct {
			packet []byte
			reason abi.DropReason
			want   int
		}{
			{between(alice, bob, 4).udp(1, 2), abi.DropPolicyDenied, test.denied},
			{alice.to("224.0.0.251").udp(5353, 5353), abi.DropMulticast, test.noise},
		} {
			if _, reason, _ := k.reasonOf(a.egress, abi.DirectionEgress, in.packet, fromStack); reason != in.reason {
				t.Errorf("level %s: dropped for %v, want %v", test.level, reason, in.reason)
			}
			events := r.drain()
			if len(events) != in.want || in.want == 1 && (events[0].Type != abi.EventDrop || events[0].Reason != uint16(in.reason)) {
				t.Errorf("level %s, %v: told %+v", test.level, in.reason, events)
			}
		}
	}
}

// Under audit and learn, what is watched is told at level none only to who learns, and not said twice with the flow.
func TestPrivilegedLevelsOfWatched(t *testing.T) {
	for _, test := range []struct {
		level       level
		enforcement uint8
		want        []uint8
	}{
		{"none", abi.Audit, nil},
		{"none", abi.Learn, []uint8{abi.EventLearn}},
		{"drops", abi.Audit, []uint8{abi.EventAudit}},
		{"flows", abi.Audit, []uint8{abi.EventAudit, abi.EventTrace}},
		{"flows", abi.Learn, []uint8{abi.EventAudit, abi.EventLearn, abi.EventTrace}},
	} {
		k := newKernel(t)
		o := closedBy("policy_egress", answer(2, false))
		o.level, o.enforcement = test.level, test.enforcement
		a := k.load(alice, o)
		k.load(bob, options{features: open, level: "none"})
		r := k.reader()
		k.run(a.egress, between(alice, bob, 4).udp(1, 2), fromStack)
		var got []uint8
		for _, e := range r.drain() {
			got = append(got, e.Type)
			if e.Type == abi.EventTrace && (e.Judged != abi.JudgedNo || e.Cause != abi.CauseNew) {
				t.Errorf("level %s, enforcement %d: the flow is told as %+v", test.level, test.enforcement, e)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("level %s, enforcement %d: told %v, want %v", test.level, test.enforcement, got, test.want)
		}
	}
}

// The host's connections to a container, and its to the host, are told by the container's programs, and counted once.
func TestPrivilegedToldOfHost(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		for _, proto := range protocols(family) {
			for _, opens := range []string{"host", "container"} {
				k := newKernel(t)
				b := k.load(bob, options{features: open})
				r := k.reader()
				out := between(bob, bob, family)
				out.dst = bob.gateway(family)
				in := ends{bob.hostMAC, bob.mac, out.dst, out.src}
				ask, answer, asked, answered := b.egress, b.ingress, out.transport(proto), in.answered(proto)
				if opens == "host" {
					ask, answer, asked, answered = b.ingress, b.egress, in.transport(proto), out.answered(proto)
				}
				for i, want := range [][]string{{"bob>,new"}, nil} {
					k.run(ask, asked, fromStack)
					r.wantTold(fmt.Sprintf("%s opens, protocol %d, packet %d", opens, proto, i), want...)
				}
				k.run(answer, answered, fromStack)
				events := r.wantTold(fmt.Sprintf("%s opens, protocol %d, answer", opens, proto), "bob<,state")
				want := [2]abi.Counter{{Packets: 2, Bytes: 2 * uint64(len(asked))}, {Packets: 1, Bytes: uint64(len(answered))}}
				if len(events) == 1 && [2]abi.Counter{events[0].Sent, events[0].Received} != want {
					t.Errorf("%s opens, protocol %d: told %+v, want totals %v", opens, proto, events[0], want)
				}
			}
		}
	})
}

// A packet that the device cuts into segments counts as so many.
func TestPrivilegedSegmentsCount(t *testing.T) {
	k := newKernel(t)
	a := k.load(alice, options{features: open})
	k.load(bob, options{features: open})
	there := between(alice, bob, 4)
	x, y := there.ports(tcp)
	in := there.tcp(5000, 80, "S")
	k.run(a.egress, in, fromStack)
	o := runOptions(in)
	ctx := context{}
	ctx.Rest[72], ctx.Rest[84] = 7, 1 // gso_segs, gso_size
	o.Context = ctx
	if _, err := a.egress.Run(o); err != nil {
		t.Fatal(err)
	}
	if f := k.flow(x, y, tcp); f.Sent != (abi.Counter{Packets: 8, Bytes: 2 * uint64(len(in))}) {
		t.Errorf("counted %+v", f.Sent)
	}
}

// Packets that are truncated or nonsense are told as drops and in no flow.
func TestPrivilegedToldOfHostile(t *testing.T) {
	k := newKernel(t)
	a := k.load(alice, options{features: open, level: "packets"})
	k.load(bob, options{features: open})
	r := k.reader()
	whole := between(alice, bob, 4).tcp(5000, 80, "S")
	for length := 14; length < len(whole)-4; length++ { // the last four bytes are payload
		o := runOptions(whole[:length])
		verdict, err := a.egress.Run(o)
		if err != nil {
			continue // the kernel itself does not take it
		}
		events := r.drain()
		if verdict != tcDrop || len(events) != 1 || events[0].Type != abi.EventDrop || events[0].Opened != 0 || events[0].Slot != alice.slot {
			t.Errorf("%d bytes: verdict %d, told %+v", length, verdict, events)
		}
	}
}

// eventLimit sets how many events of a class a container may write in a second, and in a burst of one second.
func (k *kernel) eventLimit(class, perSecond uint32) {
	k.t.Helper()
	limit := abi.EventLimit{Cost: 1e9 / uint64(perSecond), Burst: 1e9}
	if err := k.maps["event_limits"].Put(class, limit); err != nil {
		k.t.Fatal(err)
	}
}

// eventBudget is what a container's programs wrote of a class.
func (k *kernel) eventBudget(slot, class uint32) (b abi.EventBudget) {
	k.t.Helper()
	if err := k.maps["event_budget"].Lookup((slot+1)*abi.EventsClasses+class, &b); err != nil {
		k.t.Fatal(err)
	}
	return b
}

// flood gives a packet to a program many times.
func (k *kernel) flood(p *ebpf.Program, packet []byte, times uint32) {
	k.t.Helper()
	o := runOptions(packet)
	o.Repeat = times
	if _, err := p.Run(o); err != nil {
		k.t.Fatal(err)
	}
}
