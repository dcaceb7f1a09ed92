package endpoint

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
)

// Networks lists the networks, sorted by name.
func (m *Manager) Networks(context.Context) ([]api.Network, error) {
	all := []api.Network{}
	for _, n := range m.networksAll() {
		v := api.Network{
			ID: n.ID, Name: n.Name, Number: n.Number, Internal: n.Internal, Masquerade: n.Options.Masquerade && !n.Internal,
			Isolate: n.Options.Isolate, Policy: string(n.Options.Policy), Observe: n.Options.Observe, MTU: n.Options.MTU,
			Endpoints: len(m.endpointsOf(n.ID)), Created: n.Created,
		}
		if v.MTU == 0 {
			v.MTU = m.DefaultMTU()
		}
		for _, s := range slices.Concat(n.IPv4, n.IPv6) {
			v.Subnets = append(v.Subnets, api.Subnet{Prefix: s.Pool, Gateway: s.Gateway})
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b api.Network) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return all, nil
}

// Endpoints lists the joined endpoints, sorted by container and network.
func (m *Manager) Endpoints(context.Context) ([]api.Endpoint, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := []api.Endpoint{}
	for _, e := range m.endpoints {
		if n := m.networks[e.NetworkID]; n != nil && e.joined() {
			all = append(all, m.view(n, e))
		}
	}
	slices.SortFunc(all, func(a, b api.Endpoint) int {
		return strings.Compare(a.Container+"\x00"+a.Network, b.Container+"\x00"+b.Network)
	})
	return all, nil
}

// view shows one joined endpoint. The caller holds mu.
func (m *Manager) view(n *Network, e *Endpoint) api.Endpoint {
	labels, _ := m.identities.Labels(e.Identity)
	change := m.changes[e.Container.ID]
	v := api.Endpoint{
		ID: e.ID, State: api.StateReady, Slot: e.Veth.Slot, NetworkID: n.ID, Network: n.title(),
		ContainerID: e.Container.ID, Container: e.Container.Name, Image: e.Container.Image,
		Project: labels["compose.project"], Service: labels["compose.service"],
		Identity: uint32(e.Identity), Labels: labels, Options: e.Options, IPv4: e.IPv4, IPv6: e.IPv6, MAC: e.MAC, Interface: e.Veth.Host, Ifindex: e.Veth.Ifindex,
	}
	if change != nil {
		v.Changed = api.LabelChange{Add: change.Add, Remove: change.Remove}
	}
	if !e.named() {
		v.State = api.StateClosed
	}
	if refused, ok := m.refused[e.ID]; ok && !e.named() {
		v.State, v.LastError = api.StateFailed, refused.err.Error()
		v.ContainerID, v.Container, v.Image = refused.container.ID, refused.container.Name, refused.container.Image
	}
	r := m.running[e.ID]
	if r == nil {
		return v
	}
	m.showPolicy(&v, r, labels)
	v.Revision = r.program.Revision
	v.Program = api.Program{Fingerprint: r.print, Loaded: r.loaded, LoadTime: r.took}
	v.Egress, v.Ingress = direction(r.program.Egress), direction(r.program.Ingress)
	if r.failure != nil {
		v.State, v.LastError = api.StateFailed, r.failure.Error()
	}
	return v
}

// direction shows what restricts one direction.
func direction(t *policy.Table) api.Direction {
	d := api.Direction{Enforced: t != nil}
	if t == nil {
		return d
	}
	d.Entries = t.Entries()
	for _, r := range t.Rules {
		if r.Policy != "" && !slices.Contains(d.Policies, r.Policy) {
			d.Policies = append(d.Policies, r.Policy)
		}
	}
	return d
}

// Identities lists the identities in use, the reserved ones first.
func (m *Manager) Identities(context.Context) ([]api.Identity, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	holders := map[identity.ID][]string{}
	for _, e := range m.endpoints {
		if e.joined() {
			holders[e.Identity] = append(holders[e.Identity], e.ID)
		}
	}
	all := []api.Identity{}
	for _, id := range []identity.ID{identity.Host, identity.World, identity.Init} {
		all = append(all, api.Identity{ID: uint32(id), Name: id.String(), Endpoints: holders[id]})
	}
	for _, r := range m.identities.List() {
		slices.Sort(holders[r.ID])
		all = append(all, api.Identity{ID: uint32(r.ID), Labels: r.Labels, Endpoints: holders[r.ID]})
	}
	return all, nil
}

// PolicyEntries returns the verdict tables of the running programs of the endpoints, all if none is named.
func (m *Manager) PolicyEntries(_ context.Context, ids []string) ([]api.PolicyEntry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := []api.PolicyEntry{}
	for id, r := range m.running {
		e := m.endpoints[id]
		if e == nil || (len(ids) > 0 && !slices.Contains(ids, id)) {
			continue
		}
		for _, d := range []struct {
			name  string
			table *policy.Table
		}{{"egress", r.program.Egress}, {"ingress", r.program.Ingress}, {"publish", r.program.Publish}} {
			base := api.PolicyEntry{Endpoint: id, Container: e.Container.Name, Direction: d.name, Revision: r.program.Revision}
			all = append(all, m.entries(base, d.table)...)
		}
	}
	slices.SortStableFunc(all, func(a, b api.PolicyEntry) int {
		return strings.Compare(a.Container+a.Endpoint+a.Direction, b.Container+b.Endpoint+b.Direction)
	})
	return all, nil
}

// entries shows a table, line by line.
func (m *Manager) entries(base api.PolicyEntry, t *policy.Table) []api.PolicyEntry {
	if t == nil {
		return nil
	}
	var all []api.PolicyEntry
	add := func(peer string, id identity.ID, p policy.Profile) {
		for i, from := range p {
			line := base
			line.Peer, line.Identity, line.Verdict = peer, uint32(id), from.Verdict.String()
			if rule, ok := t.Rule(from.Rule); ok {
				line.Rule = rule.String()
			}
			to := uint32(255<<16 | 65535)
			if i+1 < len(p) {
				to = p[i+1].From - 1
			}
			all = append(all, spans(line, from.From, to)...)
		}
	}
	for _, i := range t.Identities {
		labels, _ := m.identities.Labels(i.ID)
		add(labels.String(), i.ID, i.Profile)
	}
	for _, r := range t.CIDRs {
		add(r.First.Unmap().String()+"-"+r.Last.Unmap().String(), 0, r.Profile)
	}
	for c, p := range t.Defaults {
		add(policy.Class(c).String(), 0, p)
	}
	return all
}

// spans cuts an interval of protocol<<16|port at the borders of protocols. One over all protocols is a line "any".
func spans(line api.PolicyEntry, from, to uint32) []api.PolicyEntry {
	const last = 255<<16 | 65535
	if from == 0 && to >= last {
		line.Protocol, line.From, line.To = "any", 0, 65535
		return []api.PolicyEntry{line}
	}
	var all []api.PolicyEntry
	for from <= to {
		protocol := from >> 16
		end := min(to, protocol<<16|65535)
		whole := from&65535 == 0 && end&65535 == 65535
		if whole { // several whole protocols are one line
			for end < to && end+65536 <= to {
				end += 65536
			}
		}
		line.Protocol = protocolName(protocol)
		if last := end >> 16; last != protocol {
			line.Protocol = fmt.Sprintf("%s-%s", protocolName(protocol), protocolName(last))
		}
		line.From, line.To = uint16(from), uint16(end)
		all = append(all, line)
		if end == ^uint32(0) {
			break
		}
		from = end + 1
	}
	return all
}

func protocolName(number uint32) string {
	switch number {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 58:
		return "icmpv6"
	case 132:
		return "sctp"
	}
	return fmt.Sprint(number)
}

// Generation returns the number of the newest change of anything that programs are made from.
func (m *Manager) Generation() uint64 { return m.currentGeneration() }

// AppliedGeneration returns the number of the newest change that all programs were made after.
func (m *Manager) AppliedGeneration() uint64 { return m.regeneration.appliedTo() }

// Count fills in how many objects of each kind there are.
func (m *Manager) Count(s *api.Status) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s.Networks, s.Policies, s.Identities = len(m.networks), m.policies.Len(), len(m.identities.List())
	for id, e := range m.endpoints {
		if !e.joined() {
			continue
		}
		s.Endpoints.Total++
		s.Ports += len(e.Published)
		_, refused := m.refused[id]
		switch r := m.running[id]; {
		case refused && !e.named():
			s.Endpoints.Failed++
		case !e.named():
			s.Endpoints.Closed++
		case r == nil || r.failure != nil:
			s.Endpoints.Failed++
		default:
			s.Endpoints.Ready++
		}
	}
}
