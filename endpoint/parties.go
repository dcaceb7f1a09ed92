package endpoint

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/policy"
)

// What a container was is known for a while after it went: packets of it are told late, and flows end later.
const (
	lingerTime = 5 * time.Minute
	// mostRules bounds the rules that are kept ready to be named.
	mostRules = 1 << 14
	// mostIdle bounds the identities that nobody has any more and that are still known.
	mostIdle = 1024
)

// Labels by which swarm tells whose a container is.
const (
	labelStack = "com.docker.stack.namespace"
	labelSwarm = "com.docker.swarm.service.name"
)

var _ observe.Names = (*Manager)(nil)

// parties is the index by which flows get their names: it is asked several times for every record, and answers without
// looking through records. It follows the records: whoever changes these under Manager.mu tells it before he unlocks.
type parties struct {
	now func() time.Time

	mu         sync.RWMutex
	endpoints  map[string]*indexed // by id
	slots      map[uint32]*slotNames
	addrs      map[netip.Addr]addrNames
	gateways   map[netip.Addr]*observe.Party
	host       map[netip.Addr]bool
	identities map[identity.ID]*observe.Party
	holders    map[identity.ID]int // endpoints by identity
	idle       []identity.ID       // without holders, in the order in which they lost them

	naming sync.RWMutex
	rules  map[observe.Rule]*observe.Rule // one of each
}

// indexed is what an endpoint has in the index.
type indexed struct {
	party *observe.Party
	addrs []netip.Addr
	slot  uint32
	veth  bool // it has a slot
	// asked: Docker was asked for the domains of the container of this name.
	asked string
}

// slotNames are the endpoint that has a slot, or had it last, and what it runs.
type slotNames struct {
	party *observe.Party
	runs  *running
}

// addrNames is who has an address, or had it last.
type addrNames struct {
	party *observe.Party
	gone  time.Time // zero: has it
}

var (
	hostParty  = &observe.Party{Entity: api.EntityHost, Identity: uint32(identity.Host)}
	worldParty = &observe.Party{Entity: api.EntityWorld, Identity: uint32(identity.World)}
)

func newParties(now func() time.Time) *parties {
	return &parties{now: now, endpoints: map[string]*indexed{}, slots: map[uint32]*slotNames{}, addrs: map[netip.Addr]addrNames{},
		gateways: map[netip.Addr]*observe.Party{}, host: map[netip.Addr]bool{}, identities: map[identity.ID]*observe.Party{},
		holders: map[identity.ID]int{}, rules: map[observe.Rule]*observe.Rule{}}
}

// put enters an endpoint's record in the place of the one before. The labels are those of its identity.
func (x *parties) put(n *Network, e *Endpoint, labels identity.Labels) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old := x.endpoints[e.ID]
	now := &indexed{party: partyOf(n, e, x.identity(e.Identity, labels).Labels), addrs: e.addrs()}
	if e.Veth != nil {
		now.slot, now.veth = e.Veth.Slot, true
	}
	if old != nil && old.asked == now.party.Container {
		now.asked, now.party.Domains = old.asked, old.party.Domains
	}
	x.enter(e.ID, now)
	x.hold(e.Identity, 1)
	if old != nil {
		x.hold(identity.ID(old.party.Identity), -1)
		x.leave(old, now.addrs)
	}
}

// enter makes an endpoint known by its slot and its addresses.
func (x *parties) enter(id string, now *indexed) {
	x.endpoints[id] = now
	for _, a := range now.addrs {
		x.addrs[a] = addrNames{party: now.party}
	}
	if !now.veth {
		return
	}
	s := &slotNames{party: now.party}
	if was := x.slots[now.slot]; was != nil && was.party.EndpointID == id {
		s.runs = was.runs
	}
	x.slots[now.slot] = s
}

// remove takes an endpoint out whose record is gone.
func (x *parties) remove(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old := x.endpoints[id]
	if old == nil {
		return
	}
	delete(x.endpoints, id)
	x.hold(identity.ID(old.party.Identity), -1)
	x.leave(old, nil)
}

// leave notes that an endpoint has its addresses no longer, but for some.
func (x *parties) leave(old *indexed, keeps []netip.Addr) {
	now := x.now()
	for _, a := range old.addrs {
		if was, ok := x.addrs[a]; ok && was.party.EndpointID == old.party.EndpointID && !slices.Contains(keeps, a) {
			was.gone = now
			x.addrs[a] = was
		}
	}
	for a, was := range x.addrs { // changes are few, and addresses some thousands
		if !was.gone.IsZero() && now.Sub(was.gone) > lingerTime {
			delete(x.addrs, a)
		}
	}
}

// of returns the party of an endpoint, nil if it is not known.
func (x *parties) of(id string) *observe.Party {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if e := x.endpoints[id]; e != nil {
		return e.party
	}
	return nil
}

// identity returns the party of an identity, which it enters with its labels.
func (x *parties) identity(id identity.ID, labels identity.Labels) *observe.Party {
	p := x.identities[id]
	if p == nil || !maps.Equal(p.Labels, labels) {
		p = &observe.Party{Identity: uint32(id), Labels: labels, Project: labels[identity.LabelProject], Service: labels[identity.LabelService]}
		x.identities[id] = p
	}
	return p
}

// hold counts the holders of an identity, and forgets those that have had none for long.
func (x *parties) hold(id identity.ID, by int) {
	if x.holders[id] += by; x.holders[id] > 0 {
		return
	}
	delete(x.holders, id)
	x.idle = append(x.idle, id)
	for len(x.idle) > mostIdle {
		if x.holders[x.idle[0]] == 0 {
			delete(x.identities, x.idle[0])
		}
		x.idle = x.idle[1:]
	}
}

// putNetwork enters a network that is new or renamed.
func (x *parties) putNetwork(n *Network, endpoints []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	gateway := *hostParty
	gateway.Network = n.title()
	for _, a := range n.gateways() {
		x.gateways[a] = &gateway
	}
	for _, id := range endpoints {
		was := x.endpoints[id]
		if was == nil || was.party.Network == n.title() {
			continue
		}
		now, p := *was, *was.party
		p.Network, now.party = n.title(), &p
		x.enter(id, &now)
	}
}

func (x *parties) removeNetwork(n *Network) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, a := range n.gateways() {
		delete(x.gateways, a)
	}
}

// setHost enters the host's own addresses.
func (x *parties) setHost(addrs []netip.Addr) {
	host := make(map[netip.Addr]bool, len(addrs))
	for _, a := range addrs {
		host[a] = true
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.host = host
}

// setRunning notes what a slot's programs were made from.
func (x *parties) setRunning(r *running) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s := x.slots[r.program.Slot]; s != nil {
		x.slots[r.program.Slot] = &slotNames{party: s.party, runs: r}
	}
}

// partyOf shows an endpoint as one end of flows.
func partyOf(n *Network, e *Endpoint, labels map[string]string) *observe.Party {
	p := &observe.Party{
		EndpointID: e.ID, Container: e.Container.Name, ContainerID: e.Container.ID, Image: e.Container.Image,
		Identity: uint32(e.Identity), Labels: labels, DockerLabels: e.Container.Labels,
	}
	if n != nil {
		p.Network = n.title()
	}
	if e.Veth != nil {
		p.Number = e.Veth.Slot + 1
	}
	p.Project, p.Service = labels[identity.LabelProject], labels[identity.LabelService]
	if p.Project == "" {
		p.Project = e.Container.Labels[labelStack]
	}
	if p.Service == "" {
		p.Service = strings.TrimPrefix(e.Container.Labels[labelSwarm], p.Project+"_")
	}
	return p
}

// Slot implements observe.Names: the endpoint that has a slot, or had it last.
func (m *Manager) Slot(slot uint32) *observe.Party {
	m.parties.mu.RLock()
	defer m.parties.mu.RUnlock()
	if s := m.parties.slots[slot]; s != nil {
		return s.party
	}
	return nil
}

// Addr implements observe.Names: the endpoint that has an address, or had it till lately, or the host if it is its own.
func (m *Manager) Addr(a netip.Addr) *observe.Party {
	x := m.parties
	x.mu.RLock()
	defer x.mu.RUnlock()
	if p, ok := x.addrs[a]; ok && (p.gone.IsZero() || x.now().Sub(p.gone) <= lingerTime) {
		return p.party
	}
	if p := x.gateways[a]; p != nil {
		return p
	}
	if x.host[a] {
		return hostParty
	}
	return nil
}

// Identity implements observe.Names.
func (m *Manager) Identity(id uint32) *observe.Party {
	switch identity.ID(id) {
	case identity.Host:
		return hostParty
	case identity.World:
		return worldParty
	}
	m.parties.mu.RLock()
	defer m.parties.mu.RUnlock()
	return m.parties.identities[identity.ID(id)]
}

// Rule implements observe.Names: the rule of the revision that runs, or of the one before.
func (m *Manager) Rule(slot, revision uint32, side uint8, rule uint16) *observe.Rule {
	m.parties.mu.RLock()
	s := m.parties.slots[slot]
	m.parties.mu.RUnlock()
	if s == nil || s.runs == nil {
		return nil
	}
	program := &s.runs.program
	if program.Revision != revision {
		program = s.runs.before
	}
	if program == nil || program.Revision != revision {
		return nil
	}
	table := tableOf(program, side)
	ref, ok := table.Rule(rule)
	if !ok {
		return nil
	}
	return m.parties.rule(observe.Rule{Policy: ref.Policy, Place: ref.Rule, Default: !table.Explicit(rule)})
}

func tableOf(p *datapath.Program, side uint8) *policy.Table {
	switch side {
	case abi.PolicyEgress:
		return p.Egress
	case abi.PolicyIngress:
		return p.Ingress
	case abi.PolicyPublish:
		return p.Publish
	}
	return nil
}

// rule returns the one rule that is equal to another.
func (x *parties) rule(r observe.Rule) *observe.Rule {
	x.naming.RLock()
	known := x.rules[r]
	x.naming.RUnlock()
	if known != nil {
		return known
	}
	x.naming.Lock()
	defer x.naming.Unlock()
	if len(x.rules) >= mostRules {
		clear(x.rules)
	}
	one := r // r itself stays off the heap
	x.rules[r] = &one
	return &one
}

// reindex enters all records, after they were read from the store.
func (m *Manager) reindex() {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, n := range m.networks {
		m.parties.putNetwork(n, nil)
	}
	for _, e := range m.endpoints {
		m.index(e)
	}
	m.parties.setHost(m.host.Addrs)
}

// index enters an endpoint's record. The caller holds mu.
func (m *Manager) index(e *Endpoint) {
	labels, _ := m.identities.Labels(e.Identity)
	m.parties.put(m.networks[e.NetworkID], e, labels)
}
