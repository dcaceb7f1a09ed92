package policy

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"

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

// RuleDNS is what verdicts name for the servers of Docker's embedded DNS.
const RuleDNS = "embedded DNS of Docker"

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
	j, err := set.judging(&subject)
	if err != nil {
		return Tables{}, fmt.Errorf("resolve labels: %w", err)
	}
	if t.Egress, err = j.resolve(Egress, universe); err != nil {
		return Tables{}, fmt.Errorf("resolve egress: %w", err)
	}
	if t.Ingress, err = j.resolve(Ingress, universe); err != nil {
		return Tables{}, fmt.Errorf("resolve ingress: %w", err)
	}
	if t.Publish, err = j.resolvePublish(universe); err != nil {
		return Tables{}, fmt.Errorf("resolve published ports: %w", err)
	}
	return t, nil
}

// judging are the rules that judge a subject, in the order in which verdicts name them: its own labels, then policies.
type judging struct {
	subject *Subject
	rules   []*compiledRule
	preset  [directions]*compiledPreset // where nothing more specific is said
}

func (s *Set) judging(subject *Subject) (*judging, error) {
	j := &judging{subject: subject}
	if subject.Mode == ModeNever {
		return j, nil
	}
	own, err := s.own(subject.Labels)
	if err != nil {
		return nil, err
	}
	if own != nil {
		j.rules = append(j.rules, own)
	}
	j.rules = append(j.rules, s.selecting(subject.Labels)...)
	j.choosePreset(own)
	return j, nil
}

// choosePreset finds the profile: that of the labels, else the strictest of the policies. It counts in a direction that
// no rule closes.
func (j *judging) choosePreset(own *compiledRule) {
	var best *compiledRule
	for _, r := range j.rules {
		if best == nil || r.rule.Preset > best.rule.Preset {
			best = r
		}
	}
	if own != nil && own.rule.Preset != PresetNone {
		best = own
	}
	if best == nil || best.rule.Preset <= PresetOpen {
		return
	}
	for d := range directions {
		if !slices.ContainsFunc(j.rules, func(r *compiledRule) bool { return r.rule.Close[d] }) {
			j.preset[d] = compilePreset(best.policy, best.rule.Preset, d)
		}
	}
}

// restricts tells whether a direction has a table: rules, or anything else that differs from what holds without.
func (j *judging) restricts(d Direction) bool {
	return j.closing(d) != nil || d == Ingress && j.subject.Isolate ||
		slices.ContainsFunc(j.rules, func(r *compiledRule) bool { return len(r.clauses[d]) > 0 })
}

func (j *judging) resolve(d Direction, u *Universe) (*Table, error) {
	if !j.restricts(d) {
		return nil, nil
	}
	f := newFlattener(d, j.subject, u)
	for _, r := range j.rules {
		for i := range r.clauses[d] {
			f.add(&r.clauses[d][i])
		}
	}
	if j.preset[d] != nil && j.preset[d].clause != nil {
		f.add(j.preset[d].clause)
	}
	if d == Egress {
		f.addResolvers()
	}
	f.firm = len(f.refs)
	f.setBase(j.closing(d))
	return f.finish()
}

// finish makes the table, if its rules can be numbered.
func (f *flattener) finish() (*Table, error) {
	table := f.table()
	if len(table.Rules) > math.MaxUint16 {
		return nil, ErrTooManyRules
	}
	return table, nil
}

// closing names what puts the direction into default deny: the first rule that does, else the profile, else the mode
// always; nil: nothing, the direction is open.
func (j *judging) closing(d Direction) *RuleRef {
	for _, r := range j.rules {
		if r.rule.Close[d] {
			return &RuleRef{Policy: r.policy.Key(), Rule: r.closingName(d)}
		}
	}
	if j.preset[d] != nil {
		return &j.preset[d].ref
	}
	if j.subject.Mode == ModeAlways {
		return &RuleRef{Rule: RuleModeAlways}
	}
	return nil
}

// closingName is the rule that verdicts name where a direction is closed.
func (r *compiledRule) closingName(d Direction) string {
	if r.policy.Origin == OriginLabel {
		return LabelPrefix + d.String() + ": " + RuleDefaultDeny
	}
	return RuleDefaultDeny
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
