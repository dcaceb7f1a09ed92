package compile

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/sluice-net/sluice/datapath/compile/trial"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/policy"
)

// TestPrivilegedAnswers: the loaded function answers every question as the table does, whatever its form.
func TestPrivilegedAnswers(t *testing.T) {
	testutil.Privileged(t)
	shapes := []shape{{0, 0, 0}, {1, 1, 1}, {3, 2, 4}, {20, 10, 8}, {300, 60, 30}, {2000, 500, 100}}
	for _, limit := range []int{1 << 15, -1} {
		for _, s := range shapes {
			t.Run(fmt.Sprintf("limit=%d/%+v", limit, s), func(t *testing.T) {
				for seed := range uint64(8) {
					r := rand.New(rand.NewPCG(seed, uint64(s.identities)))
					table := randomTable(r, s)
					f, data, err := Compile(table, limit)
					if err != nil {
						t.Fatal(err)
					}
					p := load(t, f, data)
					for range 400 {
						q := randomQuestion(r, table)
						want := evaluate(table, q)
						if got := ask(t, p, q); got != want {
							t.Fatalf("seed %d: %+v: answer %#x, want %#x", seed, q, got, want)
						}
						verdict, rule := table.Lookup(q.Identity, q.Class, q.Addr, q.Key)
						if got := uint32(rule)<<8 | uint32(verdict); got != want {
							t.Fatalf("seed %d: %+v: package policy answers %#x, want %#x", seed, q, got, want)
						}
					}
				}
			})
		}
	}
}

// TestRefused: a table that is not what package policy promises is refused rather than guessed at.
func TestRefused(t *testing.T) {
	deny := policy.Profile{{}}
	at := netip.MustParseAddr
	for name, table := range map[string]policy.Table{
		"identities out of order": {Identities: []policy.IdentityProfile{{ID: 5, Profile: deny}, {ID: 4, Profile: deny}}},
		"identity twice":          {Identities: []policy.IdentityProfile{{ID: 5, Profile: deny}, {ID: 5, Profile: deny}}},
		"ports out of order":      {Identities: []policy.IdentityProfile{{ID: 5, Profile: policy.Profile{{From: 2}, {From: 1}}}}},
		"default out of order":    {Defaults: [policy.Classes]policy.Profile{{{From: 2}, {From: 2}}}},
		"ranges overlap": {CIDRs: []policy.RangeProfile{
			{First: at("10.0.0.0"), Last: at("10.0.0.9"), Profile: deny}, {First: at("10.0.0.9"), Last: at("10.0.1.0"), Profile: deny}}},
		"range ends before it starts": {CIDRs: []policy.RangeProfile{{First: at("10.0.0.1"), Last: at("10.0.0.0"), Profile: deny}}},
		"range after the last address": {CIDRs: []policy.RangeProfile{
			{First: at("ff::"), Last: at("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), Profile: deny}, {First: at("ff::"), Last: at("ff::"), Profile: deny}}},
		"range without addresses": {CIDRs: []policy.RangeProfile{{Profile: deny}}},
	} {
		if _, _, err := Compile(&table, 0); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestPrivilegedWorldCovered: ranges that cover the world leave its default to nobody, in either form.
func TestPrivilegedWorldCovered(t *testing.T) {
	testutil.Privileged(t)
	at := netip.MustParseAddr
	allow, deny := policy.Profile{{Verdict: policy.Allow, Rule: 1}}, policy.Profile{{}}
	table := &policy.Table{
		Defaults: [policy.Classes]policy.Profile{deny, deny, deny, {{Verdict: policy.Allow, Rule: 9}}},
		CIDRs:    []policy.RangeProfile{{First: at("::"), Last: at("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), Profile: allow}},
		Rules:    make([]policy.RuleRef, 9),
	}
	for _, limit := range []int{1 << 15, -1} {
		f, data, err := Compile(table, limit)
		if err != nil {
			t.Fatal(err)
		}
		p := load(t, f, data)
		for _, a := range []string{"192.0.2.1", "2001:db8::1"} {
			if got := ask(t, p, trial.Question{Class: policy.ClassWorld, Addr: at(a)}); got != 1<<8|uint32(policy.Allow) {
				t.Errorf("limit %d: %s: answer %#x", limit, a, got)
			}
		}
	}
}

func TestForms(t *testing.T) {
	large := &policy.Table{}
	for i := range 5000 {
		large.Identities = append(large.Identities, policy.IdentityProfile{ID: identity.ID(300 + i),
			Profile: policy.Profile{{}, {From: uint32(i + 1), Verdict: policy.Allow}}})
	}
	for _, c := range []struct {
		name  string
		table *policy.Table
		limit int
		tree  bool
	}{
		{"empty", &policy.Table{}, 0, true},
		{"empty, always searched", &policy.Table{}, -1, false},
		{"large", large, 0, false},
		{"large, any size", large, 1 << 30, false}, // jumps have 16 bits
	} {
		f, data, err := Compile(c.table, c.limit)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if tree := data == nil; tree != c.tree {
			t.Errorf("%s: tree %t, want %t", c.name, tree, c.tree)
		}
		if limit := max(c.limit, DefaultLimit); c.tree && f.Len() > limit {
			t.Errorf("%s: %d instructions, want at most %d", c.name, f.Len(), limit)
		}
	}
}

// TestTreeSize: the bound by which the form is chosen holds.
func TestTreeSize(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		n, err := normalise(randomTable(r, shape{30, 20, 20}))
		if err != nil {
			t.Fatal(err)
		}
		f, err := compileTree(n)
		if err != nil {
			t.Fatal(err)
		}
		if f.Len() > n.treeSize() {
			t.Fatalf("seed %d: %d instructions, bound %d", seed, f.Len(), n.treeSize())
		}
	}
}

// TestSteps: a search among any number of elements can end at each of them and never beyond.
func TestSteps(t *testing.T) {
	for count := range 200 {
		reached := map[int]bool{0: true}
		for _, step := range steps(count) {
			for at := range maps.Clone(reached) {
				reached[at+step] = true
			}
		}
		for at := range max(count, 1) {
			if !reached[at] {
				t.Fatalf("among %d elements, %d is never found", count, at)
			}
		}
		if len(reached) != max(count, 1) {
			t.Fatalf("among %d elements, the search reaches %d", count, len(reached))
		}
	}
}

func TestEqualProfilesAreOne(t *testing.T) {
	table := &policy.Table{}
	for i := range 100 {
		table.Identities = append(table.Identities, policy.IdentityProfile{ID: identity.ID(300 + i), Profile: policy.Profile{
			{}, {From: 80, Verdict: policy.Allow, Rule: 1}, {From: 80 + uint32(1+i%2), Verdict: policy.Deny}}})
	}
	n, err := normalise(table)
	if err != nil {
		t.Fatal(err)
	}
	if len(n.profiles) != 3 { // and the defaults'
		t.Errorf("%d profiles, want 3", len(n.profiles))
	}
}

// sized is a table of so many entries in all: peers with ports of their own, and ranges of the world.
func sized(entries int) *policy.Table {
	t := &policy.Table{}
	for i := range entries {
		key := 6<<16 | uint32(i%50*100+80)
		p := policy.Profile{{}, {From: key, Verdict: policy.Allow, Rule: 1}, {From: key + 1}}
		if i%10 == 9 {
			first := netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 0})
			last := netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 255})
			t.CIDRs = append(t.CIDRs, policy.RangeProfile{First: first, Last: last, Profile: p})
			continue
		}
		t.Identities = append(t.Identities, policy.IdentityProfile{ID: identity.First + identity.ID(i)*3, Profile: p})
	}
	return t
}

var sizes = []int{1, 16, 64, 128, 256, 1024, 5000}

func BenchmarkCompile(b *testing.B) {
	for _, n := range sizes {
		table := sized(n)
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Compile(table, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPrivilegedLoad measures what the verifier takes for either form.
func BenchmarkPrivilegedLoad(b *testing.B) {
	testutil.Privileged(b)
	for _, n := range sizes {
		for name, limit := range map[string]int{"tree": 1 << 30, "search": -1} {
			f, data, err := Compile(sized(n), limit)
			if err != nil {
				b.Fatal(err)
			}
			if name == "tree" && data != nil {
				continue
			}
			b.Run(fmt.Sprintf("%s/entries=%d", name, n), func(b *testing.B) {
				for b.Loop() {
					load(b, f, data).Close()
				}
				b.ReportMetric(float64(f.Len()), "insns")
			})
		}
	}
}
