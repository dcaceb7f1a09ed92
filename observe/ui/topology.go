package ui

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/observe/ui/servicemap"
)

// Topology is everything that the map shows beside edges.
type Topology struct {
	Host  string    `json:"host"`
	Nodes []MapNode `json:"nodes"`
}

// The kinds of nodes.
const (
	KindContainer = "container"
	KindHost      = "host"
	KindWorld     = "world"
	KindOther     = "other"
)

// MapNode is a container on all its networks, or what is none.
type MapNode struct {
	ID       string            `json:"id"`
	Kind     string            `json:"kind"`
	Project  string            `json:"project,omitempty"`
	Service  string            `json:"service,omitempty"`
	Image    string            `json:"image,omitempty"`
	Gone     bool              `json:"gone,omitempty"`  // flows tell of it, and it is no longer there
	State    string            `json:"state,omitempty"` // the worst of its endpoints
	Error    string            `json:"error,omitempty"`
	Mode     string            `json:"mode,omitempty"`
	Profile  string            `json:"profile,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Networks []Attachment      `json:"networks,omitempty"`
	Ports    []PublishedPort   `json:"ports,omitempty"`
}

// Attachment is a container's place on a network.
type Attachment struct {
	Endpoint string   `json:"endpoint"`
	Network  string   `json:"network"`
	IPv4     string   `json:"ipv4,omitempty"`
	IPv6     string   `json:"ipv6,omitempty"`
	Identity uint32   `json:"identity"`
	Egress   []string `json:"egress"`  // documents that restrict what it sends; null: nothing does
	Ingress  []string `json:"ingress"` // likewise, what reaches it
	Publish  []string `json:"publish"` // likewise, its published ports
}

// PublishedPort is a port of the host that leads to a container.
type PublishedPort struct {
	Address  string `json:"address"`
	HostPort uint16 `json:"hostPort"`
	Protocol string `json:"protocol"`
	Port     uint16 `json:"port"`
}

// topology joins what there is with what flows tell of.
func (s *Server) topology(ctx context.Context, seen []servicemap.Node) (Topology, error) {
	endpoints, err := s.o.Inventory.Endpoints(ctx)
	if err != nil {
		return Topology{}, fmt.Errorf("endpoints: %w", err)
	}
	ports, err := s.o.Inventory.PublishedPorts(ctx)
	if err != nil {
		return Topology{}, fmt.Errorf("published ports: %w", err)
	}
	nodes, owner := map[string]*MapNode{}, map[string]*MapNode{}
	for _, e := range endpoints {
		owner[e.ID] = addEndpoint(nodes, e)
	}
	for _, p := range ports {
		if n := owner[p.Endpoint]; n != nil {
			n.addPort(p)
		}
	}
	for _, n := range seen {
		if nodes[n.ID] == nil {
			nodes[n.ID] = seenNode(n)
		}
	}
	t := Topology{Nodes: []MapNode{}}
	t.Host, _ = os.Hostname()
	for _, n := range nodes {
		n.sort()
		t.Nodes = append(t.Nodes, *n)
	}
	slices.SortFunc(t.Nodes, func(a, b MapNode) int { return cmp.Compare(a.ID, b.ID) })
	return t, nil
}

// addEndpoint adds an endpoint to its container's node, and returns that.
func addEndpoint(nodes map[string]*MapNode, e api.Endpoint) *MapNode {
	id := e.Container
	if id == "" {
		id = e.ID[:min(12, len(e.ID))]
	}
	n := nodes[id]
	if n == nil {
		n = &MapNode{ID: id, Kind: KindContainer, Project: e.Project, Service: e.Service, Image: e.Image, Labels: e.Labels,
			State: e.State, Mode: e.Mode, Profile: e.Profile}
		nodes[id] = n
	}
	if e.State != api.StateReady {
		n.State, n.Error = e.State, e.LastError
	}
	a := Attachment{Endpoint: e.ID, Network: e.Network, Identity: e.Identity, Egress: enforced(e.Egress), Ingress: enforced(e.Ingress)}
	if e.Publish.Enforced {
		a.Publish = append([]string{}, e.Publish.Rules...)
	}
	if e.IPv4.IsValid() {
		a.IPv4 = e.IPv4.Addr().String()
	}
	if e.IPv6.IsValid() {
		a.IPv6 = e.IPv6.Addr().String()
	}
	n.Networks = append(n.Networks, a)
	return n
}

// enforced returns the policies of a direction, nil if nothing restricts it.
func enforced(d api.Direction) []string {
	if !d.Enforced {
		return nil
	}
	return append([]string{}, d.Policies...)
}

// addPort adds a published port, once for all addresses of the host.
func (n *MapNode) addPort(p api.Port) {
	port := PublishedPort{HostPort: p.HostPort, Protocol: p.Protocol, Port: p.Port}
	if !p.HostAddr.IsUnspecified() {
		port.Address = p.HostAddr.String()
	}
	if !slices.Contains(n.Ports, port) {
		n.Ports = append(n.Ports, port)
	}
}

// sort puts what came in any order into one, so that equal topologies are written equally.
func (n *MapNode) sort() {
	slices.SortFunc(n.Networks, func(a, b Attachment) int {
		return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Endpoint, b.Endpoint))
	})
	slices.SortFunc(n.Ports, func(a, b PublishedPort) int {
		return cmp.Or(cmp.Compare(a.HostPort, b.HostPort), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Address, b.Address))
	})
}

// seenNode is a node that only flows tell of.
func seenNode(n servicemap.Node) *MapNode {
	out := &MapNode{ID: n.ID, Project: n.Project, Service: n.Service, Image: n.Image}
	switch n.ID {
	case servicemap.Host:
		out.Kind = KindHost
	case servicemap.World:
		out.Kind = KindWorld
	case servicemap.Other:
		out.Kind = KindOther
	default:
		out.Kind, out.Gone = KindContainer, true
	}
	return out
}
