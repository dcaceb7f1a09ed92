package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/sluice-net/sluice/identity"
)

// Verdict is what a policy says of a connection.
type Verdict uint8

// The verdicts, as in bpf/abi/policy.h.
const (
	Deny  Verdict = 0
	Allow Verdict = 1
)

// String is "allow" or "deny".
func (v Verdict) String() string {
	if v == Allow {
		return "allow"
	}
	return "deny"
}

// Class is what a peer is when no rule names its identity, as enum policy_class in bpf/abi/policy.h.
type Class uint8

// The classes of peers.
const (
	ClassNetwork Class = iota // a container of the same network
	ClassOther                // a container of another Sluice network
	ClassHost                 // this host
	ClassWorld                // everything else; CIDRs refine it
	Classes                   // how many there are
)

var classNames = [Classes]string{"network", "other network", "host", "world"}

// String is for people.
func (c Class) String() string {
	if c >= Classes {
		return fmt.Sprintf("class %d", uint8(c))
	}
	return classNames[c]
}

// Table is one direction of a container's policy, flattened: every question has exactly one answer, found by two
// searches (peer → profile, port → verdict). Datapath compiles it to instructions. Equal tables have equal Hash.
type Table struct {
	// Defaults are the profiles of peers that Identities does not list; ClassWorld's is for addresses outside CIDRs.
	Defaults [Classes]Profile
	// Identities are the peers whose profile differs from their class's, sorted by ID, without duplicates.
	Identities []IdentityProfile
	// CIDRs are disjoint, sorted address ranges (v4-mapped) of the class world, neighbours of equal profile merged.
	CIDRs []RangeProfile
	// Rules names the rules that verdicts refer to: verdict.Rule n is Rules[n-1]. Every one is referred to.
	Rules []RuleRef
	// Denies is how many of Rules, the first ones, are an administrator's denies: a container's own label sluice.mode does
	// not suspend them.
	Denies uint16
	// Base is the first of Rules that says what holds where no rule is about the peer: rule numbers from Base on, and 0,
	// are not Explicit.
	Base uint16
}

// Tables are what a container's programs judge by. A nil table restricts nothing: see Resolve.
type Tables struct {
	Egress, Ingress *Table
	// Publish is asked, by protocol and the published port of the host, together with Ingress for connections that came
	// by a published port: see JudgePublished.
	Publish *Table
}

// Hash tells tables apart: that of egress, a slash, that of ingress, and where there is a table for published ports a slash
// and its.
func (t Tables) Hash() string {
	hash := t.Egress.Hash() + "/" + t.Ingress.Hash()
	if t.Publish != nil {
		hash += "/" + t.Publish.Hash()
	}
	return hash
}

// Explicit tells whether a rule number that a verdict names is that of a rule about the peer, not of what holds where
// none is.
func (t *Table) Explicit(rule uint16) bool {
	return t != nil && rule != 0 && (t.Base == 0 || rule < t.Base)
}

// JudgePublished is the verdict on a connection that came by a published port: port is that of the container, published
// that of the host, both as Key. An explicit rule of ingress that denies wins; then what publish says, where it denies or
// explicitly allows; else ingress decides. rule refers to the table that decided.
func (t Tables) JudgePublished(id identity.ID, class Class, addr netip.Addr, port, published uint32) (v Verdict, rule uint16, decided *Table) {
	v, rule = Judge(Ingress, t.Ingress, id, class, addr, port)
	if t.Publish == nil || v == Deny && t.Ingress.Explicit(rule) {
		return v, rule, t.Ingress
	}
	if p, by := t.Publish.Lookup(id, class, addr, published); p == Deny || t.Publish.Explicit(by) {
		return p, by, t.Publish
	}
	return v, rule, t.Ingress
}

// Profile is a total function from (protocol, port) to a verdict: sorted entries, the first starts at key 0, each
// reaching to the next one's start. The key is protocol<<16 | port in host order; for ICMP and ICMPv6 the port is
// type<<8 | code. Equal profiles of one table share their memory.
type Profile []PortVerdict

// PortVerdict starts an interval of a Profile.
type PortVerdict struct {
	From    uint32
	Verdict Verdict
	Rule    uint16 // 1-based index into Table.Rules, 0: no rule
}

// IdentityProfile gives one peer identity its profile.
type IdentityProfile struct {
	ID      identity.ID
	Profile Profile
}

// RangeProfile gives the addresses First to Last (inclusive, 16-byte form) their profile.
type RangeProfile struct {
	First, Last netip.Addr
	Profile     Profile
}

// RuleRef names the rule that gave a verdict: policy key, and where it stands.
type RuleRef struct {
	Policy string // key of the policy, empty for a network's option
	Rule   string // for example "ingress[0].toPorts[1]", "default deny", "network option sluice.isolate=true"
}

// String is "policy: rule", for people.
func (r RuleRef) String() string {
	if r.Policy == "" {
		return r.Rule
	}
	return r.Policy + ": " + r.Rule
}

// Lookup answers what the compiled table answers: the verdict on a peer of this identity, class and address for
// protocol<<16 | port, and the number of the rule that gave it (0: none). addr may be IPv4; it counts only for the
// world. The table must not be nil: Judge answers for both.
func (t *Table) Lookup(id identity.ID, class Class, addr netip.Addr, protoPort uint32) (Verdict, uint16) {
	return t.profile(id, class, addr).Lookup(protoPort)
}

func (t *Table) profile(id identity.ID, class Class, addr netip.Addr) Profile {
	i, ok := slices.BinarySearchFunc(t.Identities, id, func(p IdentityProfile, id identity.ID) int { return cmp.Compare(p.ID, id) })
	if ok {
		return t.Identities[i].Profile
	}
	if class == ClassWorld && addr.IsValid() {
		a := to16(addr)
		i, ok := slices.BinarySearchFunc(t.CIDRs, a, func(r RangeProfile, a netip.Addr) int {
			if r.Last.Less(a) {
				return -1
			}
			if a.Less(r.First) {
				return 1
			}
			return 0
		})
		if ok {
			return t.CIDRs[i].Profile
		}
	}
	if class >= Classes {
		class = ClassWorld
	}
	return t.Defaults[class]
}

// Judge is Lookup for a table that may be nil: then it answers as the datapath's built-in default of the direction does.
func Judge(d Direction, t *Table, id identity.ID, class Class, addr netip.Addr, protoPort uint32) (Verdict, uint16) {
	if t == nil {
		verdict, _ := openVerdict(d, class, false)
		return verdict, 0
	}
	return t.Lookup(id, class, addr, protoPort)
}

// Lookup finds the interval of a key.
func (p Profile) Lookup(protoPort uint32) (Verdict, uint16) {
	i, ok := slices.BinarySearchFunc(p, protoPort, func(e PortVerdict, key uint32) int { return cmp.Compare(e.From, key) })
	if !ok {
		i--
	}
	if i < 0 {
		return Deny, 0
	}
	return p[i].Verdict, p[i].Rule
}

// Rule returns the name of a rule's number; false for 0 and numbers that the table does not have.
func (t *Table) Rule(n uint16) (RuleRef, bool) {
	if t == nil || n == 0 || int(n) > len(t.Rules) {
		return RuleRef{}, false
	}
	return t.Rules[n-1], true
}

// Entries is the size of the table: the number of intervals over all peers.
func (t *Table) Entries() int {
	if t == nil {
		return 0
	}
	n := 0
	for _, p := range t.Defaults {
		n += len(p)
	}
	for _, p := range t.Identities {
		n += len(p.Profile)
	}
	for _, p := range t.CIDRs {
		n += len(p.Profile)
	}
	return n
}

// Hash is 128 bits of SHA-256 over the whole table, in hexadecimal; "" for nil. Tables are equal if their hashes are.
func (t *Table) Hash() string {
	if t == nil {
		return ""
	}
	h := sha256.New()
	buf := make([]byte, 0, 4096)
	flush := func() { h.Write(buf); buf = buf[:0] }
	profile := func(p Profile) {
		buf = binary.AppendUvarint(buf, uint64(len(p)))
		for _, e := range p {
			buf = binary.AppendUvarint(buf, uint64(e.From))
			buf = append(buf, byte(e.Verdict))
			buf = binary.AppendUvarint(buf, uint64(e.Rule))
		}
		flush()
	}
	for _, p := range t.Defaults {
		profile(p)
	}
	buf = binary.AppendUvarint(buf, uint64(len(t.Identities)))
	for _, e := range t.Identities {
		buf = binary.AppendUvarint(buf, uint64(e.ID))
		profile(e.Profile)
	}
	buf = binary.AppendUvarint(buf, uint64(len(t.CIDRs)))
	for _, r := range t.CIDRs {
		first, last := r.First.As16(), r.Last.As16()
		buf = append(append(buf, first[:]...), last[:]...)
		profile(r.Profile)
	}
	buf = binary.AppendUvarint(buf, uint64(t.Base))
	buf = binary.AppendUvarint(buf, uint64(t.Denies))
	for _, r := range t.Rules {
		buf = binary.AppendUvarint(buf, uint64(len(r.Policy)))
		buf = append(buf, r.Policy...)
		buf = binary.AppendUvarint(buf, uint64(len(r.Rule)))
		buf = append(buf, r.Rule...)
		flush()
	}
	flush()
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// ErrBadTable marks a table that Lookup and the compiler could not rely on.
var ErrBadTable = errors.New("invalid policy table")

// Validate checks what the comments of Table promise. The error wraps ErrBadTable.
func (t *Table) Validate() error {
	if t == nil {
		return nil
	}
	if int(t.Denies) > len(t.Rules) || t.Base != 0 && t.Denies >= t.Base {
		return fmt.Errorf("check rules: %w: %d denies of %d rules, those from %d on are about no peer", ErrBadTable, t.Denies, len(t.Rules), t.Base)
	}
	for class, p := range t.Defaults {
		if err := t.validateProfile(p); err != nil {
			return fmt.Errorf("check profile of class %s: %w", Class(class), err)
		}
	}
	for i, e := range t.Identities {
		if i > 0 && t.Identities[i-1].ID >= e.ID {
			return fmt.Errorf("check identity %s: %w: not after %s", e.ID, ErrBadTable, t.Identities[i-1].ID)
		}
		if err := t.validateProfile(e.Profile); err != nil {
			return fmt.Errorf("check identity %s: %w", e.ID, err)
		}
	}
	for i, r := range t.CIDRs {
		switch {
		case !r.First.Is6() || !r.Last.Is6() || r.Last.Less(r.First):
			return fmt.Errorf("check range %s-%s: %w: not ascending 16-byte addresses", r.First, r.Last, ErrBadTable)
		case i > 0 && !t.CIDRs[i-1].Last.Less(r.First):
			return fmt.Errorf("check range %s-%s: %w: not after %s", r.First, r.Last, ErrBadTable, t.CIDRs[i-1].Last)
		}
		if err := t.validateProfile(r.Profile); err != nil {
			return fmt.Errorf("check range %s-%s: %w", r.First, r.Last, err)
		}
	}
	return nil
}

func (t *Table) validateProfile(p Profile) error {
	if len(p) == 0 || p[0].From != 0 {
		return fmt.Errorf("%w: the profile does not start at key 0", ErrBadTable)
	}
	for i, e := range p {
		switch {
		case i > 0 && p[i-1].From >= e.From || e.From > maxKey:
			return fmt.Errorf("%w: key %#x is out of order", ErrBadTable, e.From)
		case e.Verdict > Allow:
			return fmt.Errorf("%w: verdict %d at key %#x", ErrBadTable, e.Verdict, e.From)
		case int(e.Rule) > len(t.Rules):
			return fmt.Errorf("%w: rule %d of %d at key %#x", ErrBadTable, e.Rule, len(t.Rules), e.From)
		}
	}
	return nil
}

// builder numbers the rules that profiles use and turns cells into profiles, each once.
type builder struct {
	refs   []RuleRef
	number []int // by rule of the flattener; 0: not used, else 1-based
	made   map[*cell]Profile
	used   []int
}

func newBuilder(refs []RuleRef) *builder {
	return &builder{refs: refs, number: make([]int, len(refs)+1), made: map[*cell]Profile{}}
}

// need notes the rules of a profile that will be in the table.
func (b *builder) need(p cells) {
	if _, ok := b.made[&p[0]]; ok {
		return
	}
	b.made[&p[0]] = nil
	for _, c := range p {
		if c.rule != 0 && b.number[c.rule] == 0 {
			b.number[c.rule] = 1
			b.used = append(b.used, c.rule)
		}
	}
}

// rules numbers what was needed, first the administrator's denies, else in order of precedence, and says how many denies
// there are and which number is the first beyond firm; call it once, between need and profile.
func (b *builder) rules(denies map[int]bool, firm int) (list []RuleRef, denied, base uint16) {
	slices.SortFunc(b.used, func(x, y int) int {
		if denies[x] != denies[y] {
			return map[bool]int{true: -1, false: 1}[denies[x]]
		}
		return x - y
	})
	list = make([]RuleRef, 0, len(b.used))
	base = 1
	for _, rule := range b.used {
		list = append(list, b.refs[rule-1])
		b.number[rule] = len(list)
		n := uint16(min(len(list), math.MaxUint16-1)) // finish refuses more
		if denies[rule] {
			denied = n
		}
		if rule <= firm {
			base = n + 1
		}
	}
	return list, denied, base
}

func (b *builder) profile(p cells) Profile {
	if made := b.made[&p[0]]; made != nil {
		return made
	}
	made := make(Profile, len(p))
	for i, c := range p {
		made[i] = PortVerdict{From: c.from, Verdict: c.verdict, Rule: uint16(b.number[c.rule])}
	}
	b.made[&p[0]] = made
	return made
}
