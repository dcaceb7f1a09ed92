package endpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/store"
)

// Document is the record of a policy document.
type Document struct {
	Key        string // policy.Policy.Key
	Source     policy.Source
	Text       string // of the whole YAML or JSON document that it stands in
	Start      int    // line of the source where Text starts, from 1
	Applied    time.Time
	Generation uint64 // in which it came or changed
	// Subjects are whom its rules select, for the case that a later version cannot read the text.
	Subjects []policy.Selector

	unreadable bool
}

// parse reads the document's policy again, with the lines of its source.
func (d *Document) parse() (*policy.Policy, error) {
	padded := strings.Repeat("\n", max(d.Start-1, 0)) + d.Text
	policies, err := policy.Parse(strings.NewReader(padded), d.Source.File)
	if err != nil {
		return nil, err
	}
	for _, p := range policies {
		if p.Key() == d.Key {
			return p, nil
		}
	}
	return nil, fmt.Errorf("policy %s is not in its document: %w", d.Key, store.ErrCorrupt)
}

// kind returns the kind that the document names.
func (d *Document) kind() string {
	var head struct {
		Kind string `json:"kind"`
	}
	if err := yaml.Unmarshal([]byte(d.Text), &head); err != nil {
		return ""
	}
	return head.Kind
}

// closing returns what stands in for a document that cannot be read any more: what it allowed is not known, so whom it
// selected is closed in both directions.
func (d *Document) closing() *policy.Policy {
	p := &policy.Policy{Name: d.Key, Source: d.Source}
	for _, s := range d.Subjects {
		p.Rules = append(p.Rules, policy.Rule{Subject: s, Line: d.Source.Line, Close: [2]bool{true, true}})
	}
	return p
}

// loadPolicies reads the stored documents. One that cannot be read keeps no daemon from starting; it fails closed.
func (m *Manager) loadPolicies(ctx context.Context) error {
	var policies []*policy.Policy
	err := list(ctx, m.Store, policyPrefix, func(_ string, d *Document) error {
		p, err := d.parse()
		if err == nil {
			err = p.Validate()
		}
		if err != nil {
			m.Log.WithError(err).WithField("policy", d.Key).Error(
				"a stored policy cannot be read: the containers that it selects are closed until it is applied again or deleted")
			p, d.unreadable = d.closing(), true
		}
		policies = append(policies, p)
		d.Generation = 0
		m.documents[d.Key] = d
		return nil
	})
	if err != nil {
		return err
	}
	set, err := policy.NewSet(policies...)
	if err != nil {
		return fmt.Errorf("restore policies: %w", err)
	}
	m.policies = set
	m.mentions.setPolicies(set)
	return nil
}

// parsed is one policy of a request with the record that it becomes.
type parsed struct {
	policy   *policy.Policy
	document *Document
}

// parseSources reads all documents of a request; what is refused is an api.Error with a problem for each place.
func parseSources(sources []api.PolicySource) ([]parsed, error) {
	var all []parsed
	refusal := api.Errorf(api.CodeInvalid, "policy refused, nothing was changed")
	for _, s := range sources {
		policies, err := policy.Parse(strings.NewReader(s.Text), s.Source)
		var problems policy.Problems
		switch {
		case errors.As(err, &problems):
			for _, p := range problems {
				refusal.Problems = append(refusal.Problems, problemOf(p))
			}
			continue
		case err != nil:
			return nil, api.Errorf(api.CodeInvalid, "%v", err)
		}
		for _, p := range policies {
			text, start := documentAt(s.Text, p.Source.Line)
			d := &Document{Key: p.Key(), Source: p.Source, Text: text, Start: start}
			for _, r := range p.Rules {
				d.Subjects = append(d.Subjects, r.Subject)
			}
			all = append(all, parsed{p, d})
		}
	}
	if len(refusal.Problems) > 0 {
		return nil, refusal
	}
	if len(all) == 0 {
		return nil, api.Errorf(api.CodeInvalid, "no policy document was given")
	}
	if _, err := policy.NewSet(policiesOf(all)...); err != nil {
		return nil, api.Errorf(api.CodeInvalid, "%v", err)
	}
	return all, nil
}

func problemOf(p policy.Problem) api.Problem {
	return api.Problem{Source: p.File, Line: p.Line, Message: p.Message()}
}

func policiesOf(all []parsed) []*policy.Policy {
	out := make([]*policy.Policy, len(all))
	for i := range all {
		out[i] = all[i].policy
	}
	return out
}

// documentAt returns the document of a YAML stream that a line belongs to, and the line where it starts.
func documentAt(text string, line int) (document string, start int) {
	lines := strings.SplitAfter(text, "\n")
	line = min(max(line, 1), len(lines))
	first, last := line-1, line
	for first > 0 && !strings.HasPrefix(lines[first], "---") {
		first--
	}
	if strings.HasPrefix(lines[first], "---") {
		first++
	}
	for last < len(lines) && !strings.HasPrefix(lines[last], "---") {
		last++
	}
	return strings.Join(lines[first:max(first, last)], ""), first + 1
}

// ApplyPolicies stores all documents of all sources, or none. The programs follow; Wait waits for them.
func (m *Manager) ApplyPolicies(ctx context.Context, sources []api.PolicySource) (api.Change, error) {
	all, err := parseSources(sources)
	if err != nil {
		return api.Change{}, err
	}
	defer m.calls.lock("policies")()
	var ops []store.Op
	var results []api.PolicyResult
	m.mu.RLock()
	generation := m.generation + 1
	for _, p := range all {
		r := api.PolicyResult{
			Name: p.document.Key, Kind: p.document.kind(), Source: p.policy.Source.String(),
			Action: api.ActionCreated, Endpoints: len(m.selected(p.policy)),
		}
		p.document.Applied, p.document.Generation = m.Now().UTC(), generation
		if old := m.documents[p.document.Key]; old != nil {
			r.Action = api.ActionUpdated
			if old.Text == p.document.Text && old.Source == p.document.Source && !old.unreadable {
				r.Action = api.ActionUnchanged
				p.document.Applied, p.document.Generation = old.Applied, old.Generation
			}
		}
		results = append(results, r)
		op, err := put(policyPrefix+p.document.Key, p.document)
		if err != nil {
			m.mu.RUnlock()
			return api.Change{}, err
		}
		ops = append(ops, op)
	}
	set, err := m.policies.With(policiesOf(all)...)
	m.mu.RUnlock()
	if err != nil {
		return api.Change{}, api.Errorf(api.CodeInvalid, "%v", err)
	}
	done, err := m.announce(ctx, set.Names())
	if err != nil {
		return api.Change{}, fmt.Errorf("relabel the containers that policies name: %w", err)
	}
	defer done()
	if err := m.Store.Apply(ctx, ops...); err != nil {
		return api.Change{}, fmt.Errorf("store policies: %w", err)
	}
	revision := m.enforce(set, func(documents map[string]*Document) {
		for _, p := range all {
			documents[p.document.Key] = p.document
		}
	})
	return api.Change{Revision: revision, Policies: results}, nil
}

// ValidatePolicies refuses what ApplyPolicies would refuse, and stores nothing.
func (m *Manager) ValidatePolicies(_ context.Context, sources []api.PolicySource) ([]api.PolicyResult, error) {
	all, err := parseSources(sources)
	if err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var results []api.PolicyResult
	for _, p := range all {
		results = append(results, api.PolicyResult{
			Name: p.document.Key, Kind: p.document.kind(), Source: p.policy.Source.String(),
			Action: api.ActionValid, Endpoints: len(m.selected(p.policy)),
		})
	}
	return results, nil
}

// DeletePolicies deletes documents by their exact names, all or none.
func (m *Manager) DeletePolicies(ctx context.Context, names []string) (api.Change, error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	defer m.calls.lock("policies")()
	m.mu.RLock()
	set, missing := m.policies.Without(names...)
	var results []api.PolicyResult
	var ops []store.Op
	for _, name := range names {
		if d := m.documents[name]; d != nil {
			results = append(results, api.PolicyResult{
				Name: name, Kind: d.kind(), Source: d.Source.String(), Action: api.ActionDeleted,
				Endpoints: len(m.selected(m.policies.Get(name))),
			})
		}
		ops = append(ops, store.Op{Key: policyPrefix + name, Delete: true})
	}
	m.mu.RUnlock()
	if len(missing) > 0 {
		return api.Change{}, api.Errorf(api.CodeNotFound, "delete policy %s: no such policy", strings.Join(missing, ", "))
	}
	if err := m.Store.Apply(ctx, ops...); err != nil {
		return api.Change{}, fmt.Errorf("delete policies: %w", err)
	}
	revision := m.enforce(set, func(documents map[string]*Document) {
		for _, name := range names {
			delete(documents, name)
		}
	})
	return api.Change{Revision: revision, Policies: results}, nil
}

// enforce makes a set current and asks for the programs to follow; it returns the generation of the change.
func (m *Manager) enforce(set *policy.Set, change func(map[string]*Document)) uint64 {
	m.mu.Lock()
	documents := maps.Clone(m.documents)
	change(documents)
	m.policies, m.documents = set, documents
	m.mentions.setPolicies(set)
	m.generation++
	generation := m.generation
	m.mu.Unlock()
	m.requestRegeneration()
	return generation
}

// selected returns the ids of the endpoints that a policy selects, sorted. The caller holds mu.
func (m *Manager) selected(p *policy.Policy) []string {
	ids := []string{}
	for id, e := range m.endpoints {
		if labels, ok := m.identities.Labels(e.Identity); ok && e.joined() && p != nil && p.Selects(labels) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Policies lists the documents.
func (m *Manager) Policies(context.Context) ([]api.Policy, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := []api.Policy{}
	for _, p := range m.policies.List() {
		d := m.documents[p.Key()]
		all = append(all, api.Policy{
			Name: d.Key, Kind: d.kind(), Source: d.Source.String(), Rules: len(p.Rules), Endpoints: m.selected(p),
			Revision: d.Generation, Applied: d.Applied, Text: d.Text,
		})
	}
	return all, nil
}

// UnreadablePolicies names the stored documents that this version cannot read, sorted.
func (m *Manager) UnreadablePolicies() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var names []string
	for name, d := range m.documents {
		if d.unreadable {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
