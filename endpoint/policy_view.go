package endpoint

import (
	"context"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
)

// labelKind is the kind of the policies that containers' labels are.
const labelKind = "Labels"

// Policies lists the policies in force: the documents, then those that labels of containers are, one for all containers
// that share an identity.
func (m *Manager) Policies(context.Context) ([]api.Policy, error) {
	refused := m.policyFiles.refusals()
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := []api.Policy{}
	open, selected := m.unresolved(), m.selects()
	for _, p := range m.policies.List() {
		d := m.documents[p.Key()]
		all = append(all, api.Policy{
			Name: d.Key, Kind: d.kind(), Origin: d.Origin.String(), Source: d.Source.String(), Rules: len(p.Rules),
			Endpoints: selected(p), Unresolved: open.of(p.Key()), Revision: d.Generation, Applied: d.Applied, Text: d.Text,
			Problems: refused[d.Source.File],
		})
	}
	return append(all, m.labelPolicies(open)...), nil
}

// labelPolicies lists the policies that labels are, by the name of their first container. The caller holds mu.
func (m *Manager) labelPolicies(open unresolved) []api.Policy {
	holders := map[identity.ID][]*Endpoint{}
	networks := map[string]int{} // how many each container is on
	for _, e := range m.endpoints {
		if e.joined() && e.named() {
			holders[e.Identity] = append(holders[e.Identity], e)
			networks[e.Container.ID]++
		}
	}
	var all []api.Policy
	for id, endpoints := range holders {
		labels, _ := m.identities.Labels(id)
		p, err := policy.LabelPolicy(labels)
		if p == nil || err != nil {
			continue
		}
		slices.SortFunc(endpoints, func(a, b *Endpoint) int { return strings.Compare(a.Container.Name, b.Container.Name) })
		v := api.Policy{
			Kind: labelKind, Origin: p.Origin.String(), Rules: len(p.Rules), Unresolved: open.of(labelOwner(id)), Text: labelText(labels),
			Applied: endpoints[0].Created,
		}
		var names []string
		for _, e := range endpoints {
			names = append(names, e.Container.Name)
			v.Endpoints = append(v.Endpoints, e.ID)
		}
		v.Name, v.Source = policy.LabelPolicyName+":"+names[0], "labels of "+strings.Join(names, ", ")
		if networks[endpoints[0].Container.ID] > 1 {
			v.Name += "@" + labels[identity.LabelNetwork]
		}
		slices.Sort(v.Endpoints)
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b api.Policy) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// labelText writes the labels that are a policy as a service of a compose file has them.
func labelText(labels identity.Labels) string {
	own := maps.Clone(labels)
	maps.DeleteFunc(own, func(key, _ string) bool { return !strings.HasPrefix(key, policy.LabelPrefix) || identity.IsOwn(key) })
	text, err := yaml.Marshal(map[string]any{"labels": own})
	if err != nil { // texts can always be written
		return err.Error()
	}
	return string(text)
}

// unresolved are the peers of policies that no container is, by the key of the policy or labelOwner.
type unresolved map[string]map[string]bool

// labelOwner names the policy that the labels of an identity are.
func labelOwner(id identity.ID) string { return policy.LabelPolicyName + ":" + id.String() }

// of lists the peers of a policy.
func (u unresolved) of(key string) []string { return slices.Sorted(maps.Keys(u[key])) }

// unresolved finds the peers that no container is, of all policies that select one. The caller holds mu.
func (m *Manager) unresolved() unresolved {
	modes := map[subject]bool{}
	var known []policy.KnownIdentity
	for _, e := range m.endpoints {
		n := m.networks[e.NetworkID]
		if n == nil || !e.joined() || !e.named() {
			continue
		}
		modes[subject{identity: e.Identity, mode: n.Options.Policy}] = true
		labels, _ := m.identities.Labels(e.Identity)
		known = append(known, policy.KnownIdentity{ID: e.Identity, Labels: labels})
	}
	universe := policy.NewUniverse(known...)
	found := unresolved{}
	for s := range modes {
		own, _ := universe.Get(s.identity)
		mode, err := policy.ParseMode(string(s.mode))
		if err != nil {
			continue
		}
		for _, p := range policy.Unresolved(m.policies, policy.Subject{Labels: own.Labels, Mode: mode}, universe) {
			key := p.Rule.Policy
			if key == policy.LabelPolicyName {
				key = labelOwner(s.identity)
			}
			if found[key] == nil {
				found[key] = map[string]bool{}
			}
			found[key][p.Peer] = true
		}
	}
	return found
}

// showPolicy fills in what policy makes of an endpoint beside its tables. The caller holds mu.
func (m *Manager) showPolicy(v *api.Endpoint, r *running, labels identity.Labels) {
	v.Mode = r.program.Enforcement.String()
	v.Observe = r.program.Level.Effective().String()
	v.Profile = labels[policy.LabelPrefix+"profile"]
	v.EgressRate, v.IngressRate = rate(r.program.EgressRate), rate(r.program.IngressRate)
	t := r.program.Publish
	v.Publish.Enforced, v.Publish.Entries = t != nil, t.Entries()
	if t == nil {
		return
	}
	for _, ref := range t.Rules {
		v.Publish.Rules = append(v.Publish.Rules, ref.String())
	}
}

// rate shows a rate, empty: none.
func rate(r policy.Rate) string {
	if r == (policy.Rate{}) {
		return ""
	}
	return r.String()
}
