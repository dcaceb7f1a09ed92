package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sluice-net/sluice/identity"
)

// generator makes random policies, universes and questions from a small vocabulary, so that they meet often.
type generator struct{ *rand.Rand }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

func (g generator) labels() identity.Labels {
	l := identity.Labels{}
	for _, key := range []string{"app", "tier", "env"} {
		if g.IntN(3) > 0 {
			l[key] = pick(g, "a", "b", "c")
		}
	}
	if g.IntN(2) == 0 {
		l[identity.LabelProject] = pick(g, "p", "q")
	}
	if g.IntN(3) == 0 {
		l[identity.PrefixPort+"http"] = pick(g, "80", "8080", "53/udp")
	}
	l[identity.LabelNetwork] = pick(g, "front", "back")
	for range g.IntN(3) {
		key := pick(g, "egress", "ingress", "egress.deny", "ingress.deny", "publish", "publish.80", "publish.53/udp", "profile", "mode")
		l[LabelPrefix+key] = g.labelValue(key, l)
	}
	return l
}

// labelValue is a value that the container may have.
func (g generator) labelValue(key string, l identity.Labels) string {
	switch key {
	case "profile":
		return pick(g, "open", "balanced", "locked")
	case "mode":
		return pick(g, "enforce", "audit", "learn")
	}
	var items []string
	for range 1 + g.IntN(3) {
		peer := pick(g, "@net", "@host", "@lan", "@internet", "@cluster", "@any", "@none", "@world", "p/b", "name:a", "net:back",
			"label:app=a", "label:app!=a&tier", "label:app in (a, b)", "10.1.0.0/16", "10.1.2.3", "[2001:db8::/32]")
		if _, ok := l[identity.LabelProject]; ok && g.IntN(4) == 0 {
			peer = pick(g, "a", "b")
		}
		if !strings.HasPrefix(key, "publish") {
			peer += pick(g, "", "", ":80", ":{53,80-443}/udp", ":*/icmp", ":8/icmp", ":443/any", ":udp")
		}
		items = append(items, peer)
	}
	return strings.Join(items, ", ")
}

func (g generator) selector() Selector {
	var list []Requirement
	for range g.IntN(3) {
		r := Requirement{Key: pick(g, "app", "tier", "env", identity.LabelProject, LabelNamespace), Operator: Operator(g.IntN(4))}
		if r.Operator == In || r.Operator == NotIn {
			for range 1 + g.IntN(2) {
				r.Values = append(r.Values, pick(g, "a", "b", "c", "p", "default"))
			}
		}
		list = append(list, r)
	}
	return NewSelector(list...)
}

func (g generator) peer() Peer {
	switch g.IntN(6) {
	case 0, 1:
		return Peer{Entity: pick(g, EntityAll, EntityWorld, EntityHost, EntityCluster, EntityNone, EntityNet, EntityLAN, EntityInternet)}
	case 2, 3:
		s := g.selector()
		return Peer{Selector: &s, SameProject: g.IntN(4) == 0}
	}
	p := Peer{Prefix: netip.MustParsePrefix(pick(g, "0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32",
		"255.255.255.255/32", "::/0", "2001:db8::/32", "2001:db8:1::/48", "ffff::/16", "::/1"))}
	for range g.IntN(3) {
		e := netip.MustParsePrefix(pick(g, "10.1.2.0/25", "10.1.128.0/17", "2001:db8:1:2::/64", "10.0.0.0/9", "::/3"))
		if p.Prefix.Overlaps(e) && e.Bits() >= p.Prefix.Bits() {
			p.Except = append(p.Except, e)
		}
	}
	return p
}

func (g generator) port() Port {
	p := Port{AnyProtocol: g.IntN(3) == 0, Protocol: pick[uint8](g, ProtocolTCP, ProtocolUDP, ProtocolSCTP, ProtocolICMP, 47)}
	if p.AnyProtocol {
		p.Protocol = 0
	}
	switch g.IntN(5) {
	case 0:
		p.Last = 0xffff
	case 1:
		p.Name = "http"
	case 2:
		p.First = pick[uint16](g, 1, 53, 80, 443)
		p.Last = p.First + uint16(g.IntN(9000))
	default:
		p.First = pick[uint16](g, 53, 80, 443, 2048, 65535)
		p.Last = p.First
	}
	return p
}

func (g generator) clause(path string) Clause {
	c := Clause{Path: path, Direction: Direction(g.IntN(2)), Deny: g.IntN(3) == 0, AnyPort: g.IntN(3) == 0}
	for range g.IntN(3) {
		c.Peers = append(c.Peers, g.peer())
	}
	if !c.AnyPort {
		for i := range g.IntN(3) {
			pr := PortRule{Path: fmt.Sprintf("%s.toPorts[%d]", path, i)}
			for range g.IntN(4) {
				pr.Ports = append(pr.Ports, g.port())
			}
			c.Ports = append(c.Ports, pr)
		}
	}
	return c
}

func (g generator) set(t testing.TB, n int) *Set {
	var policies []*Policy
	for i := range n {
		p := &Policy{Name: fmt.Sprintf("p%04d", i)}
		for range 1 + g.IntN(2) {
			r := Rule{Subject: g.selector(), Close: [directions]bool{g.IntN(2) == 0, g.IntN(2) == 0}}
			for j := range g.IntN(4) {
				r.Clauses = append(r.Clauses, g.clause(fmt.Sprintf("clause[%d]", j)))
			}
			for j := range g.IntN(3) {
				r.Publish = append(r.Publish, PublishRule{Path: fmt.Sprintf("publish[%d]", j), Port: pick[uint16](g, 0, 80, 53),
					Protocol: pick[uint8](g, 0, ProtocolUDP), Peers: []Peer{g.peer()}})
			}
			if g.IntN(6) == 0 {
				r.Preset = Preset(g.IntN(len(presetNames)))
			}
			p.Rules = append(p.Rules, r)
		}
		policies = append(policies, p)
	}
	set, err := NewSet(policies...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func (g generator) universe(n int) []KnownIdentity {
	list := make([]KnownIdentity, n)
	for i := range list {
		list[i] = KnownIdentity{ID: identity.First + identity.ID(i), Labels: g.labels()}
	}
	return list
}

func (g generator) subject() Subject {
	s := Subject{
		Labels: g.labels(), Mode: pick(g, ModeDefault, ModeDefault, ModeDefault, ModeAlways, ModeNever), Isolate: g.IntN(4) == 0,
		PublishDefault: pick(g, PublishAny, PublishAny, PublishLAN, PublishNone),
	}
	for range g.IntN(3) {
		s.Resolvers = append(s.Resolvers, pick(g, Resolver{Addr: netip.MustParseAddr("9.9.9.9"), ID: identity.World},
			Resolver{Addr: netip.MustParseAddr("2001:db8::1"), ID: identity.World}, Resolver{ID: identity.Host},
			Resolver{Addr: netip.MustParseAddr("10.1.2.9"), ID: identity.First}))
	}
	return s
}

var someAddresses = []string{"10.1.2.3", "10.1.2.4", "10.1.2.200", "10.1.200.1", "10.200.0.1", "9.9.9.9", "0.0.0.0", "255.255.255.255",
	"2001:db8::1", "2001:db8:1::1", "2001:db8:1:2::3", "::1", "fe80::1", "ffff::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::"}

func (g generator) question(known []KnownIdentity) Question {
	q := Question{
		Direction: Direction(g.IntN(2)),
		Protocol:  pick[uint8](g, ProtocolTCP, ProtocolUDP, ProtocolSCTP, ProtocolICMP, 47, 0, 255),
		Port:      pick[uint16](g, 0, 1, 52, 53, 54, 79, 80, 81, 443, 444, 2048, 2049, 8080, 9000, 65535),
		Addr:      netip.MustParseAddr(pick(g, someAddresses...)),
	}
	if g.IntN(3) == 0 {
		q.Published = pick[uint16](g, 80, 53, 443)
	}
	switch g.IntN(5) {
	case 0:
		q.Peer = identity.Host
	case 1:
		q.Peer = identity.World
	case 2:
		q.Peer, q.Network = 99999, pick(g, "front", "back")
	default:
		q.Peer = known[g.IntN(len(known))].ID
	}
	return q
}

// TestFlattenedEqualsRules: the table says what the rules say, verdict and rule, for every question.
func TestFlattenedEqualsRules(t *testing.T) {
	rounds := 400
	if testing.Short() {
		rounds = 50
	}
	for seed := range rounds {
		g := generator{rand.New(rand.NewPCG(uint64(seed), 1))}
		set, known, subject := g.set(t, g.IntN(12)), g.universe(1+g.IntN(12)), g.subject()
		universe := NewUniverse(known...)
		if g.IntN(2) == 0 {
			universe = universe.WithLAN([]netip.Prefix{netip.MustParsePrefix("9.9.0.0/16"), netip.MustParsePrefix("2001:db8:1::/48")})
		}
		tables, err := Resolve(set, subject, universe)
		if err != nil {
			t.Fatal(err)
		}
		for name, table := range map[string]*Table{"egress": tables.Egress, "ingress": tables.Ingress, "publish": tables.Publish} {
			if err := table.Validate(); err != nil {
				t.Fatalf("seed %d: %s: %v", seed, name, err)
			}
		}
		for range 200 {
			q := g.question(known)
			want := Explain(set, subject, universe, q)
			verdict, n, table := tables.judge(q, want.Class)
			if ref, _ := table.Rule(n); verdict != want.Verdict || ref != want.Rule {
				t.Fatalf("seed %d: %+v: the table says %s by %q, the rules %s by %q (%s)", seed, q, verdict, ref, want.Verdict, want.Rule, want.Why)
			}
		}
	}
}

// judge answers a question from the tables.
func (t Tables) judge(q Question, class Class) (Verdict, uint16, *Table) {
	key := Key(q.Protocol, q.Port)
	table := t.Egress
	if q.Direction == Ingress {
		table = t.Ingress
		if q.Published != 0 {
			return t.JudgePublished(q.Peer, class, q.Addr, key, Key(q.Protocol, q.Published))
		}
	}
	verdict, n := Judge(q.Direction, table, q.Peer, class, q.Addr, key)
	return verdict, n, table
}

// TestNotMentionedTouchesNothing: an identity that Mentions does not name leaves the tables as they are.
func TestNotMentionedTouchesNothing(t *testing.T) {
	touched, untouched := 0, 0
	for seed := range 300 {
		g := generator{rand.New(rand.NewPCG(uint64(seed), 2))}
		set, known, subject := g.set(t, g.IntN(6)), g.universe(4), g.subject()
		newcomer := KnownIdentity{ID: 5000, Labels: g.labels()}
		before, err := Resolve(set, subject, NewUniverse(known...))
		if err != nil {
			t.Fatal(err)
		}
		after, err := Resolve(set, subject, NewUniverse(append(known, newcomer)...))
		if err != nil {
			t.Fatal(err)
		}
		same := before.Hash() == after.Hash()
		if !set.Mentions(subject.Labels, newcomer.Labels) {
			untouched++
			if !same {
				t.Fatalf("seed %d: the tables changed:\n%s", seed, cmp.Diff(before, after))
			}
		} else if !same {
			touched++
		}
	}
	if touched < 20 || untouched < 20 {
		t.Errorf("the test tests little: %d touched, %d untouched", touched, untouched)
	}
}

// TestPolicyThatSelectsNotTouchesNothing: a policy that does not select a subject leaves its tables as they are.
func TestPolicyThatSelectsNotTouchesNothing(t *testing.T) {
	for seed := range 300 {
		g := generator{rand.New(rand.NewPCG(uint64(seed), 3))}
		before, added, subject, universe := g.set(t, 4), g.set(t, 6), g.subject(), NewUniverse(g.universe(5)...)
		var list []*Policy
		for _, p := range added.List() {
			if !p.Selects(subject.Labels) {
				list = append(list, p)
			}
		}
		after, err := before.With(list...)
		if err != nil {
			t.Fatal(err)
		}
		// Replaced policies may have selected the subject before.
		replaced := false
		for _, p := range list {
			old := before.Get(p.Key())
			replaced = replaced || old != nil && old.Selects(subject.Labels)
		}
		e1, i1, err1 := resolveBoth(before, subject, universe)
		e2, i2, err2 := resolveBoth(after, subject, universe)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if !replaced && (e1.Hash() != e2.Hash() || i1.Hash() != i2.Hash()) {
			t.Fatalf("seed %d: the tables changed", seed)
		}
	}
}

// TestResolveIsDeterministic: equal arguments give equal tables, whatever the order in which they were collected.
func TestResolveIsDeterministic(t *testing.T) {
	for seed := range 50 {
		g := generator{rand.New(rand.NewPCG(uint64(seed), 4))}
		set, known, subject := g.set(t, 8), g.universe(8), g.subject()
		e1, i1, err := resolveBoth(set, subject, NewUniverse(known...))
		if err != nil {
			t.Fatal(err)
		}
		policies := set.List()
		g.Shuffle(len(policies), func(i, j int) { policies[i], policies[j] = policies[j], policies[i] })
		g.Shuffle(len(known), func(i, j int) { known[i], known[j] = known[j], known[i] })
		shuffled, err := NewSet(policies...)
		if err != nil {
			t.Fatal(err)
		}
		e2, i2, err := resolveBoth(shuffled, subject, NewUniverse(known...))
		if err != nil {
			t.Fatal(err)
		}
		for _, pair := range [][2]*Table{{e1, e2}, {i1, i2}} {
			if pair[0].Hash() != pair[1].Hash() {
				t.Errorf("seed %d: hashes differ", seed)
			}
			if diff := cmp.Diff(pair[0], pair[1], cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("seed %d: %s", seed, diff)
			}
		}
	}
}
