package packettest

import (
	"testing"

	"github.com/sluice-net/sluice/internal/abi"
)

func closedBy(policy string, s stub) options {
	return options{features: open.with(map[string]string{"policy_egress": "POLICY_EGRESS", "policy_ingress": "POLICY_INGRESS",
		"policy_publish": "POLICY_PUBLISH"}[policy]),
		policies: map[string]stub{policy: s}}
}

// A policy allows one port to the new connections and refuses the others, in both programs.
func TestPrivilegedPolicyPorts(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		icmp := map[int]uint8{4: icmp4, 6: icmp6}[family]
		ask := map[int]uint16{4: 8 << 8, 6: 128 << 8}[family] // type and code of a ping
		for _, policy := range []string{"policy_egress", "policy_ingress"} {
			for _, allowed := range []uint8{tcp, udp, icmp} {
				k := newKernel(t)
				port := uint16(80)
				if allowed == icmp {
					port = ask
				}
				mine, theirs := options{features: open}, closedBy(policy, onlyPort(allowed, port, 3))
				if policy == "policy_egress" {
					mine, theirs = theirs, mine
				}
				a, b := k.load(alice, mine), k.load(bob, theirs)
				there := between(alice, bob, family)
				for _, proto := range protocols(family) {
					want := uint32(tcDrop)
					if proto == allowed {
						want = tcRedirect
					}
					if verdict, _ := k.run(a.egress, there.transport(proto), fromStack); verdict != want {
						t.Errorf("%s allows protocol %d: protocol %d: verdict %d", policy, allowed, proto, verdict)
					}
					if proto != allowed {
						continue
					}
					if verdict, _ := k.run(b.egress, there.turned(bob).answered(proto), fromStack); verdict != tcRedirect {
						t.Errorf("%s allows protocol %d: its answer: verdict %d", policy, allowed, verdict)
					}
				}
				if verdict, _ := k.run(a.egress, there.udp(5000, 81), fromStack); verdict != tcDrop {
					t.Errorf("%s allows protocol %d: another port: verdict %d", policy, allowed, verdict)
				}
			}
		}
	})
}

// A new revision that forbids a live connection cuts it at its next packet, whichever direction that has; one that
// allows it lets it go on.
func TestPrivilegedRevision(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		for _, policy := range []string{"policy_egress", "policy_ingress"} {
			for _, proto := range protocols(family) {
				k := newKernel(t)
				a, b := k.load(alice, options{features: open}), k.load(bob, options{features: open})
				there := between(alice, bob, family)
				packet, reply := there.transport(proto), there.turned(bob).answered(proto)
				check := func(about string, forward, backward uint32) {
					t.Helper()
					if verdict, _ := k.run(a.egress, packet, fromStack); verdict != forward {
						t.Errorf("%s, protocol %d: %s: verdict %d", policy, proto, about, verdict)
					}
					if verdict, _ := k.run(b.egress, reply, fromStack); verdict != backward {
						t.Errorf("%s, protocol %d: reply: %s: verdict %d", policy, proto, about, verdict)
					}
				}
				replace := func(revision uint32, s stub) {
					o := closedBy(policy, s)
					o.revision = revision
					if policy == "policy_egress" {
						a = k.load(alice, o)
					} else {
						b = k.load(bob, o)
					}
				}
				check("first revision", tcRedirect, tcRedirect)
				replace(2, answer(1, true))
				check("allowed again", tcRedirect, tcRedirect)
				replace(3, answer(2, false))
				check("revoked", tcDrop, tcDrop)
				replace(4, answer(1, true))
				check("allowed at last", tcRedirect, tcRedirect)
			}
		}
	})
}

// An allowed connection is judged once: a policy that changed its mind without a new revision is not asked.
func TestPrivilegedJudgedOnce(t *testing.T) {
	k := newKernel(t)
	k.load(bob, options{features: open})
	there := between(alice, bob, 4)
	a := k.load(alice, closedBy("policy_egress", answer(1, true)))
	k.run(a.egress, there.tcp(5000, 80, "S"), fromStack)
	a = k.load(alice, closedBy("policy_egress", answer(1, false)))
	if verdict, _ := k.run(a.egress, there.tcp(5000, 80, "A"), fromStack); verdict != tcRedirect {
		t.Errorf("same revision: verdict %d", verdict)
	}
	if verdict, _ := k.run(a.egress, there.tcp(5001, 80, "S"), fromStack); verdict != tcDrop {
		t.Errorf("new connection: verdict %d", verdict)
	}
}

// A peer that gets other labels, and so another identity, is judged anew in a live connection.
func TestPrivilegedRelabelledPeer(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		k := newKernel(t)
		a := k.load(alice, options{features: open})
		b := k.load(bob, closedBy("policy_ingress", onlyIdentity(alice.identity, 1)))
		there := between(alice, bob, family)
		if verdict, _ := k.run(a.egress, there.transport(udp), fromStack); verdict != tcRedirect {
			t.Fatalf("verdict %d", verdict)
		}
		relabelled := alice
		relabelled.identity = 999
		k.endpoint(there.src, abi.Endpoint{Ifindex: uint32(alice.ifindex), Identity: 999, Network: 7, Slot: 1})
		a = k.load(relabelled, options{features: open})
		if verdict, _ := k.run(a.egress, there.transport(udp), fromStack); verdict != tcDrop {
			t.Errorf("relabelled: verdict %d", verdict)
		}
		if verdict, _ := k.run(b.egress, there.turned(bob).answered(udp), fromStack); verdict != tcDrop {
			t.Errorf("answer to the relabelled: verdict %d", verdict)
		}
	})
}

// Containers of other networks need a rule of the receiver.
func TestPrivilegedOtherNetwork(t *testing.T) {
	both(t, func(t *testing.T, family int) {
		k := newKernel(t)
		a := k.load(alice, options{features: open})
		c := k.load(carol, options{features: open})
		there := between(alice, carol, family)
		verdict, reason, _ := k.reasonOf(a.egress, abi.DirectionIngress, there.transport(tcp), fromStack)
		if verdict != tcDrop || reason != abi.DropOtherNetwork {
			t.Errorf("verdict %d, %v", verdict, reason)
		}
		c = k.load(carol, closedBy("policy_ingress", onlyIdentity(alice.identity, 1)))
		if verdict, _ = k.run(a.egress, there.transport(tcp), fromStack); verdict != tcRedirect {
			t.Errorf("with a rule: verdict %d", verdict)
		}
		if verdict, _ = k.run(c.egress, there.turned(carol).answered(tcp), fromStack); verdict != tcRedirect {
			t.Errorf("answer: verdict %d", verdict)
		}
	})
}
