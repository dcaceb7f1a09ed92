package policy

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/identity"
)

// Edge says what one end may open to another. Ends are groups of containers, NameHost, or parts of the world.
type Edge struct {
	From, To string
	Reach    Reach
	// Unenforced is what of it passes only because a policy that denies it is not enforced (Audit, Learn).
	Unenforced Reach
}

// Graph tells who may open what to whom: both policies, the sender's egress and the receiver's ingress, must allow it,
// and a way must exist. What concerns the world is by the containers' own ports. Ends of nothing are left out.
func Graph(members []Member, universe *Universe) []Edge {
	g := collector{}
	kinds := kindsOf(members)
	for i := range kinds {
		from := &kinds[i]
		for j := range kinds {
			if i != j || from.count > 1 {
				to := &kinds[j].Member
				g.add(from.Group, to.Group, between(&from.Member, to), between(from.strict(), to.strict()))
			}
		}
		strict := from.strict()
		g.add(from.Group, NameHost, from.egress(identity.Host, ClassHost, netip.Addr{}), strict.egress(identity.Host, ClassHost, netip.Addr{}))
		g.add(NameHost, from.Group, from.ingress(identity.Host, ClassHost, netip.Addr{}), strict.ingress(identity.Host, ClassHost, netip.Addr{}))
		g.world(&from.Member, universe.lanRanges)
	}
	return g.edges()
}

// kind is what containers of one group, identity and network have in common: everything but addresses and ports.
type kind struct {
	Member
	count int
}

// kindsOf puts like members together.
func kindsOf(members []Member) []kind {
	type key struct {
		group, network string
		id             identity.ID
	}
	var kinds []kind
	at := map[key]int{}
	for _, m := range members {
		k := key{m.Group, m.Network, m.ID}
		i, ok := at[k]
		if !ok {
			at[k] = len(kinds)
			kinds = append(kinds, kind{m, 1})
			continue
		}
		kinds[i].count++
		kinds[i].Published = slices.Concat(kinds[i].Published, m.Published)
	}
	return kinds
}

// collector gathers edges, the reaches of equal ends together.
type collector map[[2]string]*Edge

// add adds what passes, of it what would if all policies were enforced.
func (g collector) add(from, to string, r, strict Reach) {
	if len(r) == 0 {
		return
	}
	ends := [2]string{from, to}
	if g[ends] == nil {
		g[ends] = &Edge{From: from, To: to}
	}
	e := g[ends]
	e.Reach, e.Unenforced = e.Reach.Or(r), e.Unenforced.Or(r.Minus(strict))
}

// world adds what a member and the parts of the world may open to each other.
func (g collector) world(m *Member, lan []addrRange) {
	strict := m.strict()
	out := func(a netip.Addr) string { return m.toWorld(a).key() + "/" + strict.toWorld(a).key() }
	for _, part := range worldParts([]*Table{m.Tables.Egress}, lan, netip.Addr{}, out) {
		g.add(m.Group, part.Name, m.toWorld(part.Sample), strict.toWorld(part.Sample))
	}
	in := func(a netip.Addr) string { return m.fromWorld(a).key() + "/" + strict.fromWorld(a).key() }
	for _, part := range worldParts([]*Table{m.Tables.Ingress, m.Tables.Publish}, lan, netip.Addr{}, in) {
		g.add(part.Name, m.Group, m.fromWorld(part.Sample), strict.fromWorld(part.Sample))
	}
}

// key is short and equal for equal reaches.
func (r Reach) key() string {
	var b strings.Builder
	for _, s := range r {
		b.WriteString(strconv.FormatUint(uint64(s.From), 36) + "-" + strconv.FormatUint(uint64(s.To), 36) + " ")
	}
	return b.String()
}

// edges are sorted by their ends.
func (g collector) edges() []Edge {
	out := make([]Edge, 0, len(g))
	for _, e := range g {
		out = append(out, *e)
	}
	slices.SortFunc(out, func(a, b Edge) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	return out
}
