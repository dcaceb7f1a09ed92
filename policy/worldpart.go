package policy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/identity"
)

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

// Single tells whether the part is one address.
func (w WorldPart) Single() bool {
	return len(w.ranges) == 1 && w.ranges[0].first == w.ranges[0].last
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
			own, name := intersect(within, lan), prefix.String()
			parts[i].Name = nameOf(parts[i].ranges, set{name, within}, set{"@lan of " + name, own}, set{name + " but @lan", minus(within, own)})
		}
		parts[i].Sample = usable(parts[i])
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
		case p.lan && !p.other:
			p.Name = nameOf(p.ranges, set{NameLAN, lanOf(pieces, inLAN)})
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

// mostExceptions is how many prefixes a part may lack and still be named by what it is a part of.
const mostExceptions = 3

// set is addresses that have a name.
type set struct {
	name   string
	ranges []addrRange
}

// nameOf names ranges, as most of one of the sets if that is shorter: "@lan but 192.0.2.1".
func nameOf(ranges []addrRange, sets ...set) string {
	name := rangesName(ranges)
	for _, s := range sets {
		if len(minus(ranges, s.ranges)) > 0 {
			continue
		}
		rest := minus(s.ranges, ranges)
		if len(rest) == 0 {
			return s.name
		}
		if words := strings.Split(rangesName(rest), ","); len(words) <= mostExceptions && len(words) < strings.Count(name, ",")+1 {
			return s.name + " but " + strings.Join(words, ",")
		}
	}
	return name
}

// lanOf are the pieces of the LAN.
func lanOf(pieces []piece, inLAN func(netip.Addr) bool) []addrRange {
	var ranges []addrRange
	for _, p := range pieces {
		if inLAN(p.first) {
			ranges = append(ranges, p.addrRange)
		}
	}
	return ranges
}

// minus is what the ranges have and the others have not, intersect what both have.
func minus(ranges, others []addrRange) []addrRange {
	for _, r := range others {
		ranges = cut(ranges, r)
	}
	return ranges
}

func intersect(ranges, others []addrRange) []addrRange { return minus(ranges, minus(ranges, others)) }

// unusable are prefixes of addresses that nobody sends to.
var unusable = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/127"), netip.MustParsePrefix("ff00::/8")}

// usable is an address of the part that a packet may have, if there is one.
func usable(w WorldPart) netip.Addr {
	if !slices.ContainsFunc(unusable, func(p netip.Prefix) bool { return p.Contains(w.Sample) }) {
		return w.Sample
	}
	rest := w.ranges
	for _, p := range unusable {
		rest = minus(rest, prefixRanges(p))
	}
	if len(rest) == 0 {
		return w.Sample
	}
	return rest[0].first.Unmap()
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
