package policy

import (
	"errors"
	"fmt"
	"math"
	"net/netip"

	"github.com/sluice-net/sluice/identity"
)

// Mode is the network option sluice.policy.
type Mode uint8

// The modes.
const (
	ModeDefault Mode = iota // a direction is open until a rule closes it
	ModeAlways              // both directions are in default deny
	ModeNever               // rules are ignored
)

var modeNames = [...]string{ModeDefault: "default", ModeAlways: "always", ModeNever: "never"}

// String is the option's value.
func (m Mode) String() string { return modeNames[m] }

// ParseMode reads the option's value.
func ParseMode(s string) (Mode, error) {
	for m, name := range modeNames {
		if s == name {
			return Mode(m), nil
		}
	}
	return ModeDefault, fmt.Errorf("read policy mode %q: not default, always or never", s)
}

// Subject is the container whose tables are resolved.
type Subject struct {
	Labels  identity.Labels
	Network string // empty: the label sluice.network
	// Ports are its named ports; nil: those that its labels give (PortsFromLabels).
	Ports []NamedPort
	Mode  Mode
	// Isolate is the network option sluice.isolate: peers of the same network need a rule too.
	Isolate bool
	// PublishDefault is the daemon's setting.
	PublishDefault PublishDefault
	// Resolvers are the servers that Docker's embedded DNS asks from within the container's network namespace: those
	// of the container (--dns), the daemon or the host, without loopback addresses. They are always reachable, unless an
	// administrator's rule denies them.
	Resolvers []Resolver
}

// Resolver is a DNS server that is asked on port 53, by UDP and TCP.
type Resolver struct {
	Addr netip.Addr
	ID   identity.ID // whose address that is: identity.Host, identity.World, or a container's
}

// What RuleRefs of the network's options say in place of a rule.
const (
	RuleDefaultDeny = "default deny"                        // of the policy that closed the direction
	RuleModeAlways  = "network option sluice.policy=always" // no policy
	RuleIsolate     = "network option sluice.isolate=true"  // no policy
)

// ErrTooManyRules: verdicts name rules in 16 bits.
var ErrTooManyRules = errors.New("more than 65535 rules in one table")

// Resolve flattens the rules that select the subject, its own labels included, into its tables. A nil table means that
// nothing restricts: egress allows everything, ingress allows its own network, the host and the world, and denies other
// networks, publish adds nothing to ingress. The same arguments give equal tables. The error wraps ErrTooManyRules or is
// that of LabelPolicy.
func Resolve(set *Set, subject Subject, universe *Universe) (t Tables, err error) {
	if subject.Network == "" {
		subject.Network = subject.Labels[identity.LabelNetwork]
	}
	if subject.Ports == nil {
		subject.Ports, _ = PortsFromLabels(subject.Labels)
	}
	if universe == nil {
		universe = NewUniverse()
	}
	var rules []*compiledRule
	if subject.Mode != ModeNever {
		rules = set.selecting(subject.Labels)
	}
	if t.Egress, err = resolveDirection(Egress, rules, &subject, universe); err != nil {
		return Tables{}, fmt.Errorf("resolve egress: %w", err)
	}
	if t.Ingress, err = resolveDirection(Ingress, rules, &subject, universe); err != nil {
		return Tables{}, fmt.Errorf("resolve ingress: %w", err)
	}
	return t, nil
}

func resolveDirection(d Direction, rules []*compiledRule, subject *Subject, u *Universe) (*Table, error) {
	clauses, closing := 0, closingRule(d, rules, subject)
	for _, r := range rules {
		clauses += len(r.clauses[d])
	}
	if clauses == 0 && closing == nil && !(d == Ingress && subject.Isolate) {
		return nil, nil
	}
	f := newFlattener(d, subject, u)
	for _, r := range rules {
		for i := range r.clauses[d] {
			f.add(&r.clauses[d][i])
		}
	}
	f.setBase(closing)
	table := f.table()
	if len(table.Rules) > math.MaxUint16 {
		return nil, ErrTooManyRules
	}
	return table, nil
}

// closingRule names what puts the direction into default deny: the first policy that does, else the mode always;
// nil: nothing, the direction is open.
func closingRule(d Direction, rules []*compiledRule, subject *Subject) *RuleRef {
	for _, r := range rules {
		if r.rule.Close[d] {
			return &RuleRef{Policy: r.policy.Key(), Rule: RuleDefaultDeny}
		}
	}
	if subject.Mode == ModeAlways {
		return &RuleRef{Rule: RuleModeAlways}
	}
	return nil
}

// openVerdict is what an open direction says of a class of peers when no rule matches.
func openVerdict(d Direction, class Class, isolate bool) (Verdict, *RuleRef) {
	switch {
	case d == Egress || class == ClassHost || class == ClassWorld:
		return Allow, nil
	case class == ClassOther:
		return Deny, nil
	case isolate:
		return Deny, &RuleRef{Rule: RuleIsolate}
	}
	return Allow, nil
}
