package packettest

import (
	"testing"

	"github.com/sluice-net/sluice/internal/abi"
)

// kinds are the types of events, without traces.
func kinds(events []abi.Event) (all []uint8) {
	for _, e := range events {
		if e.Type != abi.EventTrace {
			all = append(all, e.Type)
		}
	}
	return all
}

// Under audit and learn, what a policy denies passes and is told with the rule, once for each connection; learn tells what
// is allowed too. Enforced again, under the same revision, the connection ends at its next packet.
func TestPrivilegedEnforcement(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		for _, side := range []string{"policy_egress", "policy_ingress"} {
			for _, test := range []struct {
				about       string
				enforcement uint8
				allow       bool
				first       []uint8 // events of the first packet
			}{
				{"audit, denied", abi.Audit, false, []uint8{abi.EventAudit}},
				{"audit, allowed", abi.Audit, true, nil},
				{"learn, denied", abi.Learn, false, []uint8{abi.EventAudit, abi.EventLearn}},
				{"learn, allowed", abi.Learn, true, []uint8{abi.EventLearn}},
			} {
				for _, proto := range protocols(family) {
					checkEnforcement(t, family, side, proto, test.about, test.enforcement, test.allow, test.first)
				}
			}
		}
	})
}

func checkEnforcement(t *testing.T, family int, side string, proto uint8, about string, enforcement uint8, allow bool, first []uint8) {
	t.Helper()
	k := newKernel(t)
	r := k.reader()
	a, b := k.load(alice, options{features: open, level: "drops"}), k.load(bob, options{features: open, level: "drops"})
	load := func(enforcement uint8) {
		o := closedBy(side, answer(9, allow))
		o.enforcement, o.revision, o.level = enforcement, 12, "drops"
		if side == "policy_egress" {
			a = k.load(alice, o)
		} else {
			b = k.load(bob, o)
		}
	}
	there := between(alice, bob, family)
	exchange := func(step string, want uint32, events []uint8) {
		t.Helper()
		verdict, _ := k.run(a.egress, there.transport(proto), fromStack)
		if verdict != want {
			t.Errorf("%s of %s, protocol %d: %s: verdict %d", about, side, proto, step, verdict)
		}
		told := r.drain()
		if want == tcRedirect && string(kinds(told)) != string(events) {
			t.Errorf("%s of %s, protocol %d: %s: events %v, want %v", about, side, proto, step, kinds(told), events)
		}
		for _, e := range told {
			reason := uint16(abi.DropPolicyDenied)
			if allow {
				reason = 0
			}
			if e.Rule != 9 || e.Revision != 12 || e.Reason != reason || e.Dport.Host() != 80 && proto != icmp4 && proto != icmp6 {
				t.Errorf("%s of %s, protocol %d: %s: told %+v", about, side, proto, step, e)
			}
		}
		if verdict, _ := k.run(b.egress, there.turned(bob).answered(proto), fromStack); verdict != want {
			t.Errorf("%s of %s, protocol %d: %s: verdict %d of the answer", about, side, proto, step, verdict)
		}
		if told := r.drain(); want == tcRedirect && len(told) != 0 {
			t.Errorf("%s of %s, protocol %d: %s: the answer told %v", about, side, proto, step, kinds(told))
		}
	}
	load(enforcement)
	exchange("first", tcRedirect, first)
	exchange("second", tcRedirect, nil)
	enforced := uint32(tcDrop)
	if allow {
		enforced = tcRedirect
	}
	load(abi.Enforce)
	exchange("enforced", enforced, nil)
	load(enforcement)
	if !allow {
		exchange("let through again", tcRedirect, nil)
	}
	load(abi.Learn)
	if enforcement == abi.Audit { // whoever begins to learn is told the live connections
		want := []uint8{abi.EventLearn}
		if !allow {
			want = []uint8{abi.EventAudit, abi.EventLearn}
		}
		exchange("learnt", tcRedirect, want)
	}
}

// Networks are separate whatever is enforced: from another network only what a rule allows enters.
func TestPrivilegedAuditKeepsNetworksApart(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		there := between(alice, carol, family)
		for name, o := range map[string]options{
			"no policy":      {features: open},
			"denied by rule": closedBy("policy_ingress", answer(3, false)),
		} {
			for _, enforcement := range []uint8{abi.Audit, abi.Learn} {
				k := newKernel(t)
				a := k.load(alice, options{features: open})
				o.enforcement = enforcement
				k.load(carol, o)
				if verdict, _ := k.run(a.egress, there.transport(tcp), fromStack); verdict != tcDrop {
					t.Errorf("%s, enforcement %d: verdict %d", name, enforcement, verdict)
				}
			}
		}
	})
}

// The list of a published port is audited like other policies, and enforced anew at the next packet.
func TestPrivilegedAuditOfPublished(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		o := newOutside(t, "MASQUERADE", "SERVICES")
		host, far := outsideOf(family)
		o.publish(wildcard(family), 80, udp, bob.addr(family), 8000)
		r := o.reader()
		audited := publishing(2, answer(5, false))
		audited.enforcement = abi.Audit
		o.load(bob, audited)
		for i := range 3 {
			if verdict, _ := o.enter(o.inbound(far, host).udp(5000, 80)); verdict != tcRedirect {
				t.Errorf("audit: packet %d: verdict %d", i, verdict)
			}
		}
		told := r.drainOf(abi.EventAudit)
		if len(told) != 1 || told[0].Type != abi.EventAudit || told[0].Rule != 5 || told[0].Side != abi.PolicyPublish || told[0].Frontend.Host() != 80 {
			t.Errorf("told %+v", told)
		}
		o.load(bob, publishing(2, answer(5, false)))
		if verdict, _ := o.enter(o.inbound(far, host).udp(5000, 80)); verdict != tcDrop {
			t.Errorf("enforced: verdict %d", verdict)
		}
	})
}

// More connections than a container may tell of in learn mode pass all the same, and those not told are counted exactly. Its
// flows have a budget of their own.
func TestPrivilegedLearnLoss(t *testing.T) {
	k := newKernel(t)
	k.load(bob, options{features: open, level: "none"})
	a := k.load(alice, options{features: open, enforcement: abi.Learn})
	k.eventLimit(abi.EventsLearn, 100)
	r := k.reader()
	const connections = 3000
	for port := range uint16(connections) {
		if verdict, _ := k.run(a.egress, between(alice, bob, 4).udp(port+1, 80), fromStack); verdict != tcRedirect {
			t.Fatalf("connection %d: verdict %d", port, verdict)
		}
	}
	learnt, flows := 0, 0
	for _, e := range r.drain() {
		switch e.Type {
		case abi.EventLearn:
			learnt++
		case abi.EventTrace:
			flows++
		}
	}
	budget := k.eventBudget(alice.slot, abi.EventsLearn)
	if learnt != int(budget.Written) || learnt+int(budget.Lost) != connections || budget.Lost == 0 {
		t.Errorf("of %d connections %d were learnt, and the budget is %+v", connections, learnt, budget)
	}
	if flows != connections {
		t.Errorf("%d flows were told, want %d", flows, connections)
	}
}
