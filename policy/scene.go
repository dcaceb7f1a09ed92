package policy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/identity"
)

// Member is one container's place on a network, for reasoning over all of them at once (Graph, Diff, Exposed).
type Member struct {
	Group   string // what people call it: compose's project/service, else the container's name
	ID      identity.ID
	Network string
	Tables  Tables
	// Settings say whether the tables are enforced.
	Settings Settings
	Addrs    []netip.Addr
	// Internal: the network refuses the world. Routed: the world reaches the container under its own address.
	Internal, Routed bool
	Published        []Publication
}

// Publication is a port of the host that leads to one of the container.
type Publication struct {
	Protocol uint8
	Addr     netip.Addr // of the host; unspecified: all of its family
	HostPort uint16
	Port     uint16 // the container's
}

// Names of ends that are no containers.
const (
	NameHost     = "@host"
	NameLAN      = "@lan"
	NameInternet = "@internet"
	NameWorld    = "@world"
)

// egress is what the member may open to a peer of this identity, class and address.
func (m *Member) egress(id identity.ID, class Class, addr netip.Addr) Reach {
	return m.passing(Egress, m.Tables.Egress, id, class, addr)
}

// ingress is what the member accepts.
func (m *Member) ingress(id identity.ID, class Class, addr netip.Addr) Reach {
	return m.passing(Ingress, m.Tables.Ingress, id, class, addr)
}

// passing is what a table that may be nil allows a peer, and what passes all the same.
func (m *Member) passing(d Direction, t *Table, id identity.ID, class Class, addr netip.Addr) Reach {
	var r Reach
	p := profileOf(d, t, id, class, addr)
	for i, e := range p {
		if e.Verdict == Allow || m.Settings.Suspends(d, t, class, e.Rule) {
			r = r.push(e.From, p.end(i))
		}
	}
	return r
}

// profileOf is what a table that may be nil says of a peer.
func profileOf(d Direction, t *Table, id identity.ID, class Class, addr netip.Addr) Profile {
	if t != nil {
		return t.profile(id, class, addr)
	}
	v, _ := openVerdict(d, class, false)
	return Profile{{Verdict: v}}
}

// strict is the member as if its tables were enforced.
func (m Member) strict() *Member {
	m.Settings = Settings{}
	return &m
}

// classOf is what two members are to each other.
func classOf(a, b *Member) Class {
	if a.Network == b.Network {
		return ClassNetwork
	}
	return ClassOther
}

// between is what one member may open to another.
func between(from, to *Member) Reach {
	class := classOf(from, to)
	return from.egress(to.ID, class, netip.Addr{}).And(to.ingress(from.ID, class, netip.Addr{}))
}

// fromWorld is what an address of the world may open to the member, by the member's own ports: directly where the
// network is routed, and by published ports.
func (m *Member) fromWorld(addr netip.Addr) Reach {
	if m.Internal {
		return nil
	}
	var r Reach
	if m.Routed {
		r = m.ingress(identity.World, ClassWorld, addr)
	}
	for _, p := range m.Published {
		if e := m.published(p, addr); e.passes {
			r = r.Or(PortReach(p.Protocol, p.Port, p.Port))
		}
	}
	return r
}

// entry is what becomes of those who use a published port.
type entry struct {
	passes  bool
	verdict Verdict
	rule    RuleRef
}

// published is what becomes of an address of the world that uses a published port.
func (m *Member) published(p Publication, addr netip.Addr) entry {
	if p.Addr.IsValid() && addr.Unmap().Is4() != p.Addr.Unmap().Is4() {
		return entry{}
	}
	v, n, by := m.Tables.JudgePublished(identity.World, ClassWorld, addr, Key(p.Protocol, p.Port), Key(p.Protocol, p.HostPort))
	ref, _ := by.Rule(n)
	return entry{v == Allow || m.Settings.Suspends(Ingress, by, ClassWorld, n), v, ref}
}

// toWorld is what the member may open to an address of the world.
func (m *Member) toWorld(addr netip.Addr) Reach {
	if m.Internal {
		return nil
	}
	return m.egress(identity.World, ClassWorld, addr)
}

// WorldPart is a part of the world that policies treat alike.
type WorldPart struct {
	Name   string     // @lan, @internet, @world, or prefixes
	Sample netip.Addr // an address of it
	ranges []addrRange
}

// Contains tells whether an address belongs to the part.
func (w WorldPart) Contains(a netip.Addr) bool {
	return containsAddr(w.ranges, a)
}

// containsAddr tells whether one of the ranges has the address.
func containsAddr(ranges []addrRange, a netip.Addr) bool {
	a = to16(a)
	return slices.ContainsFunc(ranges, func(r addrRange) bool { return !a.Less(r.first) && !r.last.Less(a) })
}

// SplitWorld cuts a part of the world, NameLAN, NameInternet or a prefix, and of it the family of an address if one is
// given, into parts that the tables judge alike.
func SplitWorld(universe *Universe, name string, prefix netip.Prefix, family netip.Addr, tables ...*Table) []WorldPart {
	lan := universe.lanRanges
	within := lan
	switch {
	case prefix.IsValid():
		within = prefixRanges(prefix)
	case name == NameInternet:
		within = complement(lan)
	}
	pieces := slices.DeleteFunc(worldPieces(tables, slices.Concat(lan, within)), func(p piece) bool {
		return !containsAddr(within, p.first) || family.IsValid() && p.first.Is4In6() != family.Is4()
	})
	parts := partsOf(pieces, lan, func(a netip.Addr) string {
		key := ""
		for _, t := range tables {
			if t != nil {
				key += profileKey(t.profile(identity.World, ClassWorld, a))
			}
			key += "/"
		}
		return key
	})
	for i := range parts {
		if prefix.IsValid() {
			parts[i].Name = rangesName(parts[i].ranges)
			parts[i].Sample = parts[i].ranges[0].first.Unmap()
		}
	}
	return parts
}

// worldParts cuts the world, of the family of an address if one is given, where the tables and the prefixes of the LAN
// do, and puts together what same says is equal, by a key. The part of the addresses that nothing names comes first.
func worldParts(tables []*Table, lan []addrRange, family netip.Addr, same func(sample netip.Addr) string) []WorldPart {
	pieces := worldPieces(tables, lan)
	if family.IsValid() {
		pieces = slices.DeleteFunc(pieces, func(p piece) bool { return p.first.Is4In6() != family.Unmap().Is4() })
	}
	return partsOf(pieces, lan, same)
}

// partsOf puts pieces together and names the parts.
func partsOf(pieces []piece, lan []addrRange, same func(sample netip.Addr) string) []WorldPart {
	inLAN := func(a netip.Addr) bool { return containsAddr(lan, a) }
	type part struct {
		WorldPart
		lan, other bool // has addresses of the LAN, and others
		rest       bool // has addresses that nothing names
	}
	var parts []*part
	byKey := map[string]*part{}
	for _, piece := range pieces {
		key := same(piece.first.Unmap())
		p := byKey[key]
		if p == nil {
			p = &part{WorldPart: WorldPart{Sample: piece.first.Unmap()}}
			byKey[key] = p
			parts = append(parts, p)
		}
		p.ranges = append(p.ranges, piece.addrRange)
		if inLAN(piece.first) {
			p.lan = true
		} else {
			p.other = true
		}
		p.rest = p.rest || !piece.named
	}
	out := make([]WorldPart, 0, len(parts))
	for _, p := range parts {
		whole := func(lanToo bool) bool { // the part is one of the well-known sets
			for _, piece := range pieces {
				if inLAN(piece.first) == lanToo && !p.Contains(piece.first) {
					return false
				}
			}
			return true
		}
		switch {
		case p.lan && p.other && whole(true) && whole(false):
			p.Name = NameWorld
		case p.lan && !p.other && whole(true):
			p.Name = NameLAN
		case !p.lan && (p.rest || whole(false)) && len(lan) > 0:
			p.Name = NameInternet
		case p.rest:
			p.Name = NameWorld
		default:
			p.Name = rangesName(p.ranges)
		}
		if p.rest {
			p.Sample = restSample(p.WorldPart)
			out = append([]WorldPart{p.WorldPart}, out...)
			continue
		}
		out = append(out, p.WorldPart)
	}
	return out
}

// restSample prefers an address for documentation (RFC 5737, RFC 3849) to the first one of all, which no packet has.
func restSample(w WorldPart) netip.Addr {
	for _, s := range []string{"198.51.100.1", "203.0.113.1", "192.0.2.1", "2001:db8::1"} {
		if a := netip.MustParseAddr(s); w.Contains(a) {
			return a
		}
	}
	return w.Sample
}

// piece is a stretch of addresses in which no table and no prefix begins or ends.
type piece struct {
	addrRange
	named bool // a table has a range for it
}

// worldPieces cuts all addresses at the boundaries of ranges and prefixes, and at those of the IPv4 ones.
func worldPieces(tables []*Table, lan []addrRange) []piece {
	cuts := []netip.Addr{netip.IPv6Unspecified(), mappedFirst, mappedLast.Next()}
	add := func(r addrRange) {
		cuts = append(cuts, r.first)
		if next := r.last.Next(); next.IsValid() {
			cuts = append(cuts, next)
		}
	}
	var named []addrRange
	for _, t := range tables {
		if t == nil {
			continue
		}
		for _, r := range t.CIDRs {
			named = append(named, addrRange{r.First, r.Last})
			add(addrRange{r.First, r.Last})
		}
	}
	for _, r := range lan {
		add(r)
	}
	slices.SortFunc(cuts, netip.Addr.Compare)
	cuts = slices.Compact(cuts)
	slices.SortFunc(named, func(a, b addrRange) int { return a.first.Compare(b.first) })
	pieces := make([]piece, len(cuts))
	at := 0
	for i, first := range cuts {
		last := lastAddress
		if i+1 < len(cuts) {
			last = cuts[i+1].Prev()
		}
		for at < len(named) && named[at].last.Less(first) && named[at].first.Less(first) {
			at++
		}
		covered := slices.ContainsFunc(named[at:], func(r addrRange) bool { return !first.Less(r.first) && !r.last.Less(first) })
		pieces[i] = piece{addrRange{first, last}, covered}
	}
	return pieces
}

// mostPrefixes bounds what the name of a part lists.
const mostPrefixes = 8

// rangesName writes ranges as prefixes.
func rangesName(ranges []addrRange) string {
	var words []string
	for _, r := range mergeRanges(ranges) {
		for _, p := range rangePrefixes(r) {
			if len(words) == mostPrefixes {
				return strings.Join(append(words, "…"), ",")
			}
			words = append(words, prefixName(p))
		}
	}
	return strings.Join(words, ",")
}

func prefixName(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// mergeRanges joins neighbours of the same family.
func mergeRanges(ranges []addrRange) []addrRange {
	var out []addrRange
	for _, r := range ranges {
		if n := len(out); n > 0 && out[n-1].last.Next() == r.first && out[n-1].last.Is4In6() == r.first.Is4In6() {
			out[n-1].last = r.last
			continue
		}
		out = append(out, r)
	}
	return out
}

// rangePrefixes is the shortest list of prefixes that are the range, IPv4 in its own form.
func rangePrefixes(r addrRange) []netip.Prefix {
	var out []netip.Prefix
	for first, last := r.first.Unmap(), r.last.Unmap(); first.IsValid() && !last.Less(first); {
		bits := first.BitLen()
		for bits > 0 {
			wider := netip.PrefixFrom(first, bits-1).Masked()
			if wider.Addr() != first || last.Less(lastAddr(wider)) {
				break
			}
			bits--
		}
		p := netip.PrefixFrom(first, bits)
		out = append(out, p)
		first = lastAddr(p).Next()
	}
	return out
}
