package policy

import "github.com/sluice-net/sluice/identity"

// LabelPolicyName is the name of the policy that a container's own labels are; documents may not use it.
const LabelPolicyName = "labels"

// LabelPolicy returns the policy that a container's own labels (sluice.egress and the others that docs/policy.md lists)
// are; nil: they say nothing. The error is Problems with the label as Path and the place in its value, in the order of
// the keys.
func LabelPolicy(l identity.Labels) (*Policy, error) {
	return nil, nil
}

// Names lists the container names that the policies, and the labels of these containers, mention (name:CONTAINER),
// sorted. Only containers of these names carry the label sluice.name, so that the others go on sharing identities.
func (s *Set) Names(containers ...identity.Labels) []string {
	return nil
}

// UnresolvedPeer is a peer of a rule that no known container is.
type UnresolvedPeer struct {
	Rule RuleRef
	Peer string // as a label would write it: "db", "shop/db", "name:cache"
}

// Unresolved lists the peers of the rules that select a subject, its own labels included, that match no known
// container, in the order of the rules.
func Unresolved(set *Set, subject Subject, universe *Universe) []UnresolvedPeer {
	return nil
}
