package policy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-net/sluice/identity"
)

// Set is the policies in force, by key. It never changes: With and Without make new ones, so a Set may be used from
// several goroutines and compared with its successor. The zero value is an empty set.
type Set struct {
	policies map[string]*Policy
	rules    []compiledRule
	anchored map[string]map[string][]int // label → value → indexes of rules, ascending
	others   []int                       // rules whose subject has no anchor
	labels   *ownRules
}

// compiledRule is a rule with what Resolve needs of it, prepared once.
type compiledRule struct {
	policy  *Policy
	rule    *Rule
	clauses [directions][]compiledClause
	publish []compiledPublish
}

// NewSet makes a set of policies. Two of the same key are an error, and so is whatever Policy.Validate refuses.
func NewSet(policies ...*Policy) (*Set, error) {
	byKey := make(map[string]*Policy, len(policies))
	for _, p := range policies {
		if other, dup := byKey[p.Key()]; dup {
			return nil, fmt.Errorf("add policy %s of %s: the name is taken by %s", p.Key(), p.Source, other.Source)
		}
		byKey[p.Key()] = p
	}
	return index(byKey)
}

// With returns a set in which the policies are added, or replace those of the same key.
func (s *Set) With(policies ...*Policy) (*Set, error) {
	if _, err := NewSet(policies...); err != nil {
		return nil, err
	}
	byKey := make(map[string]*Policy, s.Len()+len(policies))
	if s != nil {
		maps.Copy(byKey, s.policies)
	}
	for _, p := range policies {
		byKey[p.Key()] = p
	}
	return index(byKey)
}

// Without returns a set without these keys, and the keys that were not in the set.
func (s *Set) Without(keys ...string) (result *Set, missing []string) {
	byKey := map[string]*Policy{}
	if s != nil {
		maps.Copy(byKey, s.policies)
	}
	for _, key := range keys {
		if _, ok := byKey[key]; !ok {
			missing = append(missing, key)
		}
		delete(byKey, key)
	}
	result, err := index(byKey)
	if err != nil { // every policy left was validated when it came in
		panic(err)
	}
	return result, missing
}

// Len is the number of policies.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.policies)
}

// Get returns the policy of a key, or nil.
func (s *Set) Get(key string) *Policy {
	if s == nil {
		return nil
	}
	return s.policies[key]
}

// List returns the policies sorted by key.
func (s *Set) List() []*Policy {
	if s == nil {
		return nil
	}
	list := make([]*Policy, 0, len(s.policies))
	for _, key := range slices.Sorted(maps.Keys(s.policies)) {
		list = append(list, s.policies[key])
	}
	return list
}

// index compiles the rules in the order that decides which one a verdict names: by policy key, then as written.
func index(byKey map[string]*Policy) (*Set, error) {
	s := &Set{policies: byKey, anchored: map[string]map[string][]int{}, labels: &ownRules{}}
	for _, p := range s.List() {
		if err := p.Validate(); err != nil {
			return nil, err
		}
		for i := range p.Rules {
			s.add(compileRule(p, &p.Rules[i]))
		}
	}
	return s, nil
}

func (s *Set) add(r compiledRule) {
	n := len(s.rules)
	s.rules = append(s.rules, r)
	key, values, ok := r.rule.Subject.anchor()
	if !ok {
		s.others = append(s.others, n)
		return
	}
	byValue := s.anchored[key]
	if byValue == nil {
		byValue = map[string][]int{}
		s.anchored[key] = byValue
	}
	for _, v := range values {
		byValue[v] = append(byValue[v], n)
	}
}

// selecting returns the rules whose subject selector matches the labels, in order.
func (s *Set) selecting(l identity.Labels) []*compiledRule {
	if s == nil {
		return nil
	}
	candidates := slices.Clone(s.others)
	for key, byValue := range s.anchored {
		if value, ok := labelValue(l, key); ok {
			candidates = append(candidates, byValue[value]...)
		}
	}
	slices.Sort(candidates)
	var selected []*compiledRule
	for _, n := range candidates {
		if s.rules[n].rule.Subject.Matches(l) {
			selected = append(selected, &s.rules[n])
		}
	}
	return selected
}

// Validate checks what no front end may get wrong: a name, and clauses that are complete.
func (p *Policy) Validate() error {
	switch {
	case p.Name == "":
		return fmt.Errorf("check policy of %s: it has no name", p.Source)
	case p.Key() == LabelPolicyName && p.Origin != OriginLabel:
		return fmt.Errorf("check policy of %s: %s", p.Source, whyReserved)
	}
	for i := range p.Rules {
		for _, c := range p.Rules[i].Clauses {
			if c.AnyPort && len(c.Ports) > 0 {
				return fmt.Errorf("check policy %s: %s has ports and allows any port", p.Key(), c.Path)
			}
			if err := validatePeers(c.Peers); err != nil {
				return fmt.Errorf("check policy %s: %s: %w", p.Key(), c.Path, err)
			}
		}
		for _, pub := range p.Rules[i].Publish {
			if err := validatePeers(pub.Peers); err != nil {
				return fmt.Errorf("check policy %s: %s: %w", p.Key(), pub.Path, err)
			}
		}
	}
	return nil
}

// whyReserved is why no document may have a name.
const whyReserved = "the name " + LabelPolicyName + " stands for the containers' own labels, choose another"

func validatePeers(peers []Peer) error {
	for _, peer := range peers {
		if err := peer.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (p Peer) validate() error {
	set := 0
	for _, present := range []bool{p.Entity != "", p.Selector != nil, p.Prefix.IsValid(), p.Domain != ""} {
		if present {
			set++
		}
	}
	switch {
	case set != 1:
		return fmt.Errorf("a peer is exactly one of entity, selector, prefix and domain")
	case p.Domain != "":
		return fmt.Errorf("%s is a domain, and %s", p.Domain, whyDomain)
	case p.SameProject && p.Selector == nil:
		return fmt.Errorf("only containers are of the same project")
	}
	if p.Entity != "" {
		if _, ok := entityClasses[p.Entity]; !ok {
			return fmt.Errorf("unknown entity %q", p.Entity)
		}
	}
	for _, e := range p.Except {
		if !p.Prefix.Overlaps(e) || e.Bits() < p.Prefix.Bits() {
			return fmt.Errorf("exception %s is not within %s", e, p.Prefix)
		}
	}
	return nil
}

// Selects tells whether one of the policy's rules is about containers with these labels: such containers are touched
// when the policy comes, changes or goes.
func (p *Policy) Selects(l identity.Labels) bool {
	return slices.ContainsFunc(p.Rules, func(r Rule) bool { return r.Subject.Matches(l) })
}

// Mentions tells whether the tables of a subject can change when an identity with the peer's labels appears or goes:
// one of the rules that select the subject selects the peer by label, or refers to its named ports. Classes of peers
// (all, world, every container) do not count, for tables carry them without listing identities.
func (s *Set) Mentions(subject, peer identity.Labels) bool {
	rules := s.selecting(subject)
	if own, err := s.own(subject); err == nil && own != nil {
		rules = append(rules, own)
	}
	for _, r := range rules {
		if r.mentions(subject, peer) {
			return true
		}
	}
	return false
}

func (r *compiledRule) mentions(subject, peer identity.Labels) bool {
	for d := range r.clauses {
		for i := range r.clauses[d] {
			if r.clauses[d][i].mentions(subject, peer, Direction(d)) {
				return true
			}
		}
	}
	return slices.ContainsFunc(r.publish, func(p compiledPublish) bool { return p.allow.mentions(subject, peer, Ingress) })
}

// Locate finds where a rule that a verdict names stands: the file and the line of its item, or for a default deny that
// of the first rule that closes a direction. It fails for network options and for policies that changed meanwhile.
func (s *Set) Locate(ref RuleRef) (Source, bool) {
	p := s.Get(ref.Policy)
	if p == nil {
		return Source{}, false
	}
	for i := range p.Rules {
		if line := p.Rules[i].line(ref.Rule); line != 0 {
			return Source{File: p.Source.File, Line: line}, true
		}
	}
	return Source{}, false
}

// line is where the part of a rule that a path names stands, or 0.
func (r *Rule) line(path string) int {
	if r.Preset != PresetNone && path == presetName(r.Preset) {
		return r.Line
	}
	if path == RuleDefaultDeny && (r.Close[Egress] || r.Close[Ingress]) {
		return r.Line
	}
	for _, pub := range r.Publish {
		if pub.Path == path {
			return pub.Line
		}
	}
	for _, c := range r.Clauses {
		if c.Path == path {
			return c.Line
		}
		for _, pr := range c.Ports {
			if pr.Path == path {
				return pr.Line
			}
		}
	}
	return 0
}
