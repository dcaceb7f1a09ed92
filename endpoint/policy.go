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
	"github.com/sluice-net/sluice/identity"
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
	Origin     policy.Origin
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
			p.Origin = d.Origin
			return p, nil
		}
	}
	return nil, fmt.Errorf("policy %s is not in its document: %w", d.Key, store.ErrCorrupt)
}

// kind returns the kind that the document names, or what a document without kind is.
func (d *Document) kind() string {
	var head any
	if err := yaml.Unmarshal([]byte(d.Text), &head); err != nil {
		return ""
	}
	switch head := head.(type) {
	case []any:
		return "rules"
	case map[string]any:
		if kind, ok := head["kind"].(string); ok {
			return kind
		}
		if _, short := head["policies"]; short {
			return "policies"
		}
	}
	return ""
}

// same reports whether a document of the same key says the same in the same place.
func (d *Document) same(other *Document) bool {
	return other != nil && d.Text == other.Text && d.Source == other.Source && d.Origin == other.Origin && !other.unreadable
}

// closing returns what stands in for a document that cannot be read any more: what it allowed is not known, so whom it
// selected is closed in both directions.
func (d *Document) closing() *policy.Policy {
	p := &policy.Policy{Name: d.Key, Source: d.Source, Origin: d.Origin}
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
		read, problems := parseSource(s, policy.OriginDocument)
		all, refusal.Problems = append(all, read...), append(refusal.Problems, problems...)
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

// parseSource reads the documents of one file, or tells every place in it that is refused.
func parseSource(s api.PolicySource, origin policy.Origin) ([]parsed, []api.Problem) {
	policies, err := policy.Parse(strings.NewReader(s.Text), s.Source)
	var refused policy.Problems
	switch {
	case errors.As(err, &refused):
		var problems []api.Problem
		for _, p := range refused {
			problems = append(problems, problemOf(p))
		}
		return nil, problems
	case err != nil:
		return nil, []api.Problem{{Source: s.Source, Message: err.Error()}}
	}
	var all []parsed
	for _, p := range policies {
		p.Origin = origin
		text, start := documentAt(s.Text, p.Source.Line)
		d := &Document{Key: p.Key(), Source: p.Source, Text: text, Start: start, Origin: origin}
		for _, r := range p.Rules {
			d.Subjects = append(d.Subjects, r.Subject)
		}
		all = append(all, parsed{p, d})
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
	m.stamp(all)
	var results []api.PolicyResult
	m.mu.RLock()
	selected := m.selects()
	for _, p := range all {
		r := api.PolicyResult{
			Name: p.document.Key, Kind: p.document.kind(), Source: p.policy.Source.String(),
			Action: api.ActionCreated, Endpoints: len(selected(p.policy)),
		}
		old := m.documents[p.document.Key]
		if old != nil && old.Origin == policy.OriginDirectory {
			err = api.Errorf(api.CodeConflict, "apply policy %s: it is of the file %s; change it there", old.Key, old.Source)
			break
		}
		switch {
		case p.document.same(old):
			r.Action = api.ActionUnchanged
			p.document.Applied, p.document.Generation = old.Applied, old.Generation
		case old != nil:
			r.Action = api.ActionUpdated
		}
		results = append(results, r)
	}
	m.mu.RUnlock()
	if err != nil {
		return api.Change{}, err
	}
	revision, err := m.commit(ctx, all, nil)
	if err != nil {
		return api.Change{}, err
	}
	return api.Change{Revision: revision, Policies: results}, nil
}

// commit makes a change of the policies durable, then current, and asks for the programs to follow; it returns the
// generation of the change. The caller holds the lock "policies".
func (m *Manager) commit(ctx context.Context, puts []parsed, removed []string) (uint64, error) {
	for _, p := range puts { // what comes back under the same name does not go
		removed = slices.DeleteFunc(removed, func(key string) bool { return key == p.document.Key })
	}
	m.mu.RLock()
	set := m.policies
	m.mu.RUnlock()
	if len(removed) > 0 {
		set, _ = set.Without(removed...)
	}
	set, err := set.With(policiesOf(puts)...)
	if err != nil {
		return 0, api.Errorf(api.CodeInvalid, "%v", err)
	}
	var ops []store.Op
	for _, key := range removed {
		ops = append(ops, store.Remove(policyPrefix+key))
	}
	for _, p := range puts {
		op, err := put(policyPrefix+p.document.Key, p.document)
		if err != nil {
			return 0, err
		}
		ops = append(ops, op)
	}
	done, err := m.announce(ctx, set.Names())
	if err != nil {
		return 0, fmt.Errorf("relabel the containers that policies name: %w", err)
	}
	defer done()
	if err := m.Store.Apply(ctx, ops...); err != nil {
		return 0, fmt.Errorf("store policies: %w", err)
	}
	return m.enforce(set, func(documents map[string]*Document) {
		for _, key := range removed {
			delete(documents, key)
		}
		for _, p := range puts {
			documents[p.document.Key] = p.document
		}
	}), nil
}

// ValidatePolicies refuses what ApplyPolicies would refuse, but for names that files have, and stores nothing.
func (m *Manager) ValidatePolicies(_ context.Context, sources []api.PolicySource) ([]api.PolicyResult, error) {
	all, err := parseSources(sources)
	if err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	selected := m.selects()
	var results []api.PolicyResult
	for _, p := range all {
		results = append(results, api.PolicyResult{
			Name: p.document.Key, Kind: p.document.kind(), Source: p.policy.Source.String(),
			Action: api.ActionValid, Endpoints: len(selected(p.policy)),
		})
	}
	return results, nil
}

// DeletePolicies deletes documents by their exact names, all or none. A policy of a file is deleted with the file; a
// file that only waited for a name gets it at once, in the same change.
func (m *Manager) DeletePolicies(ctx context.Context, names []string) (api.Change, error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	defer m.calls.lock("policies")()
	m.mu.RLock()
	selected := m.selects()
	var results []api.PolicyResult
	var missing []string
	var err error
	for _, name := range names {
		d := m.documents[name]
		switch {
		case d == nil:
			missing = append(missing, name)
		case d.Origin == policy.OriginDirectory:
			err = api.Errorf(api.CodeConflict, "delete policy %s: it is of the file %s; remove it there", name, d.Source)
		default:
			results = append(results, api.PolicyResult{
				Name: name, Kind: d.kind(), Source: d.Source.String(), Action: api.ActionDeleted,
				Endpoints: len(selected(m.policies.Get(name))),
			})
		}
	}
	left := maps.Clone(m.documents)
	m.mu.RUnlock()
	if len(missing) > 0 {
		err = api.Errorf(api.CodeNotFound, "delete policy %s: no such policy", strings.Join(missing, ", "))
	}
	if err != nil {
		return api.Change{}, err
	}
	for _, name := range names {
		delete(left, name)
	}
	plan := m.policyFiles.plan(left)
	m.stamp(plan.puts)
	revision, err := m.commit(ctx, plan.puts, append(plan.removed, names...))
	if err != nil {
		return api.Change{}, err
	}
	m.showFiles(plan.states)
	return api.Change{Revision: revision, Policies: results}, nil
}

// enforce makes a set current and asks for the programs to follow; it returns the generation of the change.
func (m *Manager) enforce(set *policy.Set, change func(map[string]*Document)) uint64 {
	m.mu.Lock()
	documents := maps.Clone(m.documents)
	change(documents)
	before := m.documents
	m.policies, m.documents = set, documents
	m.mentions.setPolicies(set)
	m.generation++
	generation := m.generation
	m.kinds.Clear()
	m.writePolicies(set, before, documents)
	m.mu.Unlock()
	m.requestRegeneration()
	return generation
}

// selects returns the function that finds the ids of the endpoints that a policy selects, sorted. The caller holds mu.
func (m *Manager) selects() func(p *policy.Policy) []string {
	labels := map[identity.ID]identity.Labels{}
	holders := map[identity.ID][]string{}
	for id, e := range m.endpoints {
		if !e.joined() {
			continue
		}
		if labels[e.Identity] == nil {
			labels[e.Identity], _ = m.identities.Labels(e.Identity)
		}
		holders[e.Identity] = append(holders[e.Identity], id)
	}
	return func(p *policy.Policy) []string {
		ids := []string{}
		for identity, l := range labels {
			if l != nil && p != nil && p.Selects(l) {
				ids = append(ids, holders[identity]...)
			}
		}
		slices.Sort(ids)
		return ids
	}
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
