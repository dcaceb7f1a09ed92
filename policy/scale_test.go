package policy

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/sluice-net/sluice/identity"
)

// thousands is n identities, each of an app of its own, and n rules: app i accepts app i+1 on a port of its own.
func thousands(t testing.TB, n int) (*Set, []KnownIdentity) {
	t.Helper()
	known := make([]KnownIdentity, n)
	policies := make([]*Policy, n)
	for i := range n {
		app := func(n int) string { return fmt.Sprintf("app%d", n) }
		known[i] = KnownIdentity{ID: identity.First + identity.ID(i), Labels: identity.Labels{"app": app(i), identity.LabelNetwork: "net"}}
		from := NewSelector(Requirement{Key: "app", Operator: In, Values: []string{app((i + 1) % n)}})
		policies[i] = &Policy{Name: app(i), Rules: []Rule{{
			Subject: NewSelector(Requirement{Key: "app", Operator: In, Values: []string{app(i)}}), Close: [directions]bool{Ingress: true},
			Clauses: []Clause{{Path: "ingress[0]", Direction: Ingress, Peers: []Peer{{Selector: &from}}, Ports: []PortRule{{
				Path: "ingress[0].toPorts[0]", Ports: []Port{{Protocol: ProtocolTCP, First: uint16(1000 + i), Last: uint16(1000 + i)}}}}}},
		}}}
	}
	set, err := NewSet(policies...)
	if err != nil {
		t.Fatal(err)
	}
	return set, known
}

// resolveAll works out the tables of every identity, from nothing.
func resolveAll(t testing.TB, set *Set, known []KnownIdentity) []Tables {
	universe := NewUniverse(known...)
	all := make([]Tables, len(known))
	for i, k := range known {
		var err error
		if all[i], err = Resolve(set, Subject{Labels: k.Labels}, universe); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestThousandStaySmall: the tables of a thousand identities under a thousand rules take at most 50 MiB, garbage included. The
// time is a row of make bench.
func TestThousandStaySmall(t *testing.T) {
	set, known := thousands(t, 1000)
	var all []Tables
	if allocated := allocatedBy(func() { all = resolveAll(t, set, known) }); allocated > 50<<20 {
		t.Errorf("%d MiB were allocated, at most 50", allocated>>20)
	}
	for i, tables := range all {
		if n := tables.Ingress.Entries(); n == 0 || n != all[0].Ingress.Entries() {
			t.Fatalf("the table of identity %d has %d entries, that of the first %d", i, n, all[0].Ingress.Entries())
		}
	}
}

// allocatedBy is how many bytes f allocates.
func allocatedBy(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// BenchmarkResolveThousand is all tables of a thousand identities under a thousand rules.
func BenchmarkResolveThousand(b *testing.B) {
	set, known := thousands(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		resolveAll(b, set, known)
	}
}

// BenchmarkResolveThousandForAll is one container whose thousand rules all select it and name a thousand peers.
func BenchmarkResolveThousandForAll(b *testing.B) {
	set, peers := manyPolicies(b, 1000, true), fleet(1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Resolve(set, Subject{Labels: peers[3].Labels}, NewUniverse(peers...)); err != nil {
			b.Fatal(err)
		}
	}
}
