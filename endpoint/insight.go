package endpoint

import (
	"context"
	"slices"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
)

// DiffPolicies says what documents would change if they were applied: who could open what to whom that cannot now, or no
// longer, and which live connections would be cut or, being denied now, allowed. Nothing is stored.
func (m *Manager) DiffPolicies(ctx context.Context, sources []api.PolicySource) (api.PolicyDiff, error) {
	results, err := m.ValidatePolicies(ctx, sources)
	if err != nil {
		return api.PolicyDiff{}, err
	}
	before := m.scene()
	after, _, err := before.with(sources)
	if err != nil {
		return api.PolicyDiff{}, err
	}
	diff := api.PolicyDiff{Policies: results, Pairs: []api.PairChange{}, Connections: []api.ConnectionChange{}}
	for _, d := range policy.Diff(before.members(), after.members(), after.universe) {
		pair := api.PairChange{From: d.From, To: d.To}
		if len(d.Opened) > 0 {
			pair.Opened = d.Opened.String()
		}
		if len(d.Closed) > 0 {
			pair.Closed = d.Closed.String()
		}
		diff.Pairs = append(diff.Pairs, pair)
	}
	for i, p := range before.places {
		if q := after.places[i]; p.tables.Hash() != q.tables.Hash() || p.settings.Enforcement != q.settings.Enforcement {
			diff.Endpoints++
		}
	}
	if m.Connections == nil {
		return diff, nil
	}
	c := comparison{before: before, after: after, host: m.hostAddresses()}
	err = m.Connections(ctx, func(flow api.Connection) bool {
		if change, ok := c.connection(flow); ok {
			diff.Connections = append(diff.Connections, change)
		}
		return len(diff.Connections) < mostConnections
	})
	return diff, err
}

// mostConnections bounds the list of live connections that a change concerns.
const mostConnections = 10000

// hostAddresses are the addresses that programs take for the host's.
func (m *Manager) hostAddresses() map[string]bool {
	host := map[string]bool{}
	known, err := m.Addresses.List()
	if err != nil {
		m.Log.WithError(err).Warn("list addresses: connections of the host count as the world's")
	}
	for a, entry := range known {
		if entry.Host {
			host[a.String()] = true
		}
	}
	return host
}

// Exposed lists every way into containers, of the endpoints if ids is not nil; with a list of what may be exposed,
// what is beyond it is marked.
func (m *Manager) Exposed(_ context.Context, ids []string, allow *string) ([]api.Exposure, error) {
	var list policy.AllowList
	if allow != nil {
		var err error
		if list, err = policy.ParseAllowList(*allow); err != nil {
			return nil, api.Errorf(api.CodeInvalid, "%v", err)
		}
	}
	s := m.scene()
	wanted := map[[2]string]bool{}
	for _, p := range s.find(ids) {
		wanted[[2]string{p.group(), p.network.title()}] = true
	}
	out := []api.Exposure{}
	for _, e := range policy.Exposed(s.members(), s.universe) {
		if ids != nil && !wanted[[2]string{e.Group, e.Network}] {
			continue
		}
		v := api.Exposure{
			Container: e.Group, Network: e.Network, Address: e.Address, Published: e.Published, Ports: e.Reach.String(),
			Target: e.Port, From: e.From, Policy: e.Rule.Policy, Rule: e.Rule.Rule, Source: s.source(e.Rule),
		}
		if e.Watched != policy.Enforce {
			v.Mode = e.Watched.String()
		}
		if allow != nil {
			if beyond := list.Beyond(e); len(beyond) > 0 {
				v.Beyond = beyond.String()
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// Graph tells who may open what to whom, of what concerns the endpoints if ids is not nil.
func (m *Manager) Graph(_ context.Context, ids []string) ([]api.Edge, error) {
	s := m.scene()
	var wanted []string
	for _, p := range s.find(ids) {
		wanted = append(wanted, p.group())
	}
	out := []api.Edge{}
	for _, e := range policy.Graph(s.members(), s.universe) {
		if ids == nil || slices.Contains(wanted, e.From) || slices.Contains(wanted, e.To) {
			edge := api.Edge{From: e.From, To: e.To, Ports: e.Reach.String()}
			if len(e.Unenforced) > 0 {
				edge.Unenforced = e.Unenforced.String()
			}
			out = append(out, edge)
		}
	}
	return out, nil
}

// comparison judges live connections before and after a change.
type comparison struct {
	before, after *scene
	host          map[string]bool
}

// connection says what would become of a connection.
func (c *comparison) connection(flow api.Connection) (api.ConnectionChange, bool) {
	protocol, err := policy.ParseProtocol(flow.Protocol)
	if err != nil {
		return api.ConnectionChange{}, false
	}
	key := policy.Key(protocol, flow.Destination.Port())
	if protocol == policy.ProtocolICMP {
		key = policy.Key(protocol, 8<<8)
	} else if protocol == policy.ProtocolICMPv6 {
		key = policy.Key(protocol, 128<<8)
	}
	was, _ := c.judge(c.before, flow, key)
	will, rule := c.judge(c.after, flow, key)
	if was == will {
		return api.ConnectionChange{}, false
	}
	change := api.ConnectionChange{
		Change: api.ConnectionCut, From: c.name(flow.Source.Addr().String(), c.before.at(flow.Source.Addr())),
		To:       c.name(flow.Destination.Addr().String(), c.before.at(flow.Destination.Addr())),
		Protocol: flow.Protocol, Source: flow.Source, Destination: flow.Destination, Rule: rule,
	}
	if will == policy.Allow {
		change.Change = api.ConnectionOpened
	}
	return change, true
}

func (c *comparison) name(addr string, p *place) string {
	switch {
	case p != nil:
		return p.group()
	case c.host[addr]:
		return policy.NameHost
	}
	return addr
}

// judge is the verdict of both policies on a connection, as far as they are enforced, and the rule that denies or, of the
// last, allows it.
func (c *comparison) judge(s *scene, flow api.Connection, key uint32) (policy.Verdict, string) {
	from, to := s.at(flow.Source.Addr()), s.at(flow.Destination.Addr())
	rule := ""
	if from != nil && !from.closed {
		a := ask{place: from, look: policy.Look{Direction: policy.Egress, Table: from.tables.Egress, Addr: flow.Destination.Addr()}}
		c.peer(&a.look, from, to, flow.Destination.Addr().String())
		verdict, by := a.enforced(key)
		if rule = by.String(); verdict == policy.Deny {
			return policy.Deny, rule
		}
	}
	if to == nil || to.closed {
		return policy.Allow, rule
	}
	a := ask{place: to, look: policy.Look{Direction: policy.Ingress, Table: to.tables.Ingress, Addr: flow.Source.Addr()}}
	c.peer(&a.look, to, from, flow.Source.Addr().String())
	if a.look.Class != policy.ClassHost {
		a.hostPort = flow.Frontend.Port()
	}
	verdict, by := a.enforced(key)
	return verdict, by.String()
}

// enforced is the verdict that the tables and settings give, and the rule.
func (a *ask) enforced(key uint32) (policy.Verdict, policy.RuleRef) {
	r := a.tabled(key)
	ref, _ := r.table(a).Rule(r.rule)
	if r.passes {
		return policy.Allow, ref
	}
	return policy.Deny, ref
}

// peer fills in who the other end is to a place.
func (c *comparison) peer(l *policy.Look, own, other *place, addr string) {
	switch {
	case other != nil:
		l.Peer, l.Class = other.identity, classOf(own, other)
	case c.host[addr]:
		l.Peer, l.Class = identity.Host, policy.ClassHost
	default:
		l.Peer, l.Class = identity.World, policy.ClassWorld
	}
}
