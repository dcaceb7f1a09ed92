package policy

import (
	"strings"
	"sync"

	"github.com/sluice-net/sluice/identity"
)

// ownRules remembers the rules that containers' labels are, by the labels that matter for them.
type ownRules struct {
	mu    sync.Mutex
	known map[string]ownRule
}

type ownRule struct {
	rule *compiledRule
	err  error
}

// maxOwnRules bounds what is remembered.
const maxOwnRules = 1 << 14

// own returns the rule that a container's labels are, nil if they say nothing. The error is that of LabelPolicy.
func (s *Set) own(l identity.Labels) (*compiledRule, error) {
	keys := ownKeys(l)
	if len(keys) == 0 {
		return nil, nil
	}
	if s == nil || s.labels == nil {
		return compileOwn(l)
	}
	var b strings.Builder
	for _, key := range append(keys, labelProject) {
		b.WriteString(identity.Quote(key) + "=" + identity.Quote(l[key]) + "\n")
	}
	s.labels.mu.Lock()
	defer s.labels.mu.Unlock()
	if r, ok := s.labels.known[b.String()]; ok {
		return r.rule, r.err
	}
	if s.labels.known == nil || len(s.labels.known) >= maxOwnRules {
		s.labels.known = map[string]ownRule{}
	}
	rule, err := compileOwn(l)
	s.labels.known[b.String()] = ownRule{rule, err}
	return rule, err
}

func compileOwn(l identity.Labels) (*compiledRule, error) {
	p, err := LabelPolicy(l)
	if err != nil || p == nil {
		return nil, err
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	c := compileRule(p, &p.Rules[0])
	return &c, nil
}
