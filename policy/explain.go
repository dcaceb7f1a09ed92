package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/identity"
)

// Question asks whether the subject may open (Egress) or accept (Ingress) a connection.
type Question struct {
	Direction Direction
	// Peer is the identity of the other side; Unknown counts as World.
	Peer identity.ID
	// Network is the peer's network where the universe does not know the identity.
	Network string
	// Addr is the peer's address; it matters for the world only.
	Addr     netip.Addr
	Protocol uint8
	// Port is the destination's, or ICMP type<<8 | code.
	Port uint16
	// Published is the port of the host that a connection (Ingress) came by, 0 where it came directly.
	Published uint16
}

// Answer is a verdict with its reasons.
type Answer struct {
	Verdict Verdict
	// Rule is what drops and flows name; zero where the built-in default decides.
	Rule RuleRef
	// Class is what the peer is to the subject.
	Class Class
	// Why is one sentence for people.
	Why string
	// Selecting are the keys of the policies that select the subject, Denying and Allowing the rules that match the
	// question, Closing what puts the direction into default deny, each in the order of precedence.
	Selecting []string
	Denying   []RuleRef
	Allowing  []RuleRef
	Closing   []RuleRef
}

// ClassOf is what a peer is to a subject: by its reserved identity, else by its network, which the universe knows, or
// network says.
func ClassOf(subject Subject, universe *Universe, peer identity.ID, network string) Class {
	switch peer {
	case identity.Host:
		return ClassHost
	case identity.World, identity.Unknown:
		return ClassWorld
	}
	if known, ok := universe.Get(peer); ok {
		network = known.Network
	}
	own := subject.Network
	if own == "" {
		own = subject.Labels[identity.LabelNetwork]
	}
	if network == own {
		return ClassNetwork
	}
	return ClassOther
}

// Explain answers a question from the rules themselves, one after the other. It gives the verdict and the rule that
// the resolved table gives. Labels that cannot be read deny everything.
func Explain(set *Set, subject Subject, universe *Universe, q Question) Answer {
	if subject.Ports == nil {
		subject.Ports, _ = PortsFromLabels(subject.Labels)
	}
	e := explainer{subject: &subject, q: q, class: ClassOf(subject, universe, q.Peer, q.Network), universe: universe}
	if e.universe == nil {
		e.universe = NewUniverse()
	}
	e.peer, e.known = universe.Get(q.Peer)
	e.ports = subject.Ports
	if q.Direction == Egress {
		e.ports = e.peer.Ports
	}
	e.answer.Class = e.class
	j, err := set.judging(&subject)
	if err != nil {
		e.answer.Why = fmt.Sprintf("the labels of the container cannot be read: %v", err)
		return e.answer
	}
	for _, r := range j.rules {
		e.rule(r)
	}
	e.preset(j)
	if j.restricts(q.Direction) {
		e.resolvers()
	}
	if subject.Mode == ModeAlways {
		e.answer.Closing = append(e.answer.Closing, RuleRef{Rule: RuleModeAlways})
	}
	e.decide()
	if q.Direction == Ingress && q.Published != 0 {
		e.published(j)
	}
	return e.answer
}

type explainer struct {
	subject  *Subject
	universe *Universe
	q        Question
	class    Class
	peer     KnownIdentity
	known    bool
	ports    []NamedPort // of the destination
	matched  [ranks][]RuleRef
	denied   bool // by a rule about the peer
	answer   Answer
}

func (e *explainer) rule(r *compiledRule) {
	key := r.policy.Key()
	if !slices.Contains(e.answer.Selecting, key) {
		e.answer.Selecting = append(e.answer.Selecting, key)
	}
	if r.rule.Close[e.q.Direction] {
		e.answer.Closing = append(e.answer.Closing, RuleRef{Policy: key, Rule: r.closingName(e.q.Direction)})
	}
	for i := range r.rule.Clauses {
		e.clause(r.policy, &r.rule.Clauses[i])
	}
}

func (e *explainer) clause(p *Policy, c *Clause) {
	if c.Direction != e.q.Direction || !slices.ContainsFunc(c.Peers, e.matchesPeer) {
		return
	}
	list := &e.matched[rankOf(p, c.Deny)]
	if c.AnyPort {
		*list = append(*list, RuleRef{Policy: p.Key(), Rule: c.Path})
	}
	for _, pr := range c.Ports {
		if slices.ContainsFunc(pr.Ports, e.matchesPort) {
			*list = append(*list, RuleRef{Policy: p.Key(), Rule: pr.Path})
		}
	}
}

func (e *explainer) preset(j *judging) {
	p := j.preset[e.q.Direction]
	if p == nil {
		return
	}
	if p.clause != nil && slices.ContainsFunc(p.peers, e.matchesPeer) {
		e.matched[rankAllow] = append(e.matched[rankAllow], p.ref)
	}
	e.answer.Closing = append(e.answer.Closing, p.ref)
}

func (e *explainer) resolvers() {
	if e.q.Direction != Egress || e.q.Port != 53 || e.q.Protocol != ProtocolTCP && e.q.Protocol != ProtocolUDP {
		return
	}
	if slices.ContainsFunc(e.subject.Resolvers, e.isResolver) {
		e.matched[rankImplied] = append(e.matched[rankImplied], RuleRef{Rule: RuleDNS})
	}
}

func (e *explainer) isResolver(r Resolver) bool {
	switch {
	case r.ID == identity.Host:
		return e.class == ClassHost
	case e.universe.index(r.ID) >= 0:
		return e.q.Peer == r.ID
	}
	return e.class == ClassWorld && r.Addr.IsValid() && to16(r.Addr) == to16(e.q.Addr)
}

func (e *explainer) matchesPeer(p Peer) bool {
	switch {
	case p.Entity == EntityLAN || p.Entity == EntityInternet:
		return e.class == ClassWorld && e.q.Addr.IsValid() && e.universe.onLAN(e.q.Addr) == (p.Entity == EntityLAN)
	case p.Entity != "":
		return slices.Contains(entityClasses[p.Entity], e.class)
	case p.Selector != nil:
		return e.matchesContainer(p)
	}
	addr := e.q.Addr.Unmap()
	return e.class == ClassWorld && p.Prefix.Contains(addr) &&
		!slices.ContainsFunc(p.Except, func(x netip.Prefix) bool { return x.Contains(addr) })
}

func (e *explainer) matchesContainer(p Peer) bool {
	if e.class != ClassNetwork && e.class != ClassOther {
		return false
	}
	if p.SameProject {
		project, ok := e.subject.Labels[labelProject]
		if !ok || e.peer.Labels[labelProject] != project {
			return false
		}
	}
	return p.Selector.Any() && !p.SameProject || e.known && p.Selector.Matches(e.peer.Labels)
}

func (e *explainer) matchesPort(p Port) bool {
	if p.Name != "" {
		return slices.ContainsFunc(e.ports, func(n NamedPort) bool {
			return n.Name == p.Name && (p.AnyProtocol || p.Protocol == n.Protocol) &&
				n.Protocol == e.q.Protocol && n.Port == e.q.Port
		})
	}
	if e.q.Port < p.First || e.q.Port > p.Last {
		return false
	}
	if !p.AnyProtocol {
		return p.Protocol == e.q.Protocol
	}
	return p.First == 0 && p.Last == 0xffff || hasPorts(e.q.Protocol)
}

func (e *explainer) decide() {
	a := &e.answer
	a.Denying = slices.Concat(e.matched[rankDeny], e.matched[rankOwnDeny])
	a.Allowing = slices.Concat(e.matched[rankImplied], e.matched[rankAllow])
	decided := -1
	for r, list := range e.matched {
		if len(list) > 0 {
			decided = r
			a.Rule, a.Verdict = list[0], rank(r).verdict()
		}
	}
	e.denied = decided >= 0 && a.Verdict == Deny
	switch {
	case e.denied:
		a.Why = fmt.Sprintf("%s denies it", a.Rule)
		if len(a.Allowing) > 0 {
			a.Why += fmt.Sprintf(", which beats %s", joinRefs(a.Allowing))
		}
	case decided >= 0:
		a.Why = fmt.Sprintf("%s allows it", a.Rule)
	case len(a.Closing) > 0:
		a.Verdict, a.Rule = Deny, a.Closing[0]
		a.Why = fmt.Sprintf("no rule allows it, and %s of the container is closed by %s", e.q.Direction, closers(a.Closing))
	default:
		verdict, why := openVerdict(e.q.Direction, e.class, e.subject.Isolate)
		a.Verdict = verdict
		if why != nil {
			a.Rule = *why
		}
		a.Why = openReason(e.q.Direction, e.class, verdict)
	}
}

func openReason(d Direction, class Class, verdict Verdict) string {
	switch {
	case verdict == Allow:
		return fmt.Sprintf("no rule restricts %s of the container", d)
	case class == ClassOther:
		return "containers of different networks need an ingress rule that allows it"
	}
	return "the network is isolated: its containers need an ingress rule that allows it"
}

func closers(refs []RuleRef) string {
	names := make([]string, len(refs))
	for i, r := range refs {
		switch r.Policy {
		case "":
			names[i] = r.Rule
		case LabelPolicyName:
			names[i] = "its label " + strings.TrimSuffix(r.Rule, ": "+RuleDefaultDeny)
		default:
			names[i] = r.Policy
		}
	}
	return strings.Join(slices.Compact(names), ", ")
}

func joinRefs(refs []RuleRef) string {
	names := make([]string, len(refs))
	for i, r := range refs {
		names[i] = r.String()
	}
	return strings.Join(names, ", ")
}
