package endpoint

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
)

// scene is a consistent copy of what is needed to reason about policy: who is there, and what judges them.
type scene struct {
	policies *policy.Set
	universe *policy.Universe
	lan      []netip.Prefix
	publish  policy.PublishDefault
	places   []*place // sorted by container and network
}

// place is a joined endpoint.
type place struct {
	endpoint *Endpoint
	network  *Network
	identity identity.ID
	subject  policy.Subject
	tables   policy.Tables
	settings policy.Settings  // whether the tables are enforced
	program  datapath.Program // that runs
	closed   bool             // it does not know its labels, or has no program
}

// scene copies the state, with the tables that are in force.
func (m *Manager) scene() *scene {
	servers := m.HostDNS()
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := &scene{policies: m.policies, lan: m.host.LAN, publish: m.PublishDefault}
	dns := resolvers{m: m, host: servers, seen: map[netip.Addr]identity.ID{}}
	for id, e := range m.endpoints {
		n := m.networks[e.NetworkID]
		if n == nil || !e.joined() {
			continue
		}
		labels, _ := m.identities.Labels(e.Identity)
		subject := s.subjectOf(n, labels)
		subject.Resolvers, _ = dns.of(e)
		p := &place{endpoint: e, network: n, identity: e.Identity, subject: subject, closed: true}
		if r := m.running[id]; r != nil && !r.program.Closed {
			p.closed, p.program = false, r.program
			p.tables = policy.Tables{Egress: r.program.Egress, Ingress: r.program.Ingress, Publish: r.program.Publish}
			p.settings = policy.Settings{Enforcement: r.program.Enforcement, KeepDenies: r.program.KeepDenies}
		}
		s.places = append(s.places, p)
	}
	slices.SortFunc(s.places, func(a, b *place) int {
		return strings.Compare(a.endpoint.Container.Name+"\x00"+a.network.title()+a.endpoint.ID,
			b.endpoint.Container.Name+"\x00"+b.network.title()+b.endpoint.ID)
	})
	s.learnUniverse()
	return s
}

// subjectOf is a container of these labels on a network, as policy sees it.
func (s *scene) subjectOf(n *Network, labels identity.Labels) policy.Subject {
	mode, err := policy.ParseMode(string(n.Options.Policy))
	if err != nil {
		mode = policy.ModeAlways
	}
	return policy.Subject{Labels: labels, Mode: mode, Isolate: n.Options.Isolate, PublishDefault: s.publish}
}

// learnUniverse makes the universe of the places' identities.
func (s *scene) learnUniverse() {
	var known []policy.KnownIdentity
	seen := map[identity.ID]bool{}
	for _, p := range s.places {
		if !seen[p.identity] {
			seen[p.identity] = true
			known = append(known, policy.KnownIdentity{ID: p.identity, Labels: p.subject.Labels})
		}
	}
	s.universe = policy.NewUniverse(known...).WithLAN(s.lan)
}

// named is the same scene if policies mentioned containers of these names: they have their name as a label then. The
// tables are as they were.
func (s *scene) named(names ...string) *scene {
	next := *s
	next.places = make([]*place, len(s.places))
	fresh := map[string]identity.ID{}
	for i, old := range s.places {
		p := *old
		name := p.endpoint.Container.Name
		if _, has := p.subject.Labels[identity.LabelName]; !has && name != "" && slices.Contains(names, name) {
			p.subject.Labels = p.subject.Labels.Clone()
			p.subject.Labels[identity.LabelName] = name
			key := p.subject.Labels.String()
			if fresh[key] == 0 {
				fresh[key] = identity.Last - identity.ID(len(fresh))
			}
			p.identity = fresh[key]
		}
		next.places[i] = &p
	}
	next.learnUniverse()
	return &next
}

// under is the same scene under another set of policies, which mentions these names of containers.
func (s *scene) under(set *policy.Set, names ...string) (*scene, error) {
	next := s.named(names...)
	next.policies = set
	resolved := map[string]policy.Tables{}
	for _, p := range next.places {
		if p.closed {
			continue
		}
		key := fmt.Sprint(p.subject.Labels.String(), p.subject.Mode, p.subject.Isolate, p.subject.Resolvers)
		tables, ok := resolved[key]
		if !ok {
			var err error
			if tables, err = policy.Resolve(set, p.subject, next.universe); err != nil {
				return nil, fmt.Errorf("resolve policy of %s: %w", p.group(), err)
			}
			resolved[key] = tables
		}
		p.tables = tables
		var err error
		if p.settings, err = set.Settings(p.subject.Labels); err != nil {
			return nil, fmt.Errorf("read settings of %s: %w", p.group(), err)
		}
	}
	return next, nil
}

// labels are those of all places, for policies that they name each other by.
func (s *scene) labels() []identity.Labels {
	all := make([]identity.Labels, len(s.places))
	for i, p := range s.places {
		all[i] = p.subject.Labels
	}
	return all
}

// at returns the place that has an address.
func (s *scene) at(a netip.Addr) *place {
	for _, p := range s.places {
		if slices.Contains(p.endpoint.addrs(), a) {
			return p
		}
	}
	return nil
}

// find returns the places of endpoints.
func (s *scene) find(ids []string) []*place {
	var found []*place
	for _, p := range s.places {
		if slices.Contains(ids, p.endpoint.ID) {
			found = append(found, p)
		}
	}
	return found
}

// group is what people call the container: its compose service, else its name.
func (p *place) group() string {
	return groupOf(p.subject.Labels, p.endpoint)
}

// party shows the place as an end of a packet.
func (p *place) party() api.Party {
	return api.Party{
		Endpoint: p.endpoint.ID, Container: p.endpoint.Container.Name, Project: p.subject.Labels[identity.LabelProject],
		Service: p.subject.Labels[identity.LabelService], Network: p.network.title(), Identity: uint32(p.endpoint.Identity),
	}
}

// routed tells whether the world reaches the container by its own address.
func (p *place) routed() bool { return !p.network.Internal && !p.network.Options.Masquerade }

// member is the place for the reasoning over all of them.
func (p *place) member() policy.Member {
	m := policy.Member{
		Group: p.group(), ID: p.identity, Network: p.network.title(), Tables: p.tables, Settings: p.settings, Addrs: p.endpoint.addrs(),
		Internal: p.network.Internal, Routed: p.routed(),
	}
	for _, f := range p.endpoint.Published {
		m.Published = append(m.Published, policy.Publication{
			Protocol: uint8(f.Frontend.Proto), Addr: f.Frontend.Addr, HostPort: f.Frontend.Port, Port: f.Backend.Port,
		})
	}
	return m
}

// members are the open places. The closed ones reach nothing.
func (s *scene) members() []policy.Member {
	var all []policy.Member
	for _, p := range s.places {
		if !p.closed {
			all = append(all, p.member())
		}
	}
	return all
}

// source says where a rule stands: file and line, or empty for labels and what has none.
func (s *scene) source(ref policy.RuleRef) string {
	if at, ok := s.policies.Locate(ref); ok {
		return at.String()
	}
	return ""
}
