package endpoint

import (
	"context"
	"time"
)

const (
	// inspectTime bounds a question for one container's domains: Docker may be busy with it.
	inspectTime = 2 * time.Second
	// inspectPause is how long those wait of which Docker could not tell.
	inspectPause = 15 * time.Second
)

// FollowDomains learns by which names containers are asked for on their networks, whenever there are new ones, until the
// context ends. It has its own pace: Docker may wait for us while we ask.
func (m *Manager) FollowDomains(ctx context.Context) {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.renamed:
		case <-again.C:
		}
		if !m.learnDomains(ctx) {
			again.Reset(inspectPause)
		}
	}
}

// domainsWanted asks FollowDomains to look for containers whose domains are not known.
func (m *Manager) domainsWanted() {
	select {
	case m.renamed <- struct{}{}:
	default:
	}
}

// learnDomains asks Docker for what is not known; it reports whether all is now.
func (m *Manager) learnDomains(ctx context.Context) bool {
	complete := true
	for id, name := range m.parties.unasked() {
		ask, cancel := context.WithTimeout(ctx, inspectTime)
		domains, err := m.Engine.Domains(ask, id)
		cancel()
		if err != nil {
			m.Log.WithError(err).Debugf("ask for the domains of container %s", name)
			complete = false
			continue
		}
		m.parties.setDomains(id, name, domains)
	}
	return complete
}

// unasked returns the containers whose domains are to be asked for: names by id.
func (x *parties) unasked() map[string]string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	all := map[string]string{}
	for _, e := range x.endpoints {
		if e.veth && e.party.ContainerID != "" && e.asked != e.party.Container {
			all[e.party.ContainerID] = e.party.Container
		}
	}
	return all
}

// setDomains enters the domains of a container, which had a name when Docker was asked, by endpoint.
func (x *parties) setDomains(container, name string, domains map[string][]string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, was := range x.endpoints {
		if was.party.ContainerID != container || was.party.Container != name {
			continue
		}
		now, p := *was, *was.party
		p.Domains = domains[id]
		now.asked, now.party = name, &p
		x.enter(id, &now)
	}
}
