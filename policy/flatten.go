package policy

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/sluice-net/sluice/identity"
)

// rank says which of several spans counts: the greatest. Within a rank it is the smallest rule. This is the order of
// precedence that docs/policy.md promises.
type rank uint8

const (
	rankDefault rank = iota // allowed where nothing is said
	rankClosed              // default deny of a part of the ports
	rankAllow               // allowed by a label or a policy
	rankOwnDeny             // denied by a label of the container
	rankImplied             // allowed whatever labels say: Docker's DNS
	rankDeny                // denied by a policy
	ranks
)

func (r rank) verdict() Verdict {
	if r == rankDefault || r == rankAllow || r == rankImplied {
		return Allow
	}
	return Deny
}

// layers are spans of rules by rank.
type layers [ranks][]span

func (l *layers) add(r rank, spans []span) { l[r] = append(l[r], spans...) }

func (l *layers) fill() {
	for r := range l {
		l[r] = fill(l[r])
	}
}

// over merges two sets of layers and puts them over the base.
func (l *layers) over(base cell, below *layers) cells {
	var both layers
	for r := range l {
		both[r] = fill(slices.Concat(below[r], l[r]))
	}
	return overlay(base, &both)
}

// flattener makes one direction's table. Clauses are added in the order in which rules take precedence as names.
type flattener struct {
	direction Direction
	subject   *Subject
	universe  *Universe

	refs    []RuleRef    // rule n is refs[n-1]
	denies  map[int]bool // rules that are an administrator's denies
	firm    int          // rules from 1 to firm are about peers, the rest says what holds where none is
	base    [Classes]cell
	classes [Classes]layers
	peers   map[int]*layers // by index in the universe
	world   []rangeSpans

	profiles map[string]cells // by key of class and layers
	interned map[string]cells // by content
}

// rangeSpans are the spans of one rule for one range of the world's addresses.
type rangeSpans struct {
	addrRange
	rank  rank
	rule  int
	spans []span
}

func newFlattener(d Direction, subject *Subject, u *Universe) *flattener {
	return &flattener{direction: d, subject: subject, universe: u, denies: map[int]bool{}, peers: map[int]*layers{}, profiles: map[string]cells{}, interned: map[string]cells{}}
}

// ref enters a rule's name and returns its number.
func (f *flattener) ref(r RuleRef) int {
	f.refs = append(f.refs, r)
	return len(f.refs)
}

// setBase says what holds where no rule matches: default deny, or the open direction's verdicts. What was added before
// are rules about peers.
func (f *flattener) setBase(closing *RuleRef) {
	rule := 0
	if closing != nil {
		rule = f.ref(*closing)
	}
	for class := range f.base {
		f.base[class] = cell{verdict: Deny, rule: rule}
		if closing != nil {
			continue
		}
		verdict, why := openVerdict(f.direction, Class(class), f.subject.Isolate)
		f.base[class].verdict = verdict
		if why != nil {
			f.base[class].rule = f.ref(*why)
		}
	}
}

// add enters a clause's atoms for the peers that it is about.
func (f *flattener) add(c *compiledClause) {
	ranges := f.ranged(c)
	for i := range c.atoms {
		a := &c.atoms[i]
		rule := f.ref(a.ref)
		f.denies[rule] = c.rank == rankDeny
		spans := numbered(a.spans, rule)
		named := a.named
		if f.direction == Ingress { // named ports are the subject's own
			spans = append(spans, numbered(resolveNamed(named, f.subject.Ports), rule)...)
			named = nil
		}
		f.addClasses(c, spans)
		f.addNamed(c, named, rule)
		f.addSelected(c, spans, named, rule)
		for _, r := range ranges {
			if len(spans) > 0 {
				f.world = append(f.world, rangeSpans{addrRange: r, rank: c.rank, rule: rule, spans: spans})
			}
		}
	}
}

// ranged are the addresses of the world that a clause is about.
func (f *flattener) ranged(c *compiledClause) []addrRange {
	ranges := c.ranges
	if c.lan {
		ranges = slices.Concat(ranges, f.universe.lanRanges)
	}
	if c.internet {
		ranges = slices.Concat(ranges, complement(f.universe.lanRanges))
	}
	return ranges
}

func (f *flattener) addClasses(c *compiledClause, spans []span) {
	for class, in := range c.classes {
		if in {
			f.classes[class].add(c.rank, spans)
		}
	}
}

// addNamed gives the containers of whole classes what named ports mean at them.
func (f *flattener) addNamed(c *compiledClause, named []Port, rule int) {
	if len(named) == 0 {
		return
	}
	seen := map[int]bool{}
	for _, p := range named {
		for _, i := range f.universe.withPort[p.Name] {
			if !seen[i] && c.classes[f.class(i)] {
				seen[i] = true
				f.peer(i).add(c.rank, numbered(resolveNamed(named, f.universe.peers[i].Ports), rule))
			}
		}
	}
}

func (f *flattener) addSelected(c *compiledClause, spans []span, named []Port, rule int) {
	for _, s := range c.selectors {
		s, ok := s.of(f.subject.Labels)
		if !ok {
			continue
		}
		for _, i := range f.universe.matching(s) {
			f.peer(i).add(c.rank, spans)
			if len(named) > 0 {
				f.peer(i).add(c.rank, numbered(resolveNamed(named, f.universe.peers[i].Ports), rule))
			}
		}
	}
}

// addResolvers enters what Docker's embedded DNS needs.
func (f *flattener) addResolvers() {
	if len(f.subject.Resolvers) == 0 {
		return
	}
	rule := f.ref(RuleRef{Rule: RuleDNS})
	spans := numbered(dnsSpans, rule)
	for _, r := range f.subject.Resolvers {
		switch i := f.universe.index(r.ID); {
		case r.ID == identity.Host:
			f.classes[ClassHost].add(rankImplied, spans)
		case i >= 0:
			f.peer(i).add(rankImplied, spans)
		case r.Addr.IsValid():
			addr := to16(r.Addr)
			f.world = append(f.world, rangeSpans{addrRange: addrRange{addr, addr}, rank: rankImplied, rule: rule, spans: spans})
		}
	}
}

// dnsSpans are what DNS servers are asked on.
var dnsSpans = []span{{from: Key(ProtocolTCP, 53), to: Key(ProtocolTCP, 53)}, {from: Key(ProtocolUDP, 53), to: Key(ProtocolUDP, 53)}}

func (f *flattener) peer(i int) *layers {
	l := f.peers[i]
	if l == nil {
		l = &layers{}
		f.peers[i] = l
	}
	return l
}

// class is that of a container of the universe.
func (f *flattener) class(i int) Class {
	if f.universe.peers[i].Network == f.subject.Network {
		return ClassNetwork
	}
	return ClassOther
}

// numbered copies spans with the rule's number.
func numbered(spans []span, rule int) []span {
	list := slices.Clone(spans)
	for i := range list {
		list[i].rule = rule
	}
	return list
}

// profile overlays layers on a class's own; equal layers share the result.
func (f *flattener) profile(class Class, l *layers) cells {
	key := layersKey(class, l)
	if p, ok := f.profiles[key]; ok {
		return p
	}
	p := l.over(f.base[class], &f.classes[class])
	content := p.key()
	if same, ok := f.interned[content]; ok {
		p = same
	}
	f.interned[content], f.profiles[key] = p, p
	return p
}

func (c cells) key() string {
	key := make([]byte, 0, 8*len(c))
	for _, e := range c {
		key = binary.AppendUvarint(key, uint64(e.from))
		key = append(key, byte(e.verdict))
		key = binary.AppendUvarint(key, uint64(e.rule))
	}
	return string(key)
}

func layersKey(class Class, l *layers) string {
	key := []byte{byte(class)}
	for _, list := range l {
		key = binary.AppendUvarint(key, uint64(len(list)))
		for _, s := range list {
			key = binary.AppendUvarint(key, uint64(s.rule))
			key = binary.AppendUvarint(key, uint64(s.from))
			key = binary.AppendUvarint(key, uint64(s.to))
		}
	}
	return string(key)
}

// table makes the result. Profiles that say what the class's says anyway are left out.
func (f *flattener) table() *Table {
	for class := range f.classes {
		f.classes[class].fill()
	}
	var defaults [Classes]cells
	for class := range defaults {
		defaults[class] = f.profile(Class(class), &layers{})
	}
	b := newBuilder(f.refs)
	for class := range defaults {
		b.need(defaults[class])
	}
	type listed struct {
		i int
		p cells
	}
	var identities []listed
	for i, l := range f.peers {
		class := f.class(i)
		if p := f.profile(class, l); !slices.Equal(p, defaults[class]) {
			identities = append(identities, listed{i, p})
			b.need(p)
		}
	}
	slices.SortFunc(identities, func(x, y listed) int { return cmp.Compare(x.i, y.i) })
	ranges := f.ranges(defaults[ClassWorld])
	for _, r := range ranges {
		b.need(r.profile)
	}

	rules, denies, base := b.rules(f.denies, f.firm)
	t := &Table{Rules: rules, Denies: denies, Base: base}
	for class := range defaults {
		t.Defaults[class] = b.profile(defaults[class])
	}
	for _, e := range identities {
		t.Identities = append(t.Identities, IdentityProfile{ID: f.universe.peers[e.i].ID, Profile: b.profile(e.p)})
	}
	for _, r := range ranges {
		t.CIDRs = append(t.CIDRs, RangeProfile{First: r.first, Last: r.last, Profile: b.profile(r.profile)})
	}
	return t
}

type profiledRange struct {
	addrRange
	profile cells
}

// ranges sweeps over the world's addresses and gives every stretch between two boundaries its profile.
func (f *flattener) ranges(world cells) []profiledRange {
	type event struct {
		at   netip.Addr
		ends bool // at is the first address after the range
		i    int
	}
	events := make([]event, 0, 2*len(f.world))
	for i, r := range f.world {
		events = append(events, event{at: r.first, i: i})
		if next := r.last.Next(); next.IsValid() {
			events = append(events, event{at: next, ends: true, i: i})
		}
	}
	slices.SortFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	var (
		result []profiledRange
		active = newActive(f.world)
	)
	for n := 0; n < len(events); {
		at := events[n].at
		for ; n < len(events) && events[n].at == at; n++ {
			active.change(events[n].i, events[n].ends)
		}
		last := lastAddress
		if n < len(events) {
			last = events[n].at.Prev()
		}
		if active.empty() {
			continue
		}
		p := f.profile(ClassWorld, active.layers())
		if slices.Equal(p, world) {
			continue
		}
		if k := len(result); k > 0 && result[k-1].last.Next() == at && slices.Equal(result[k-1].profile, p) {
			result[k-1].last = last
			continue
		}
		result = append(result, profiledRange{addrRange{at, last}, p})
	}
	return result
}

var lastAddress = netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")

// activeRanges knows which ranges cover the sweep's position. Rules that say the same of the same ports are one
// group, of which only the smallest rule counts: so a thousand rules on port 443 cost as much as one.
type activeRanges struct {
	world []rangeSpans
	group []int   // of world[i]
	shape []int   // group → an index into world with its spans
	rules [][]int // group → its active rules, ascending, once for every range
	live  []int   // groups with active rules, ascending
}

func newActive(world []rangeSpans) *activeRanges {
	a := &activeRanges{world: world, group: make([]int, len(world))}
	groups := map[string]int{}
	for i, r := range world {
		l := layers{}
		l.add(r.rank, numbered(r.spans, 0))
		key := layersKey(ClassWorld, &l)
		g, ok := groups[key]
		if !ok {
			g = len(a.shape)
			groups[key] = g
			a.shape = append(a.shape, i)
		}
		a.group[i] = g
	}
	a.rules = make([][]int, len(a.shape))
	return a
}

// change enters or removes range i.
func (a *activeRanges) change(i int, ends bool) {
	g, rule := a.group[i], a.world[i].rule
	at, _ := slices.BinarySearch(a.rules[g], rule)
	if ends {
		a.rules[g] = slices.Delete(a.rules[g], at, at+1)
	} else {
		a.rules[g] = slices.Insert(a.rules[g], at, rule)
	}
	switch at, live := slices.BinarySearch(a.live, g); {
	case !live && len(a.rules[g]) > 0:
		a.live = slices.Insert(a.live, at, g)
	case live && len(a.rules[g]) == 0:
		a.live = slices.Delete(a.live, at, at+1)
	}
}

func (a *activeRanges) empty() bool { return len(a.live) == 0 }

func (a *activeRanges) layers() *layers {
	l := &layers{}
	for _, g := range a.live {
		shape := &a.world[a.shape[g]]
		l.add(shape.rank, numbered(shape.spans, a.rules[g][0]))
	}
	return l
}
