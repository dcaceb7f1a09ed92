package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/policy"
)

// lot draws random policies from few words, so that they meet often.
type lot struct{ *rand.Rand }

func one[T any](r lot, from ...T) T { return from[r.IntN(len(from))] }

func (r lot) labels() identity.Labels {
	return identity.Labels{"app": one(r, "a", "b", "c"), "tier": one(r, "x", "y"), identity.LabelNetwork: one(r, "one", "two")}
}

func (r lot) peer() policy.Peer {
	switch r.IntN(4) {
	case 0:
		return policy.Peer{Entity: one(r, policy.EntityAll, policy.EntityWorld, policy.EntityHost, policy.EntityCluster, policy.EntityNone)}
	case 1:
		s := policy.NewSelector(policy.Requirement{Key: one(r, "app", "tier"), Operator: one(r, policy.In, policy.NotIn),
			Values: []string{one(r, "a", "b", "x")}})
		return policy.Peer{Selector: &s}
	}
	return policy.Peer{Prefix: netip.MustParsePrefix(one(r, "0.0.0.0/0", "192.0.2.0/24", "192.0.2.8/30", "192.0.2.9/32", "::/0",
		"2001:db8::/32", "2001:db8::8/126")), Except: nil}
}

func (r lot) port() policy.Port {
	switch r.IntN(6) {
	case 0:
		return policy.Port{AnyProtocol: true, Last: 0xffff}
	case 1:
		echo := one[uint16](r, 8<<8, 128<<8)
		return policy.Port{Protocol: one[uint8](r, policy.ProtocolICMP, policy.ProtocolICMPv6), First: echo, Last: echo | 0xff}
	case 2:
		return policy.Port{AnyProtocol: true, First: 53, Last: 8080}
	}
	first := one[uint16](r, 53, 80, 443)
	return policy.Port{Protocol: one[uint8](r, policy.ProtocolTCP, policy.ProtocolUDP, policy.ProtocolSCTP), First: first,
		Last: first + one[uint16](r, 0, 0, 30, 400)}
}

func (r lot) clause(i int) policy.Clause {
	c := policy.Clause{Path: fmt.Sprintf("clause[%d]", i), Direction: one(r, policy.Egress, policy.Ingress), Deny: r.IntN(3) == 0}
	for range 1 + r.IntN(2) {
		c.Peers = append(c.Peers, r.peer())
	}
	if c.AnyPort = r.IntN(4) == 0; c.AnyPort {
		return c
	}
	for j := range 1 + r.IntN(2) {
		c.Ports = append(c.Ports, policy.PortRule{Path: fmt.Sprintf("clause[%d].ports[%d]", i, j), Ports: []policy.Port{r.port(), r.port()}})
	}
	return c
}

// publish is a list of who may reach a published port, or all that no other list of the rule is about.
func (r lot) publish(i int) policy.PublishRule {
	pub := policy.PublishRule{Path: fmt.Sprintf("publish[%d]", i), Port: one[uint16](r, 0, 8080, 8443), Peers: []policy.Peer{r.peer()}}
	if pub.Port != 0 {
		pub.Protocol = one[uint8](r, 0, policy.ProtocolTCP, policy.ProtocolUDP)
	}
	return pub
}

// policies are so many that select everybody.
func (r lot) policies(t *testing.T) *policy.Set {
	t.Helper()
	var list []*policy.Policy
	for i := range 1 + r.IntN(4) {
		rule := policy.Rule{Subject: policy.NewSelector()}
		for d := range rule.Close {
			rule.Close[d] = r.IntN(2) == 0
		}
		for j := range 1 + r.IntN(5) {
			rule.Clauses = append(rule.Clauses, r.clause(j))
		}
		for j := range r.IntN(3) {
			rule.Publish = append(rule.Publish, r.publish(j))
		}
		list = append(list, &policy.Policy{Name: fmt.Sprintf("p%d", i), Rules: []policy.Rule{rule}})
	}
	set, err := policy.NewSet(list...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// party is one whom the container that is asked about meets: a container of either network, the host or the world.
type party struct {
	addrs   [2]string
	id      identity.ID
	network uint32
	slot    uint32
}

func (r lot) parties(t *testing.T, l *Loader) (all []party, known []policy.KnownIdentity) {
	t.Helper()
	for i := range uint32(6) {
		labels := r.labels()
		p := party{addrs: [2]string{fmt.Sprintf("10.1.0.%d", 10+i), fmt.Sprintf("fd00::1:%d", i)}, id: identity.ID(300 + i), slot: 20 + i,
			network: map[string]uint32{"one": 1, "two": 2}[labels[identity.LabelNetwork]]}
		known = append(known, policy.KnownIdentity{ID: p.id, Labels: labels})
		all = append(all, p)
		open := sample(p.slot)
		open.Identity, open.Network, open.Revision = uint32(p.id), p.network, 1
		open.IPv4, open.IPv6 = netip.MustParsePrefix(p.addrs[0]+"/16"), netip.MustParsePrefix(p.addrs[1]+"/64")
		open.Ingress = only(0)
		open.Ingress.Rules = nil
		for c := range open.Ingress.Defaults {
			open.Ingress.Defaults[c] = policy.Profile{{Verdict: policy.Allow}}
		}
		mustReplace(t, l, open)
		for _, a := range p.addrs {
			key := abi.FromAddr(netip.MustParseAddr(a))
			if err := l.Map("endpoints").Put(&key, &abi.Endpoint{Identity: uint32(p.id), Network: p.network, Slot: p.slot}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return append(all, party{addrs: [2]string{gateway, gateway6}, id: identity.Host}, party{addrs: [2]string{world, world6}, id: identity.World},
		party{addrs: [2]string{"192.0.2.200", "2001:db9::1"}, id: identity.World}), known
}

func (r lot) question(p party) Question {
	q := Question{Direction: one(r, policy.Egress, policy.Ingress), Peer: netip.MustParseAddr(p.addrs[r.IntN(2)]),
		Protocol: one[uint8](r, policy.ProtocolTCP, policy.ProtocolUDP, policy.ProtocolSCTP, policy.ProtocolICMP),
		Port:     one[uint16](r, 52, 53, 80, 81, 110, 111, 443, 8080, 8081, 65535)}
	if q.Protocol == policy.ProtocolICMP {
		q.Port = 8 << 8
		if q.Peer.Is6() {
			q.Protocol, q.Port = policy.ProtocolICMPv6, 128<<8
		}
	}
	if q.Direction == policy.Ingress && (q.Protocol == policy.ProtocolTCP || q.Protocol == policy.ProtocolUDP) {
		q.HostPort = one[uint16](r, 0, 0, 8080, 8443, 9000)
	}
	return q
}

// TestPrivilegedAgreement: the rules themselves, the loaded programs asked and the loaded programs given a packet say the
// same, of a tree as of a search.
func TestPrivilegedAgreement(t *testing.T) {
	testutil.Privileged(t)
	for form, limit := range map[string]int{"tree": 1 << 15, "search": -1} {
		t.Run(form, func(t *testing.T) {
			o := loaderOptions(t, pinDir(t))
			o.TreeLimit = limit
			l, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			peopled(t, l)
			rounds, seen := 12, [3]int{} // the last: by rules of published ports
			if testing.Short() {
				rounds = 3
			}
			for seed := range uint64(rounds) {
				agree(t, l, lot{rand.New(rand.NewPCG(seed, 28))}, uint32(seed), &seen)
			}
			if seen[policy.Allow] < 20*rounds || seen[policy.Deny] < 20*rounds || seen[2] < 2*rounds {
				t.Errorf("%d allowed, %d denied, %d published: the questions say little", seen[policy.Allow], seen[policy.Deny], seen[2])
			}
		})
	}
}

// agree asks 100 questions about a container of random policies.
func agree(t *testing.T, l *Loader, r lot, round uint32, seen *[3]int) {
	t.Helper()
	set := r.policies(t)
	parties, known := r.parties(t, l)
	subject, universe := policy.Subject{Labels: identity.Labels{"app": "a", identity.LabelNetwork: "one"}}, policy.NewUniverse(known...)
	subject.PublishDefault = one(r, policy.PublishAny, policy.PublishLAN, policy.PublishNone)
	tables, err := policy.Resolve(set, subject, universe)
	if err != nil {
		t.Fatal(err)
	}
	p := sample(1)
	p.Revision, p.Masquerade = 100+round, false // the world is judged too
	p.Egress, p.Ingress, p.Publish = tables.Egress, tables.Ingress, tables.Publish
	mustReplace(t, l, p)
	for range 100 {
		who := one(r, parties...)
		q := r.question(who)
		want := policy.Explain(set, subject, universe, policy.Question{Direction: q.Direction, Peer: who.id, Addr: q.Peer,
			Protocol: q.Protocol, Port: q.Port, Published: q.HostPort})
		got, err := l.Explain(1, q)
		if err != nil {
			t.Fatal(err)
		}
		table := tables.Ingress
		switch {
		case got.Published:
			table = tables.Publish
		case q.Direction == policy.Egress:
			table = tables.Egress
		}
		ref, _ := table.Rule(got.Rule)
		if got.Passes() != (want.Verdict == policy.Allow) || ref != want.Rule {
			t.Errorf("round %d: %+v of %d: the program says %s by %q, the rules say %s by %q", round, q, who.id, got.Reason, ref, want.Verdict, want.Rule)
		}
		if denied := l.deniesPacket(t, q, who); denied != (want.Verdict == policy.Deny) {
			t.Errorf("round %d: %+v of %d: the packet is denied: %t, the rules say %s", round, q, who.id, denied, want.Verdict)
		}
		if seen[want.Verdict]++; got.Published {
			seen[2]++
		}
	}
}

// deniesPacket gives the question's packet to the program as a real one, and says whether a policy drops it.
func (l *Loader) deniesPacket(t *testing.T, q Question, who party) bool {
	t.Helper()
	array := map[policy.Direction]string{policy.Egress: egressSlots, policy.Ingress: ingressSlots}[q.Direction]
	id := ebpf.ProgramID(inSlot(t, l, array, 1))
	program, err := ebpf.NewProgramFromID(id)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	own, err := l.ownEnd(id, q.Peer)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := l.endpoint(q.Peer)
	if err != nil {
		t.Fatal(err)
	}
	in := skb{}
	if q.Direction == policy.Ingress {
		in.CB = q.question(peer)
		in.CB[0] &^= abi.ExplainMask
	}
	before, packet := policyDrops(t, l), q.packet(own)
	if q.HostPort != 0 {
		l.enterPublished(t, q, own, packet)
	}
	if _, err := program.Run(&ebpf.RunOptions{Data: packet, Context: &in}); err != nil {
		t.Fatal(err)
	}
	forget(t, l)
	return policyDrops(t, l) > before
}

// enterPublished makes the flow that a connection by a published port has when its packet comes to the container's program.
func (l *Loader) enterPublished(t *testing.T, q Question, own end, packet []byte) {
	t.Helper()
	header := 40
	if q.Peer.Is4() {
		header = 20
	}
	ports := packet[14+header:]
	key := abi.Tuple{Lo: abi.FromAddr(own.addr), Hi: abi.FromAddr(q.Peer), LoPort: abi.ToBE16(q.Port), Proto: q.Protocol,
		HiPort: abi.ToBE16(binary.BigEndian.Uint16(ports))}
	var clock unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &clock); err != nil {
		t.Fatal(err)
	}
	f := abi.Flow{Last: uint32(clock.Nano() >> 30), Flags: abi.FlowDNAT, DNATPort: abi.ToBE16(q.HostPort)}
	if q.Peer.Less(own.addr) {
		key.Lo, key.Hi, key.LoPort, key.HiPort = key.Hi, key.Lo, key.HiPort, key.LoPort
		f.Flags |= abi.FlowInitiatorLo
	}
	name := "flows_any"
	if q.Protocol == policy.ProtocolTCP {
		name = "flows_tcp"
	}
	if err := l.Map(name).Put(&key, &f); err != nil {
		t.Fatal(err)
	}
}

func policyDrops(t *testing.T, l *Loader) (n uint64) {
	t.Helper()
	for _, d := range []uint32{abi.DirectionEgress, abi.DirectionIngress} {
		for _, reason := range []abi.DropReason{abi.DropPolicyDenied, abi.DropOtherNetwork, abi.DropPublishDenied} {
			var perCPU []abi.Counter
			if err := l.Map("metrics").Lookup(d*abi.DropReasons+uint32(reason), &perCPU); err != nil {
				t.Fatal(err)
			}
			for _, c := range perCPU {
				n += c.Packets
			}
		}
	}
	return n
}

// forget removes all flows, so that the next packet is a first one.
func forget(t *testing.T, l *Loader) {
	t.Helper()
	for _, name := range []string{"flows_tcp", "flows_any"} {
		m := l.Map(name)
		for {
			key, err := m.NextKeyBytes(nil)
			if err != nil {
				t.Fatal(err)
			}
			if key == nil {
				break
			}
			if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				t.Fatal(err)
			}
		}
	}
}
