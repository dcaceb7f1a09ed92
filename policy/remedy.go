package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/identity"
)

// End is one end of a connection as a rule would name it.
type End struct {
	Text     string    // in a label: "db", "shop/db", "name:cache", "@host", an address
	Peer     Peer      // in a document
	Selector *Selector // of a container
}

// ContainerEnd names a container by its compose service, and as a member of its own project if within is the same one;
// without compose by its name.
func ContainerEnd(l identity.Labels, name, within string) End {
	project, service := l[identity.LabelProject], l[identity.LabelService]
	var s Selector
	text := "name:" + name
	switch {
	case project != "" && service != "":
		s = NewSelector(Requirement{Key: identity.LabelProject, Values: []string{project}},
			Requirement{Key: identity.LabelService, Values: []string{service}})
		text = project + "/" + service
		if project == within {
			text = service
		}
	default:
		s = NewSelector(Requirement{Key: identity.LabelName, Values: []string{name}})
	}
	return End{Text: text, Peer: Peer{Selector: &s}, Selector: &s}
}

// Case is a question with what is needed to change its answer.
type Case struct {
	Question
	Subject End // whose policy is asked
	Other   End
}

// Remedy is a change that gives a case another answer. Its parts belong together.
type Remedy struct {
	// Labels are new values of the subject's labels; empty: the label goes.
	Labels map[string]string
	// Remove are rules to be taken out of their documents.
	Remove []RuleRef
	// Add is a policy to be applied.
	Add *Policy
}

// Verdict answers the case from the rules.
func (c *Case) Verdict(set *Set, subject Subject, universe *Universe) (Verdict, error) {
	tables, err := Resolve(set, subject, universe)
	if err != nil {
		return Deny, err
	}
	class, port := ClassOf(subject, universe, c.Peer, c.Network), Key(c.Protocol, c.Port)
	if c.Published != 0 {
		v, _, _ := tables.JudgePublished(c.Peer, class, c.Addr, port, Key(c.Protocol, c.Published))
		return v, nil
	}
	table := tables.Ingress
	if c.Direction == Egress {
		table = tables.Egress
	}
	v, _ := Judge(c.Direction, table, c.Peer, class, c.Addr, port)
	return v, nil
}

// Remedy finds the smallest change after which the verdict is want: an item of a label of the container where that
// closes nothing else, else a policy of its own; rules that deny are taken out first. It is tried before it is given;
// ok is false where no policy can do it, as with the network option sluice.policy=never.
func (c *Case) Remedy(set *Set, subject Subject, universe *Universe, want Verdict) (r Remedy, ok bool) {
	for _, r := range c.candidates(Explain(set, subject, universe, c.Question), subject, want) {
		changed, own, err := r.Apply(set, subject)
		if err != nil {
			continue
		}
		if v, err := c.Verdict(changed, own, universe); err == nil && v == want {
			return r, true
		}
	}
	return Remedy{}, false
}

// candidates are changes worth trying, the smallest first.
func (c *Case) candidates(a Answer, subject Subject, want Verdict) []Remedy {
	key := "sluice." + c.Direction.String()
	if want == Deny {
		return []Remedy{{Labels: c.extend(subject.Labels, key+".deny", c.item())}, {Add: c.policy(true)}}
	}
	var list []Remedy
	if c.Published != 0 {
		list = append(list, Remedy{Labels: c.extend(subject.Labels, "sluice.publish."+strconv.Itoa(int(c.Published)), c.Other.Text)})
	}
	if len(a.Closing) > 0 { // a list of what is allowed closes the rest, which is closed already
		list = append(list, Remedy{Labels: c.extend(subject.Labels, key, c.item())})
	}
	list = append(list, Remedy{Add: c.policy(false)})
	if len(a.Denying) == 0 {
		return list
	}
	drop := c.drop(a.Denying, subject.Labels)
	all := []Remedy{drop}
	for _, r := range list {
		labels := maps.Clone(drop.Labels)
		if labels == nil {
			labels = map[string]string{}
		}
		maps.Copy(labels, r.Labels)
		all = append(all, Remedy{Labels: labels, Remove: drop.Remove, Add: r.Add})
	}
	return all
}

// extend adds an item to a label's list.
func (c *Case) extend(l identity.Labels, key, item string) map[string]string {
	if old := strings.TrimSpace(l[key]); old != "" {
		item = old + ", " + item
	}
	return map[string]string{key: item}
}

// item is the case as an item of a label.
func (c *Case) item() string {
	switch {
	case hasPorts(c.Protocol):
		text := c.Other.Text
		if strings.Contains(text, ":") && !strings.HasPrefix(text, "name:") {
			text = "[" + text + "]" // IPv6
		}
		text += ":" + strconv.Itoa(int(c.Port))
		if c.Protocol != ProtocolTCP {
			text += "/" + ProtocolName(c.Protocol)
		}
		return text
	case c.Protocol == ProtocolICMP || c.Protocol == ProtocolICMPv6:
		return c.Other.Text + ":" + strconv.Itoa(int(c.Port>>8)) + "/" + ProtocolName(c.Protocol)
	}
	return c.Other.Text
}

// policy is the case as a policy of its own that closes nothing.
func (c *Case) policy(deny bool) *Policy {
	verb := "allow"
	if deny {
		verb = "deny"
	}
	clause := Clause{Path: c.Direction.String() + "[0]", Direction: c.Direction, Deny: deny, Peers: []Peer{c.Other.Peer}}
	port := Port{Protocol: c.Protocol, First: c.Port, Last: c.Port}
	switch {
	case c.Protocol == ProtocolICMP || c.Protocol == ProtocolICMPv6:
		port = icmpPort(c.Protocol, uint8(c.Port>>8))
	case !hasPorts(c.Protocol):
		port.First, port.Last = 0, 0xffff
	}
	clause.Ports = []PortRule{{Path: clause.Path + ".toPorts[0]", Ports: []Port{port}}}
	p := &Policy{Name: policyName(verb, c.Other.Text, c.Direction, c.Subject.Text)}
	rule := Rule{Clauses: []Clause{clause}}
	if c.Subject.Selector != nil {
		rule.Subject = *c.Subject.Selector
	}
	p.Rules = []Rule{rule}
	return p
}

// policyName makes a name of a document of what it does.
func policyName(verb, other string, d Direction, own string) string {
	words := []string{verb, own, "to", other}
	if d == Ingress {
		words = []string{verb, other, "to", own}
	}
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, strings.ReplaceAll(strings.Join(words, "-"), "name:", ""))
	for strings.Contains(name, "--") {
		name = strings.ReplaceAll(name, "--", "-")
	}
	return strings.Trim(name[:min(len(name), 63)], "-")
}

// drop takes rules away: items of labels, and rules of documents.
func (c *Case) drop(refs []RuleRef, l identity.Labels) Remedy {
	r := Remedy{}
	gone := map[string][]int{}
	for _, ref := range refs {
		if ref.Policy != LabelPolicyName {
			r.Remove = append(r.Remove, ref)
			continue
		}
		key, at := labelItem(ref.Rule)
		gone[key] = append(gone[key], at)
	}
	for key, places := range gone {
		var rest []string
		for i, item := range cutItems(l[key]) {
			if !slices.Contains(places, i) {
				rest = append(rest, item)
			}
		}
		if r.Labels == nil {
			r.Labels = map[string]string{}
		}
		r.Labels[key] = strings.Join(rest, ", ")
	}
	return r
}

// labelItem reads where a rule of a label stands: "sluice.egress[1] db:5432".
func labelItem(rule string) (key string, at int) {
	place, _, _ := strings.Cut(rule, " ")
	key, index, _ := strings.Cut(place, "[")
	at, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
	if err != nil {
		at = -1
	}
	return key, at
}

// cutItems cuts a label's list at its commas, but not within braces and parentheses.
func cutItems(value string) []string {
	var items []string
	depth, start := 0, 0
	for i, r := range value {
		switch r {
		case '{', '(', '[':
			depth++
		case '}', ')', ']':
			depth--
		case ',':
			if depth == 0 {
				items = append(items, strings.TrimSpace(value[start:i]))
				start = i + 1
			}
		}
	}
	return append(items, strings.TrimSpace(value[start:]))
}

// Apply returns the set and the subject after the change.
func (r Remedy) Apply(set *Set, subject Subject) (*Set, Subject, error) {
	changed := set
	for _, ref := range r.Remove {
		p := changed.Get(ref.Policy)
		if p == nil {
			return nil, subject, fmt.Errorf("remove rule %s: there is no such policy", ref)
		}
		var err error
		if changed, err = changed.With(p.without(ref.Rule)); err != nil {
			return nil, subject, err
		}
	}
	if r.Add != nil {
		if changed.Get(r.Add.Key()) != nil {
			return nil, subject, fmt.Errorf("add policy %s: the name is taken", r.Add.Key())
		}
		var err error
		if changed, err = changed.With(r.Add); err != nil {
			return nil, subject, err
		}
	}
	if len(r.Labels) > 0 {
		subject.Labels = subject.Labels.Clone()
		for key, value := range r.Labels {
			if value == "" {
				delete(subject.Labels, key)
			} else {
				subject.Labels[key] = value
			}
		}
	}
	return changed, subject, nil
}

// without is a copy of the policy that lacks the clauses or port rules of a path.
func (p *Policy) without(path string) *Policy {
	clone := *p
	clone.Rules = slices.Clone(p.Rules)
	for i := range clone.Rules {
		var left []Clause
		for _, c := range clone.Rules[i].Clauses {
			c.Ports = slices.DeleteFunc(slices.Clone(c.Ports), func(pr PortRule) bool { return pr.Path == path })
			if c.Path != path {
				left = append(left, c)
			}
		}
		clone.Rules[i].Clauses = left
	}
	return &clone
}
