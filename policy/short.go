package policy

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// shortKey is the field that a document of the short form has: it has no kind.
const shortKey = "policies"

// short reads a document of the short form: the rules of labels, for containers that `for` selects.
func (d *reader) short(n *yaml.Node, path string) {
	d.mapping(n, path, fields{shortKey: read(func(n *yaml.Node, path string) {
		before := len(d.policies)
		d.list(n, path, func(n *yaml.Node, path string) {
			p := &Policy{Source: Source{File: d.file, Line: n.Line}}
			s := shortReader{reader: d, policy: p}
			s.read(n, path)
			d.policies = append(d.policies, p)
		})
		if len(d.policies) == before && len(d.problems) == 0 {
			d.fail(n, path, "the list has no policy")
		}
	})})
}

// shortReader reads one policy of the short form.
type shortReader struct {
	*reader
	policy   *Policy
	subjects []Selector
	rule     Rule
	closing  [directions]*bool
	said     bool
}

func (s *shortReader) read(n *yaml.Node, path string) {
	s.rule.Line = n.Line
	ok := s.mapping(n, path, fields{
		"name":        read(s.name(&s.policy.Name)),
		"namespace":   read(s.name(&s.policy.Namespace)),
		"description": read(func(n *yaml.Node, path string) { s.policy.Description = s.description(n, path, "") }),
		"for":         read(s.selects),
		"egress":      s.items(Egress, false), "egress.deny": s.items(Egress, true),
		"ingress": s.items(Ingress, false), "ingress.deny": s.items(Ingress, true),
		"default-deny": read(func(n *yaml.Node, path string) {
			s.mapping(n, path, fields{"ingress": s.optionalBool(&s.closing[Ingress]), "egress": s.optionalBool(&s.closing[Egress])})
		}),
		"publish": read(s.publish),
		"rate":    read(s.rates),
		"profile": s.word(func(word string) (reason string) { s.rule.Preset, reason = parsePreset(word); return reason }),
		"mode": s.word(func(word string) string {
			e, reason := parseMode(word)
			s.rule.Enforcement = &e
			return reason
		}),
		"observe": s.word(func(word string) (reason string) { s.rule.Level, reason = parseLevel(word); return reason }),
	})
	if !ok {
		return
	}
	if s.policy.Name == "" {
		s.fail(n, join(path, "name"), "missing: every policy has a name")
	}
	if len(s.subjects) == 0 && len(s.problems) == 0 {
		s.fail(n, join(path, "for"), `missing: write the containers that it is about, such as shop/db, name:db or label:app=db; "@any" for every container`)
	}
	if !s.said && len(s.problems) == 0 && s.closing == [directions]*bool{} {
		s.fail(n, path, "the policy says nothing: write ingress, egress, publish, rate, mode, observe or profile")
	}
	s.finish()
}

// finish makes the rules: one for each alternative of `for`.
func (s *shortReader) finish() {
	for d := range s.rule.Close {
		if s.closing[d] != nil {
			s.rule.Close[d] = *s.closing[d]
		}
	}
	for _, subject := range s.subjects {
		r := s.rule
		r.Subject = subject.inNamespace(s.policy.Namespace)
		s.policy.Rules = append(s.policy.Rules, r)
	}
}

func (s *shortReader) name(to *string) func(n *yaml.Node, path string) {
	return func(n *yaml.Node, path string) {
		if word, ok := s.str(n, path); ok && s.validName(n, path, word) {
			*to = word
		}
	}
}

// word reads a field that has one of a few words.
func (s *shortReader) word(read1 func(word string) (reason string)) field {
	return read(func(n *yaml.Node, path string) {
		s.said = true
		if word, ok := s.str(n, path); ok {
			if reason := read1(word); reason != "" {
				s.fail(n, path, "%s", reason)
			}
		}
	})
}

// values reads a string, or a list of strings, each of which may be a comma list.
func (s *shortReader) values(n *yaml.Node, path string, one func(n *yaml.Node, path, value string)) {
	if n.Kind != yaml.SequenceNode {
		if value, ok := s.str(n, path); ok {
			one(n, path, value)
		}
		return
	}
	if len(n.Content) == 0 {
		s.fail(n, path, "the list is empty: write @none for nobody, @any for everybody")
	}
	s.list(n, path, func(n *yaml.Node, path string) {
		if value, ok := s.str(n, path); ok {
			one(n, path, value)
		}
	})
}

func (s *shortReader) faults(n *yaml.Node, path, value string, faults ...*fault) {
	for _, f := range faults {
		if len(s.problems) < maxProblems {
			s.problems = append(s.problems, Problem{File: s.file, Line: n.Line, Path: path, Column: f.column(value), Value: value, Reason: f.reason})
		}
	}
}

// terms reads items, and finds what can never be.
func (s *shortReader) terms(n *yaml.Node, path, value string, d Direction, each func(t *term)) {
	terms, faults := parseItems(value)
	s.faults(n, path, value, faults...)
	for i := range terms {
		t := &terms[i]
		for _, f := range []*fault{t.checkPeer(), t.checkNames(d)} {
			if f != nil {
				s.faults(n, path, value, f)
			}
		}
		each(t)
	}
}

func (s *shortReader) items(d Direction, deny bool) field {
	return read(func(n *yaml.Node, path string) {
		s.said = true
		s.rule.Close[d] = s.rule.Close[d] || !deny
		name, i := path[strings.LastIndexByte(path, ']')+2:], 0
		s.values(n, path, func(n *yaml.Node, path, value string) {
			s.terms(n, path, value, d, func(t *term) {
				s.rule.Clauses = append(s.rule.Clauses, t.clause(d, deny, itemPath(name, i, t.text), n.Line))
				i++
			})
		})
	})
}

// publish reads the peers of every published port, or a mapping of ports to peers.
func (s *shortReader) publish(n *yaml.Node, path string) {
	s.said = true
	if n.Kind != yaml.MappingNode {
		s.published(n, path, "publish", PublishRule{})
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], s.follow(n.Content[i+1], path)
		at := join(path, key.Value)
		rule, reason := PublishRule{}, ""
		if key.Value != "*" {
			rule.Port, rule.Protocol, reason = publishedPort(key.Value)
		}
		switch {
		case value == nil:
			return
		case key.Kind != yaml.ScalarNode || reason != "":
			s.fail(key, at, `not a published port: write 8080, "53/udp", or "*" for every published port`)
		case seen[key.Value]:
			s.fail(key, at, "the port stands twice")
		default:
			s.published(value, at, "publish."+key.Value, rule)
		}
		seen[key.Value] = true
	}
}

func (s *shortReader) published(n *yaml.Node, path, name string, rule PublishRule) {
	i := 0
	s.values(n, path, func(n *yaml.Node, path, value string) {
		s.terms(n, path, value, Egress, func(t *term) {
			if f := t.publishFault(rule.Port); f != nil {
				s.faults(n, path, value, f)
			}
			one := rule
			one.Path, one.Line, one.Peers = itemPath(name, i, t.text), n.Line, []Peer{t.peer}
			s.rule.Publish = append(s.rule.Publish, one)
			i++
		})
	})
}

func (s *shortReader) rates(n *yaml.Node, path string) {
	s.said = true
	rate := func(d Direction) field {
		return read(func(n *yaml.Node, path string) {
			if value, ok := s.str(n, path); ok {
				r, f := parseRate(value)
				if f != nil {
					s.faults(n, path, value, f)
				}
				s.rule.Rates[d] = r
			}
		})
	}
	s.mapping(n, path, fields{"egress": rate(Egress), "ingress": rate(Ingress)})
}

// selects reads `for`: alternatives of whom the policy is about.
func (s *shortReader) selects(n *yaml.Node, path string) {
	s.values(n, path, func(n *yaml.Node, path, value string) {
		terms, f := splitItems(value)
		if f != nil {
			s.faults(n, path, value, f)
			return
		}
		for _, t := range terms {
			subject, f := t.subject()
			if f != nil {
				s.faults(n, path, value, f)
				continue
			}
			s.subjects = append(s.subjects, subject)
		}
	})
}

// subject reads one alternative of `for`: @any, name:CONTAINER, net:NETWORK, label:…, PROJECT/SERVICE, a service of any
// project, or requirements on labels without label: before them.
func (t *term) subject() (Selector, *fault) {
	if t.text == "@any" || t.text == "*" {
		return Selector{}, nil
	}
	bare := !slices.ContainsFunc(peerKinds, func(kind string) bool { return strings.HasPrefix(t.text, kind+":") })
	if bare && strings.ContainsAny(t.text, "=!(") {
		selector, f := parseLabels(t.text, t.at)
		if f != nil {
			return Selector{}, f
		}
		return *selector, nil
	}
	whole := strings.TrimPrefix(t.text, "label:")
	if len(whole) < len(t.text) {
		selector, f := parseLabels(whole, t.at+len("label:"))
		if f != nil {
			return Selector{}, f
		}
		return *selector, nil
	}
	if f := t.parsePeer(t.text); f != nil {
		return Selector{}, f
	}
	if t.peer.Selector == nil {
		return Selector{}, faultf(t.at, "%s is not about containers: write PROJECT/SERVICE, name:CONTAINER, net:NETWORK, label:KEY=VALUE, or @any", strconv.Quote(t.text))
	}
	return *t.peer.Selector, nil
}
