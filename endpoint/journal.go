package endpoint

import (
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/policy"
)

// Journal is told what becomes of containers and policies, in the order in which it happens. It must not wait, and must
// not ask the Manager.
type Journal interface {
	// EndpointCreated tells that a container is known on a network; EndpointDeleted that it left it.
	EndpointCreated(*observe.Party)
	EndpointDeleted(*observe.Party)
	// EndpointRegenerated tells that a container's programs were replaced, or why those before run on.
	EndpointRegenerated(p *observe.Party, err error)
	// PolicyChanged tells that a document came or changed, with that many rules, or that it was deleted.
	PolicyChanged(name string, revision uint64, rules int, deleted bool)
}

// unwritten is the Journal where nobody reads.
type unwritten struct{}

func (unwritten) EndpointCreated(*observe.Party)            {}
func (unwritten) EndpointDeleted(*observe.Party)            {}
func (unwritten) EndpointRegenerated(*observe.Party, error) {}
func (unwritten) PolicyChanged(string, uint64, int, bool)   {}

// writeSaved tells that a record became current in the place of another, nil if there was none. The caller holds mu.
func (m *Manager) writeSaved(old, now *Endpoint) {
	if now.named() && (old == nil || !old.named()) {
		m.Journal.EndpointCreated(m.parties.of(now.ID))
	}
}

// writeErased tells that a record is going. The caller holds mu, and the index still knows it.
func (m *Manager) writeErased(e *Endpoint) {
	if p := m.parties.of(e.ID); p != nil && e.named() {
		m.Journal.EndpointDeleted(p)
	}
}

// writeReplaced tells the outcome of a job.
func (m *Manager) writeReplaced(j *job) {
	if p := m.parties.of(j.endpoint.ID); p != nil {
		m.Journal.EndpointRegenerated(p, j.err)
	}
}

// writePolicies tells in what one set of documents differs from another. The caller holds mu.
func (m *Manager) writePolicies(set *policy.Set, before, now map[string]*Document) {
	rules := map[string]int{}
	for _, p := range set.List() {
		rules[p.Key()] = len(p.Rules)
	}
	for key, d := range now {
		if before[key] != d {
			m.Journal.PolicyChanged(key, m.generation, rules[key], false)
		}
	}
	for key := range before {
		if now[key] == nil {
			m.Journal.PolicyChanged(key, m.generation, 0, true)
		}
	}
}

// PolicyKind returns the kind of a policy by its key; empty if there is no such policy. It is cheap.
func (m *Manager) PolicyKind(key string) string {
	if key == policy.LabelPolicyName {
		return labelKind
	}
	m.mu.RLock()
	d := m.documents[key]
	m.mu.RUnlock()
	if d == nil {
		return ""
	}
	if kind, ok := m.kinds.Load(d); ok {
		return kind.(string)
	}
	kind := d.kind()
	m.kinds.Store(d, kind)
	return kind
}
