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
				g.add(from.Group, kinds[j].Group, between(&from.Member, &kinds[j].Member))
			}
		}
		g.add(from.Group, NameHost, from.egress(identity.Host, ClassHost, netip.Addr{}))
		g.add(NameHost, from.Group, from.ingress(identity.Host, ClassHost, netip.Addr{}))
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
type collector map[[2]string]Reach

func (g collector) add(from, to string, r Reach) {
	if len(r) > 0 {
		ends := [2]string{from, to}
		g[ends] = g[ends].Or(r)
	}
}

// world adds what a member and the parts of the world may open to each other.
func (g collector) world(m *Member, lan []addrRange) {
	for _, part := range worldParts([]*Table{m.Tables.Egress}, lan, netip.Addr{}, func(a netip.Addr) string { return m.toWorld(a).key() }) {
		g.add(m.Group, part.Name, m.toWorld(part.Sample))
	}
	in := []*Table{m.Tables.Ingress, m.Tables.Publish}
	for _, part := range worldParts(in, lan, netip.Addr{}, func(a netip.Addr) string { return m.fromWorld(a).key() }) {
		g.add(part.Name, m.Group, m.fromWorld(part.Sample))
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
	for ends, r := range g {
		out = append(out, Edge{ends[0], ends[1], r})
	}
	slices.SortFunc(out, func(a, b Edge) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	return out
}
