package endpoint

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/store"
)

// plans keeps what the passes computed, so that a pass works out only what its changes touch. Only the pass that holds
// regeneration.mu uses it.
type plans struct {
	policies   *policy.Set
	universe   *policy.Universe
	lan        []netip.Prefix
	publish    policy.PublishDefault
	resolved   map[subject]*resolution
	byEndpoint map[string]*planned
	revision   uint32 // the newest that was given away
}

// subject is what a resolution depends on, beside the policies and the universe.
type subject struct {
	identity identity.ID
	mode     Mode
	isolate  bool
	dns      string // its resolvers
}

// resolution is a subject's tables, or why there are none.
type resolution struct {
	labels   identity.Labels
	tables   policy.Tables
	settings policy.Settings
	hash     string // of the tables
	err      error
}

// planned is what an endpoint should run, and the records that this follows from.
type planned struct {
	endpoint *Endpoint
	network  *Network
	hash     string // of the tables
	settings policy.Settings
	program  datapath.Program
	print    string // program's fingerprint
}

// situation is the state that a pass makes the kernel follow.
type situation struct {
	generation uint64
	jobs       []*job
	policies   *policy.Set
	known      []policy.KnownIdentity
	lan        []netip.Prefix
	retiring   []identity.ID
}

// observe takes a consistent copy of the state. The universe holds the identities of the joined endpoints, and those
// that programs may still send with.
func (m *Manager) observe() situation {
	servers := m.HostDNS()
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := situation{generation: m.generation, policies: m.policies, lan: m.host.LAN, retiring: slices.Clone(m.retired)}
	ids := map[identity.ID]bool{}
	dns := resolvers{m: m, host: servers, seen: map[netip.Addr]identity.ID{}}
	for _, id := range s.retiring {
		ids[id] = true
	}
	for _, e := range m.endpoints {
		if n := m.networks[e.NetworkID]; e.joined() && n != nil {
			j := &job{endpoint: e, network: n, capture: m.captures[e.Container.Name]}
			j.resolvers, j.dns = dns.of(e)
			s.jobs = append(s.jobs, j)
			ids[e.Identity] = true
		}
	}
	slices.SortFunc(s.jobs, func(a, b *job) int { return strings.Compare(a.endpoint.ID, b.endpoint.ID) })
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		if old, ok := m.plans.universe.Get(id); ok {
			s.known = append(s.known, old)
		} else if labels, ok := m.identities.Labels(id); ok {
			s.known = append(s.known, policy.KnownIdentity{ID: id, Labels: labels})
		}
	}
	return s
}

// plan fills in what every job's endpoint should run, with durable revisions. A job whose policy cannot be resolved
// carries the error.
func (m *Manager) plan(ctx context.Context, s situation) error {
	m.plans.adapt(s)
	fresh := map[string]Judgement{}
	last := m.plans.revision
	for _, j := range s.jobs {
		r := m.plans.resolve(j)
		if r.err != nil {
			j.err = fmt.Errorf("resolve policy: %w", r.err)
			continue
		}
		if p := m.plans.byEndpoint[j.endpoint.ID]; p != nil && p.endpoint == j.endpoint && p.network == j.network && p.hash == r.hash && p.settings == r.settings &&
			p.program.Capture == j.capture {
			j.planned = p
			continue
		}
		judgement, ok := m.judgement(j.endpoint.ID)
		if !ok || judgement.Tables != r.hash {
			if last == math.MaxUint32 {
				return fmt.Errorf("reserve policy revisions: all %d are used up", last)
			}
			last++
			judgement = Judgement{Revision: last, Tables: r.hash}
			fresh[j.endpoint.ID] = judgement
		}
		program := j.makeProgram(judgement.Revision, r)
		program.Level = cmp.Or(r.settings.Level, j.network.Options.Level(), m.Observe).Effective()
		j.planned = &planned{j.endpoint, j.network, r.hash, r.settings, program, program.Fingerprint()}
	}
	if err := m.reserve(ctx, last, fresh); err != nil {
		return err
	}
	m.plans.keep(s.jobs)
	return nil
}

// judgement returns the newest judgement of an endpoint.
func (m *Manager) judgement(id string) (Judgement, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	j, ok := m.judgements[id]
	return j, ok
}

// reserve makes new revisions durable, all at once. They are unique on the host and never come again: flows of a
// container that is gone may still lie in the kernel when another one gets its address.
func (m *Manager) reserve(ctx context.Context, last uint32, fresh map[string]Judgement) error {
	if len(fresh) == 0 {
		return nil
	}
	next, err := put(revisionKey, last)
	if err != nil {
		return err
	}
	ops := []store.Op{next}
	for id, j := range fresh {
		op, err := put(judgePrefix+id, j)
		if err != nil {
			return err
		}
		ops = append(ops, op)
	}
	if err := m.Store.Apply(ctx, ops...); err != nil {
		return fmt.Errorf("reserve policy revisions: %w", err)
	}
	m.plans.revision = last
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.Copy(m.judgements, fresh)
	return nil
}

// adapt drops the resolutions that a change of the policies, of the local network or of the known identities may have
// touched.
func (p *plans) adapt(s situation) {
	set := s.policies
	moved := !slices.Equal(p.lan, s.lan)
	if p.policies != set || p.resolved == nil || moved {
		p.resolved = map[subject]*resolution{}
	}
	changed := difference(p.universe.List(), s.known)
	switch {
	case len(changed) > 0 || p.universe == nil:
		p.universe = policy.NewUniverse(s.known...).WithLAN(s.lan)
	case moved:
		p.universe = p.universe.WithLAN(s.lan)
	}
	p.lan = s.lan
	for s, r := range p.resolved {
		if slices.ContainsFunc(changed, func(peer identity.Labels) bool { return set.Mentions(r.labels, peer) }) {
			delete(p.resolved, s)
		}
	}
	p.policies = set
}

// difference returns the labels of the identities that are in only one of two lists, which are sorted.
func difference(a, b []policy.KnownIdentity) []identity.Labels {
	var only []identity.Labels
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].ID < b[0].ID:
			only, a = append(only, a[0].Labels), a[1:]
		case len(a) == 0 || b[0].ID < a[0].ID:
			only, b = append(only, b[0].Labels), b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	return only
}

// subject returns what the tables of a job's endpoint depend on.
func (j *job) subject() subject {
	return subject{j.endpoint.Identity, j.network.Options.Policy, j.network.Options.Isolate, j.dns}
}

// resolve returns the tables of a job's endpoint, none while its labels are unknown.
func (p *plans) resolve(j *job) *resolution {
	if !j.endpoint.named() {
		return &resolution{hash: "/"}
	}
	s := j.subject()
	if r := p.resolved[s]; r != nil {
		return r
	}
	r := &resolution{}
	p.resolved[s] = r
	own, ok := p.universe.Get(s.identity)
	if !ok {
		r.err = fmt.Errorf("identity %s is not known", s.identity)
		return r
	}
	r.labels = own.Labels
	mode, err := policy.ParseMode(string(s.mode))
	if err != nil {
		r.err = err
		return r
	}
	r.tables, r.err = policy.Resolve(p.policies, policy.Subject{
		Labels: own.Labels, Mode: mode, Isolate: s.isolate, PublishDefault: p.publish, Resolvers: j.resolvers,
	}, p.universe)
	if r.err == nil {
		r.settings, r.err = p.policies.Settings(own.Labels)
	}
	r.hash = r.tables.Hash()
	return r
}

// keep remembers the plans of the jobs, and forgets what no job uses.
func (p *plans) keep(jobs []*job) {
	p.byEndpoint = make(map[string]*planned, len(jobs))
	used := map[subject]bool{}
	for _, j := range jobs {
		if j.planned != nil {
			p.byEndpoint[j.endpoint.ID] = j.planned
		}
		used[j.subject()] = true
	}
	maps.DeleteFunc(p.resolved, func(s subject, _ *resolution) bool { return !used[s] })
}

// makeProgram puts together what an endpoint's programs are made from.
func (j *job) makeProgram(revision uint32, r *resolution) datapath.Program {
	e, n := j.endpoint, j.network
	mac, _ := net.ParseMAC(e.MAC)
	p := datapath.Program{
		Slot: e.Veth.Slot, Identity: uint32(e.Identity), Network: n.Number, Revision: revision,
		HostIfindex: e.Veth.Ifindex, HostMAC: e.Veth.HostMAC, MAC: mac, IPv4: e.IPv4, IPv6: e.IPv6,
		Closed: !e.named(), Internal: n.Internal, Masquerade: n.Options.Masquerade && !n.Internal,
		Egress: r.tables.Egress, Ingress: r.tables.Ingress, Publish: r.tables.Publish,
		Enforcement: r.settings.Enforcement, KeepDenies: r.settings.KeepDenies,
		EgressRate: r.settings.EgressRate, IngressRate: r.settings.IngressRate, Capture: j.capture,
	}
	for _, a := range e.addrs() {
		s, _ := n.subnet(a)
		if a.Is4() {
			p.Gateway4 = s.Gateway
		} else {
			p.Gateway6 = s.Gateway
		}
	}
	return p
}
