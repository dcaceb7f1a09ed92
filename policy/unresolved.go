package policy

import (
	"slices"

	"github.com/sluice-net/sluice/identity"
)

// Names lists the container names that the policies, and the labels of these containers, mention (name:CONTAINER),
// sorted. Only containers of these names carry the label sluice.name, so that the others go on sharing identities.
func (s *Set) Names(containers ...identity.Labels) []string {
	names := map[string]bool{}
	if s != nil {
		for i := range s.rules {
			s.rules[i].rule.names(names)
		}
	}
	for _, l := range containers {
		if own, err := s.own(l); err == nil && own != nil {
			own.rule.names(names)
		}
	}
	list := make([]string, 0, len(names))
	for name := range names {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// names enters every name that a rule mentions.
func (r *Rule) names(into map[string]bool) {
	r.Subject.names(into)
	for _, peers := range r.peers() {
		for _, p := range peers {
			if p.Selector != nil {
				p.Selector.names(into)
			}
		}
	}
}

// peers are the lists of peers in a rule.
func (r *Rule) peers() [][]Peer {
	lists := make([][]Peer, 0, len(r.Clauses)+len(r.Publish))
	for i := range r.Clauses {
		lists = append(lists, r.Clauses[i].Peers)
	}
	for i := range r.Publish {
		lists = append(lists, r.Publish[i].Peers)
	}
	return lists
}

func (s *Selector) names(into map[string]bool) {
	for _, r := range s.Requirements {
		if r.Key == labelName {
			for _, v := range r.Values {
				into[v] = true
			}
		}
	}
}

// UnresolvedPeer is a peer of a rule that no known container is.
type UnresolvedPeer struct {
	Rule RuleRef
	Peer string // as a label would write it: "db", "shop/db", "name:cache"
}

// Unresolved lists the peers of the rules that select a subject, its own labels included, that match no known
// container, in the order of the rules. Labels that cannot be read have none.
func Unresolved(set *Set, subject Subject, universe *Universe) []UnresolvedPeer {
	j, err := set.judging(&subject)
	if err != nil {
		return nil
	}
	if universe == nil {
		universe = NewUniverse()
	}
	var list []UnresolvedPeer
	look := func(ref RuleRef, peers []Peer) {
		for _, p := range peers {
			if !universe.has(p, subject.Labels) {
				list = append(list, UnresolvedPeer{Rule: ref, Peer: p.String()})
			}
		}
	}
	for _, r := range j.rules {
		for _, c := range r.rule.Clauses {
			look(RuleRef{Policy: r.policy.Key(), Rule: c.Path}, c.Peers)
		}
		for _, p := range r.rule.Publish {
			look(RuleRef{Policy: r.policy.Key(), Rule: p.Path}, p.Peers)
		}
	}
	return list
}

// has tells whether a peer is somebody: what labels do not select always is.
func (u *Universe) has(p Peer, subject identity.Labels) bool {
	if p.Selector == nil || p.Selector.Any() {
		return true
	}
	s, ok := compiledSelector{p.Selector, p.Selector.String(), p.SameProject}.of(subject)
	return ok && len(u.matching(s)) > 0
}
