package servicemap

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// Bounds of a map.
const (
	maxEdges   = 4000
	maxPorts   = 24 // of an edge
	maxDenials = 16 // of an edge
	maxPeers   = 24 // of an edge to or from outside
)

// Nodes that are no containers.
const (
	Host  = "@host"
	World = "@world"
	Other = "@other" // neither a container of this host, nor the host, nor the world
)

// DropTime is how long an edge counts as one with drops after the last of them.
const DropTime = time.Minute

// Map is who talks to whom. It is safe for concurrent use.
type Map struct {
	mu      sync.Mutex
	edges   map[ends]*edge
	nodes   map[string]Node
	conns   connections
	version uint64 // of the newest change
	lost    uint64
	urgent  chan struct{}
}

type ends struct{ from, to string }

// New returns an empty map.
func New() *Map {
	return &Map{edges: map[ends]*edge{}, nodes: map[string]Node{}, urgent: make(chan struct{})}
}

// Node is an end of edges, as flows name it.
type Node struct {
	ID      string `json:"id"` // a container's name, Host, World or Other
	Project string `json:"project,omitempty"`
	Service string `json:"service,omitempty"`
	Image   string `json:"image,omitempty"`
}

// Edge is what one end sends another, from who opens connections to who accepts them.
type Edge struct {
	From        string     `json:"from"`
	To          string     `json:"to"`
	Sent        float64    `json:"sent"`     // bytes in a second, by From
	Received    float64    `json:"received"` // likewise, by To
	Packets     float64    `json:"packets"`  // in a second, both ways
	Opened      float64    `json:"opened"`   // connections in a second
	Drops       float64    `json:"drops"`    // packets in a second
	First       time.Time  `json:"first"`
	Last        time.Time  `json:"last"`
	LastDrop    time.Time  `json:"lastDrop,omitzero"`
	LastPass    time.Time  `json:"lastPass,omitzero"` // when it was answered last
	Connections uint64     `json:"connections"`       // opened so far
	Bytes       float64    `json:"bytes"`             // so far, both ways
	Ports       []Port     `json:"ports,omitempty"`
	Denials     []Denial   `json:"denials,omitempty"`
	Policies    []string   `json:"policies,omitempty"` // documents that allowed it
	Peers       []Peer     `json:"peers,omitempty"`    // addresses outside
	Audited     *time.Time `json:"audited,omitempty"`  // when a policy that is not enforced would have denied it last
}

// Port is where an edge leads: what the initiator of connections calls.
type Port struct {
	Protocol    string    `json:"protocol"`
	Port        uint16    `json:"port"`                // 0: it has none, or there were too many to tell apart
	Published   uint16    `json:"published,omitempty"` // of the host, by which it came
	Connections uint64    `json:"connections"`
	Bytes       float64   `json:"bytes"`
	Drops       uint64    `json:"drops,omitempty"`
	Last        time.Time `json:"last"`
}

// Denial is why packets of an edge were dropped.
type Denial struct {
	Reason    string    `json:"reason"`
	Policy    string    `json:"policy,omitempty"` // document; empty: no rule is about it
	Rule      string    `json:"rule,omitempty"`
	Direction string    `json:"direction,omitempty"` // of the policy: api.Egress, api.Ingress or api.Publish
	Protocol  string    `json:"protocol"`
	Port      uint16    `json:"port,omitempty"`
	Audit     bool      `json:"audit,omitempty"` // it was let through: the policy is not enforced
	Count     uint64    `json:"count"`
	Last      time.Time `json:"last"`
	Seq       uint64    `json:"seq"` // of the last flow of it
}

// Peer is an address outside.
type Peer struct {
	Address string    `json:"address"`
	Name    string    `json:"name,omitempty"` // domain by which it was asked for last
	Bytes   float64   `json:"bytes"`
	Last    time.Time `json:"last"`
}

// edge is an Edge with what it is made from.
type edge struct {
	Edge
	series  series
	version uint64
}

// Add tells the map of the next flow.
func (m *Map) Add(f *observe.Flow) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.IsLost() {
		if f.Lost != nil {
			m.lost += f.Lost.Count
		}
		return
	}
	if f.Kernel.Family == 0 || f.Kernel.Type == abi.EventLearn {
		return
	}
	e := m.edge(f)
	if e == nil {
		return
	}
	m.version++
	e.version = m.version
	if f.Time.After(e.Last) {
		e.Last = f.Time
	}
	m.count(e, f)
}

// edge finds or makes the edge of a flow. It returns nil if there are too many.
func (m *Map) edge(f *observe.Flow) *edge {
	from, to := f.Source, f.Destination
	if f.Kernel.Reply != 0 {
		from, to = to, from
	}
	key := ends{m.node(from), m.node(to)}
	if key.from == key.to && key.from == World {
		return nil // what an uplink refused is between strangers
	}
	e := m.edges[key]
	if e == nil {
		if len(m.edges) >= maxEdges && !m.forget() {
			return nil
		}
		e = &edge{Edge: Edge{From: key.from, To: key.to, First: f.Time}}
		m.edges[key] = e
		m.hurry()
	}
	return e
}

// forget drops the edge that was told of least lately.
func (m *Map) forget() bool {
	var oldest *edge
	for _, e := range m.edges {
		if oldest == nil || e.Last.Before(oldest.Last) {
			oldest = e
		}
	}
	if oldest == nil {
		return false
	}
	delete(m.edges, ends{oldest.From, oldest.To})
	return true
}

// ID returns the id of a party's node.
func ID(p *observe.Party) string {
	switch {
	case p.IsContainer() && p.Name() != "":
		return p.Name()
	case p.IsHost():
		return Host
	case p.IsWorld():
		return World
	}
	return Other
}

// node returns the id of a party, and remembers what it is called.
func (m *Map) node(p *observe.Party) string {
	n := Node{ID: ID(p), Project: p.Project, Service: p.Service, Image: p.Image}
	if m.nodes[n.ID] != n {
		m.nodes[n.ID] = n
	}
	return n.ID
}

// count adds what a flow says to its edge.
func (m *Map) count(e *edge, f *observe.Flow) {
	k := &f.Kernel
	switch k.Type {
	case abi.EventDrop:
		e.series.add(f.Time, f.Time, amount{drops: 1})
		if f.Time.Sub(e.LastDrop) > time.Second {
			m.hurry()
		}
		e.LastDrop = f.Time
		e.deny(f, false)
		e.port(f).Drops++
	case abi.EventAudit:
		when := f.Time
		e.Audited = &when
		e.deny(f, true)
	case abi.EventVerdict:
		if k.Reason == 0 {
			e.allow(f)
		}
	case abi.EventTrace:
		a, from, first := m.conns.since(f)
		if f.Received().Packets > 0 { // of what only went out, the other end may have dropped it
			e.LastPass = f.Time
		}
		e.series.add(from, f.Time, a)
		e.Bytes += a.sent + a.received
		p := e.port(f)
		p.Bytes += a.sent + a.received
		if first {
			e.Connections++
			p.Connections++
		}
		e.allow(f)
		e.peer(f, a.sent+a.received)
	}
}

// hurry wakes who waits for something that should be seen at once.
func (m *Map) hurry() {
	close(m.urgent)
	m.urgent = make(chan struct{})
}

// port finds or makes the port of a flow.
func (e *edge) port(f *observe.Flow) *Port {
	protocol, port := f.Protocol(), Service(f)
	find := func(port uint16) int {
		return slices.IndexFunc(e.Ports, func(p Port) bool {
			return p.Protocol == protocol && p.Port == port && p.Published == f.Published
		})
	}
	i := find(port)
	if i < 0 && len(e.Ports) >= maxPorts {
		port = 0
		i = find(0)
	}
	if i < 0 {
		if len(e.Ports) > 2*maxPorts { // as many protocols as nobody has
			i = len(e.Ports) - 1
		} else {
			e.Ports = append(e.Ports, Port{Protocol: protocol, Port: port, Published: f.Published})
			i = len(e.Ports) - 1
		}
	}
	e.Ports[i].Last = f.Time
	return &e.Ports[i]
}

// deny notes why a packet was dropped, or would have been.
func (e *edge) deny(f *observe.Flow, audit bool) {
	d := Denial{Reason: Reason(f), Direction: f.Side(), Protocol: f.Protocol(), Port: Service(f), Audit: audit}
	if f.Rule != nil {
		d.Policy, d.Rule = f.Rule.Policy, f.Rule.Place
	}
	i := slices.IndexFunc(e.Denials, func(have Denial) bool {
		have.Count, have.Last, have.Seq = 0, time.Time{}, 0
		return have == d
	})
	if i < 0 {
		if len(e.Denials) >= maxDenials {
			oldest := slices.MinFunc(e.Denials, func(a, b Denial) int { return a.Last.Compare(b.Last) })
			e.Denials = slices.DeleteFunc(e.Denials, func(d Denial) bool { return d == oldest })
		}
		e.Denials = append(e.Denials, d)
		i = len(e.Denials) - 1
	}
	e.Denials[i].Count++
	e.Denials[i].Last, e.Denials[i].Seq = f.Time, f.Seq
}

// allow notes the policy that allowed a flow.
func (e *edge) allow(f *observe.Flow) {
	if f.Rule == nil || f.Rule.Policy == "" || slices.Contains(e.Policies, f.Rule.Policy) || len(e.Policies) >= maxDenials {
		return
	}
	e.Policies = append(e.Policies, f.Rule.Policy)
	slices.Sort(e.Policies)
}

// peer notes the address outside of a flow.
func (e *edge) peer(f *observe.Flow, bytes float64) {
	addr, names := f.Dst(), f.DestinationNames
	if e.From == World == (f.Kernel.Reply == 0) {
		addr, names = f.Src(), f.SourceNames
	}
	if e.From != World && e.To != World {
		return
	}
	i := slices.IndexFunc(e.Peers, func(p Peer) bool { return p.Address == addr.String() })
	if i < 0 {
		if len(e.Peers) >= maxPeers {
			oldest := slices.MinFunc(e.Peers, func(a, b Peer) int { return a.Last.Compare(b.Last) })
			e.Peers = slices.DeleteFunc(e.Peers, func(p Peer) bool { return p == oldest })
		}
		e.Peers = append(e.Peers, Peer{Address: addr.String()})
		i = len(e.Peers) - 1
	}
	p := &e.Peers[i]
	if len(names) > 0 {
		p.Name = names[0]
	}
	p.Bytes += bytes
	p.Last = f.Time
}

// Urgent returns a channel that is closed when something comes that should be seen at once: an edge, or the first drop of
// an edge in a second.
func (m *Map) Urgent() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.urgent
}

// Lost returns how many flows were lost before they came here.
func (m *Map) Lost() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lost
}

// Nodes returns the ends of edges.
func (m *Map) Nodes() []Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	ends := map[string]Node{}
	for _, e := range m.edges {
		ends[e.From], ends[e.To] = m.nodes[e.From], m.nodes[e.To]
	}
	m.nodes = ends
	out := make([]Node, 0, len(ends))
	for _, n := range ends {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b Node) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Edges returns the edges that changed after the version since, and those whose rates do not rest, and the version of now.
func (m *Map) Edges(since uint64, now time.Time) ([]Edge, uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := []Edge{}
	for _, e := range m.edges {
		if e.version > since || now.Sub(e.Last) < rateLag+(rateBuckets+2)*Bucket {
			out = append(out, e.at(now))
		}
	}
	slices.SortFunc(out, func(a, b Edge) int { return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.To, b.To)) })
	return out, m.version
}

// at returns a copy with the rates of a moment.
func (e *edge) at(now time.Time) Edge {
	out, r := e.Edge, e.series.rates(now)
	out.Sent, out.Received, out.Packets, out.Opened, out.Drops = r.sent, r.received, r.packets, r.opened, r.drops
	out.Ports, out.Denials = slices.Clone(e.Ports), slices.Clone(e.Denials)
	out.Policies, out.Peers = slices.Clone(e.Policies), slices.Clone(e.Peers)
	slices.SortFunc(out.Ports, func(a, b Port) int { return b.Last.Compare(a.Last) })
	slices.SortFunc(out.Denials, func(a, b Denial) int { return b.Last.Compare(a.Last) })
	slices.SortFunc(out.Peers, func(a, b Peer) int { return b.Last.Compare(a.Last) })
	return out
}

// History is what an edge, or several, carried in each Bucket of the last five minutes, oldest first.
type History struct {
	Times    []int64   `json:"times"` // Unix seconds, of the buckets' beginnings
	Sent     []float64 `json:"sent"`  // bytes in a second
	Received []float64 `json:"received"`
	Opened   []float64 `json:"opened"` // connections in a second
	Drops    []float64 `json:"drops"`  // packets in a second
}

// History adds up the edges that keep returns true of.
func (m *Map) History(now time.Time, keep func(from, to string) bool) History {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := bucketOf(now)
	var h History
	for n := last - Buckets + 1; n <= last; n++ {
		var a amount
		for key, e := range m.edges {
			if keep(key.from, key.to) {
				a.add(e.series.sum(n, 1))
			}
		}
		a = a.scaled(1 / Bucket.Seconds())
		h.Times = append(h.Times, n*int64(Bucket/time.Second))
		h.Sent, h.Received = append(h.Sent, a.sent), append(h.Received, a.received)
		h.Opened, h.Drops = append(h.Opened, a.opened), append(h.Drops, a.drops)
	}
	return h
}
