package endpoint

import (
	"context"
	"errors"

	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
)

// A container has the label sluice.name only while a policy in force mentions its name: so containers that differ in
// nothing but their names go on sharing an identity. The policies are those applied and those that labels are.

// mentions counts who mentions each name. Manager.mu guards it.
type mentions struct {
	policies  map[string]bool // names in the set of policies
	labels    map[string]int  // how many endpoints' labels mention a name
	announced map[string]int  // how many requests under way bring a name
}

func newMentions() mentions {
	return mentions{policies: map[string]bool{}, labels: map[string]int{}, announced: map[string]int{}}
}

func (m *mentions) has(name string) bool {
	return name != "" && (m.policies[name] || m.labels[name] > 0 || m.announced[name] > 0)
}

// count adds to (or takes from) the counters of names.
func count(counters map[string]int, names []string, by int) {
	for _, n := range names {
		if counters[n] += by; counters[n] <= 0 {
			delete(counters, n)
		}
	}
}

// setPolicies enters the names that a set of policies mentions.
func (m *mentions) setPolicies(set *policy.Set) {
	m.policies = map[string]bool{}
	for _, name := range set.Names() {
		m.policies[name] = true
	}
}

// replace enters the names of an endpoint's record in the place of those of the record before; nil: none.
func (m *mentions) replace(old, now *Endpoint) {
	if now != nil {
		count(m.labels, now.mentions, 1)
	}
	if old != nil {
		count(m.labels, old.mentions, -1)
	}
}

// mentioned reports whether a policy mentions a container's name.
func (m *Manager) mentioned(name string) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.mentions.has(name)
}

// announce gives the label sluice.name to the containers of these names, before the policy that mentions them is in
// force: it must not meet them without. The caller puts it in force, or gives it up, and then calls done. It holds no
// endpoint's lock.
func (m *Manager) announce(ctx context.Context, names []string) (done func(), err error) {
	if len(names) == 0 {
		return func() {}, nil
	}
	m.mu.Lock()
	count(m.mentions.announced, names, 1)
	m.mu.Unlock()
	done = func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		count(m.mentions.announced, names, -1)
	}
	if err := m.relabelMentioned(ctx); err != nil {
		done()
		return nil, err
	}
	return done, nil
}

// relabelMentioned gives the label sluice.name to the containers that are mentioned by name, and takes it from the
// others.
func (m *Manager) relabelMentioned(ctx context.Context) error {
	m.mu.RLock()
	var wrong []string
	for _, e := range m.endpoints {
		if e.named() && e.hasName != m.mentions.has(e.Container.Name) {
			wrong = append(wrong, e.ID)
		}
	}
	m.mu.RUnlock()
	var errs []error
	for _, id := range wrong {
		errs = append(errs, m.reidentify(ctx, id))
	}
	if len(wrong) > 0 {
		m.requestRegeneration()
	}
	return errors.Join(errs...)
}

// remember notes in a record, which is not in use yet, what follows from its identity's labels.
func (e *Endpoint) remember(labels identity.Labels) {
	_, e.hasName = labels[identity.LabelName]
	e.mentions = namesOf(labels)
}

// namesOf returns the names of containers that the policy of a container's labels mentions.
func namesOf(labels identity.Labels) []string {
	var none *policy.Set
	return none.Names(labels)
}
