package policy

import (
	"net/netip"
	"slices"

	"github.com/sluice-net/sluice/identity"
)

// entityClasses are the classes of peers that an entity stands for.
var entityClasses = map[Entity][]Class{
	EntityAll:     {ClassNetwork, ClassOther, ClassHost, ClassWorld},
	EntityWorld:   {ClassWorld},
	EntityHost:    {ClassHost},
	EntityCluster: {ClassNetwork, ClassOther, ClassHost},
	EntityNone:    {},
	EntityNet:     {ClassNetwork},

	EntityLAN:      {}, // and the addresses that the universe says
	EntityInternet: {}, // and the rest of the world
}

// compiledClause is a clause with its peers sorted by how the table holds them.
type compiledClause struct {
	rank          rank
	classes       [Classes]bool
	selectors     []compiledSelector
	ranges        []addrRange // of the world, disjoint per peer
	lan, internet bool
	atoms         []atom
}

type compiledSelector struct {
	selector    *Selector
	key         string // canonical string
	sameProject bool
}

// of is the selector as it counts for a subject; false: no container can match.
func (s compiledSelector) of(subject identity.Labels) (compiledSelector, bool) {
	if !s.sameProject {
		return s, true
	}
	project, ok := subject[labelProject]
	if !ok {
		return s, false
	}
	own := Requirement{Key: labelProject, Operator: In, Values: []string{project}}
	selector := NewSelector(append(slices.Clone(s.selector.Requirements), own)...)
	return compiledSelector{selector: &selector, key: selector.String()}, true
}

// atom is the unit that verdicts are traced to: a clause without ports, or one of its port rules.
type atom struct {
	ref   RuleRef
	spans []span // rule is not set yet
	named []Port
}

func compileRule(p *Policy, r *Rule) compiledRule {
	c := compiledRule{policy: p, rule: r}
	for i := range r.Clauses {
		clause := &r.Clauses[i]
		c.clauses[clause.Direction] = append(c.clauses[clause.Direction], compileClause(p, clause))
	}
	c.publish = compilePublish(p, r)
	return c
}

// add enters a peer.
func (c *compiledClause) add(peer *Peer) {
	switch {
	case peer.Domain != "": // no name is resolved yet
	case peer.Selector != nil && peer.Selector.Any() && !peer.SameProject:
		c.classes[ClassNetwork], c.classes[ClassOther] = true, true
	case peer.Selector != nil:
		c.selectors = append(c.selectors, compiledSelector{peer.Selector, peer.Selector.String(), peer.SameProject})
	case peer.Prefix.IsValid():
		c.ranges = append(c.ranges, subtract(peer.Prefix, peer.Except)...)
	default:
		for _, class := range entityClasses[peer.Entity] {
			c.classes[class] = true
		}
		c.lan = c.lan || peer.Entity == EntityLAN
		c.internet = c.internet || peer.Entity == EntityInternet
	}
}

// rankOf is the precedence of a clause.
func rankOf(p *Policy, deny bool) rank {
	switch {
	case !deny:
		return rankAllow
	case p.Origin == OriginLabel:
		return rankOwnDeny
	}
	return rankDeny
}

func compileClause(p *Policy, clause *Clause) compiledClause {
	c := compiledClause{rank: rankOf(p, clause.Deny)}
	for i := range clause.Peers {
		c.add(&clause.Peers[i])
	}
	if clause.AnyPort {
		c.atoms = []atom{{ref: RuleRef{Policy: p.Key(), Rule: clause.Path}, spans: []span{{to: maxKey}}}}
		return c
	}
	for _, pr := range clause.Ports {
		a := atom{ref: RuleRef{Policy: p.Key(), Rule: pr.Path}}
		for _, port := range pr.Ports {
			if port.Name != "" {
				a.named = append(a.named, port)
				continue
			}
			a.spans = append(a.spans, port.spans()...)
		}
		c.atoms = append(c.atoms, a)
	}
	return c
}

// spans are the keys of a Profile that a numeric port covers.
func (p Port) spans() []span {
	if p.AnyProtocol && p.First == 0 && p.Last == 0xffff {
		return []span{{to: maxKey}}
	}
	protocols := []uint8{p.Protocol}
	if p.AnyProtocol {
		protocols = portProtocols
	}
	list := make([]span, 0, len(protocols))
	for _, proto := range protocols {
		list = append(list, span{from: Key(proto, p.First), to: Key(proto, p.Last)})
	}
	return list
}

// resolveNamed are the keys that named ports cover at a destination that has these ports.
func resolveNamed(named []Port, ports []NamedPort) []span {
	var list []span
	for _, want := range named {
		for _, have := range ports {
			if have.Name == want.Name && (want.AnyProtocol || want.Protocol == have.Protocol) {
				key := Key(have.Protocol, have.Port)
				list = append(list, span{from: key, to: key})
			}
		}
	}
	return list
}

// mentions tells whether the clause gives an identity with these labels a profile of its own in a table of the subject.
func (c *compiledClause) mentions(subject, peer identity.Labels, d Direction) bool {
	for _, s := range c.selectors {
		if s, ok := s.of(subject); ok && s.selector.Matches(peer) {
			return true
		}
	}
	if d != Egress || !(c.classes[ClassNetwork] || c.classes[ClassOther]) {
		return false
	}
	ports, _ := PortsFromLabels(peer)
	return slices.ContainsFunc(c.atoms, func(a atom) bool { return len(resolveNamed(a.named, ports)) > 0 })
}

// addrRange is a range of addresses in 16-byte form, both ends included.
type addrRange struct{ first, last netip.Addr }

// Where the IPv4 addresses lie among the v4-mapped ones: an IPv6 prefix that contains them means the others.
var (
	mappedFirst = netip.MustParseAddr("::ffff:0.0.0.0")
	mappedLast  = netip.MustParseAddr("::ffff:255.255.255.255")
)

// subtract gives the ranges of a prefix without its exceptions, ascending.
func subtract(prefix netip.Prefix, except []netip.Prefix) []addrRange {
	list := prefixRanges(prefix)
	for _, e := range except {
		for _, hole := range prefixRanges(e) {
			list = cut(list, hole)
		}
	}
	return list
}

// prefixRanges is one range, or the two around the v4-mapped addresses for a short IPv6 prefix.
func prefixRanges(p netip.Prefix) []addrRange {
	r := addrRange{first: to16(p.Masked().Addr()), last: to16(lastAddr(p))}
	if p.Addr().Is4() || r.last.Less(mappedFirst) || mappedLast.Less(r.first) {
		return []addrRange{r}
	}
	return cut([]addrRange{r}, addrRange{mappedFirst, mappedLast})
}

// cut takes a hole out of ascending ranges.
func cut(list []addrRange, hole addrRange) []addrRange {
	var result []addrRange
	for _, r := range list {
		if r.last.Less(hole.first) || hole.last.Less(r.first) {
			result = append(result, r)
			continue
		}
		if r.first.Less(hole.first) {
			result = append(result, addrRange{r.first, hole.first.Prev()})
		}
		if hole.last.Less(r.last) {
			result = append(result, addrRange{hole.last.Next(), r.last})
		}
	}
	return result
}

// lastAddr is the last address of a prefix, in its own family.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

// to16 is the 16-byte form: IPv4 becomes v4-mapped; zones are dropped.
func to16(a netip.Addr) netip.Addr { return netip.AddrFrom16(a.As16()) }
