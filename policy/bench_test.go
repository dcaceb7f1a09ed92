package policy

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/sluice-net/sluice/identity"
)

// fleet is n identities of n/10 apps on two networks.
func fleet(n int) []KnownIdentity {
	list := make([]KnownIdentity, n)
	for i := range list {
		list[i] = KnownIdentity{ID: identity.First + identity.ID(i), Labels: identity.Labels{
			"app": fmt.Sprintf("app%d", i%(n/10+1)), "instance": fmt.Sprintf("i%d", i),
			identity.LabelProject: fmt.Sprintf("p%d", i%7), identity.LabelNetwork: []string{"front", "back"}[i%2],
		}}
	}
	return list
}

func selectApp(format string, n int) Selector {
	return NewSelector(Requirement{Key: "app", Operator: In, Values: []string{fmt.Sprintf(format, n)}})
}

// manyPolicies allow app i+1 → app i on two ports, and deny a tenth of them something; with all, each selects
// every container.
func manyPolicies(t testing.TB, n int, all bool) *Set {
	policies := make([]*Policy, n)
	for i := range policies {
		subject, from := selectApp("app%d", i%21), selectApp("app%d", (i+1)%21)
		if all {
			subject = Selector{}
			from = NewSelector(Requirement{Key: "instance", Operator: In, Values: []string{fmt.Sprintf("i%d", i%200)}})
		}
		ports := []PortRule{{Path: "ingress[0].toPorts[0]", Ports: []Port{
			{Protocol: ProtocolTCP, First: uint16(1000 + i), Last: uint16(1000 + i)},
			{Protocol: ProtocolUDP, First: 53, Last: 53},
		}}}
		policies[i] = &Policy{Name: fmt.Sprintf("p%04d", i), Rules: []Rule{{
			Subject: subject, Close: [directions]bool{true, true},
			Clauses: []Clause{
				{Path: "ingress[0]", Direction: Ingress, Peers: []Peer{{Selector: &from}}, Ports: ports},
				{Path: "egress[0]", Direction: Egress, Deny: i%10 == 0, Peers: []Peer{{Selector: &from}}, Ports: ports},
			},
		}}}
	}
	set, err := NewSet(policies...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// cidrPolicies is one container with n prefixes of both families on one port, some nested, one of them everything.
func cidrPolicies(t testing.TB, n int) *Set {
	c := Clause{Path: "egress[0]", Direction: Egress, Ports: []PortRule{{Path: "egress[0].toPorts[0]",
		Ports: []Port{{Protocol: ProtocolTCP, First: 443, Last: 443}}}}}
	for i := range n {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24+i%8).Masked()
		if i%2 == 1 {
			prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 8), byte(i)}), 48).Masked()
		}
		c.Peers = append(c.Peers, Peer{Prefix: prefix})
	}
	deny := Clause{Path: "egressDeny[0]", Direction: Egress, Deny: true, AnyPort: true,
		Peers: []Peer{{Prefix: netip.MustParsePrefix("10.128.0.0/9")}}}
	set, err := NewSet(&Policy{Name: "cidrs", Rules: []Rule{{Close: [directions]bool{true, false}, Clauses: []Clause{c, deny}}}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// overlappingCIDRs is n policies, each of which allows everything but a prefix of its own.
func overlappingCIDRs(t testing.TB, n int) *Set {
	policies := make([]*Policy, n)
	for i := range policies {
		policies[i] = &Policy{Name: fmt.Sprintf("p%04d", i), Rules: []Rule{{Clauses: []Clause{{
			Path: "egress[0]", Direction: Egress, Deny: i%2 == 0,
			Ports: []PortRule{{Path: "egress[0].toPorts[0]", Ports: []Port{{Protocol: ProtocolTCP, First: 443, Last: 443}}}},
			Peers: []Peer{{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Except: []netip.Prefix{
				netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)}}},
		}}}}}
	}
	set, err := NewSet(policies...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

type load struct {
	name    string
	set     *Set
	subject Subject
	peers   []KnownIdentity
	budget  uint64 // bytes for one container, twice what is needed
}

func loads(t testing.TB) []load {
	peers := fleet(200)
	wide := Clause{Path: "ingress[0]", Direction: Ingress, Peers: []Peer{{Entity: EntityAll}}}
	for i := range 5000 {
		wide.Ports = append(wide.Ports, PortRule{Path: fmt.Sprintf("ingress[0].toPorts[%d]", i),
			Ports: []Port{{Protocol: ProtocolTCP, First: uint16(2 * i), Last: uint16(2 * i)}}})
	}
	ports, err := NewSet(&Policy{Name: "ports", Rules: []Rule{{Clauses: []Clause{wide}}}})
	if err != nil {
		t.Fatal(err)
	}
	each := Clause{Path: "ingress[0]", Direction: Ingress, AnyPort: true}
	for i := range 5000 {
		s := NewSelector(Requirement{Key: "instance", Operator: In, Values: []string{fmt.Sprintf("i%d", i)}})
		each.Peers = append(each.Peers, Peer{Selector: &s})
	}
	identities, err := NewSet(&Policy{Name: "identities", Rules: []Rule{{Close: [directions]bool{Ingress: true}, Clauses: []Clause{each}}}})
	if err != nil {
		t.Fatal(err)
	}
	subject := Subject{Labels: peers[3].Labels}
	return []load{
		{"1000 policies, 48 select", manyPolicies(t, 1000, false), subject, peers, 1 << 20},
		{"1000 policies, all select", manyPolicies(t, 1000, true), subject, peers, 4 << 20},
		{"5000 prefixes", cidrPolicies(t, 5000), subject, peers, 14 << 20},
		{"1000 overlapping prefixes", overlappingCIDRs(t, 1000), subject, peers, 3 << 20},
		{"5000 ports", ports, subject, peers, 17 << 20},
		{"5000 identities", identities, subject, fleet(5000), 7 << 20},
	}
}

// BenchmarkResolve resolves one container while the universe stays (what a policy change costs per container).
func BenchmarkResolve(b *testing.B) {
	for _, l := range loads(b) {
		b.Run(l.name, func(b *testing.B) {
			universe := NewUniverse(l.peers...)
			var egress, ingress *Table
			for b.Loop() {
				var err error
				if egress, ingress, err = resolveBoth(l.set, l.subject, universe); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(egress.Entries()+ingress.Entries()), "entries")
		})
	}
}

// BenchmarkSetWith replaces one policy among 1000.
func BenchmarkSetWith(b *testing.B) {
	set := manyPolicies(b, 1000, false)
	one := set.List()[500]
	for b.Loop() {
		if _, err := set.With(one); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNewUniverse indexes 5000 identities.
func BenchmarkNewUniverse(b *testing.B) {
	peers := fleet(5000)
	for b.Loop() {
		NewUniverse(peers...)
	}
}

// BenchmarkHash is the comparison that decides whether a container's programs are touched.
func BenchmarkHash(b *testing.B) {
	l := loads(b)[2]
	egress, _, err := resolveBoth(l.set, l.subject, NewUniverse(l.peers...))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		_ = egress.Hash()
	}
}

// TestResolveStaysSmall guards against tables that grow with the square of rules, peers or prefixes: so would what is allocated.
func TestResolveStaysSmall(t *testing.T) {
	for _, l := range loads(t) {
		universe := NewUniverse(l.peers...)
		entries := 0
		allocated := allocatedBy(func() {
			egress, ingress, err := resolveBoth(l.set, l.subject, universe)
			if err != nil {
				t.Fatal(err)
			}
			entries = egress.Entries() + ingress.Entries()
		})
		if entries == 0 {
			t.Errorf("%s: no entries", l.name)
		}
		if allocated > l.budget {
			t.Errorf("%s: %d KiB for one container, at most %d", l.name, allocated>>10, l.budget>>10)
		}
		t.Logf("%s: %d entries, %d KiB", l.name, entries, allocated>>10)
	}
}
