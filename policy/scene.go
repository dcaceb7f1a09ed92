package policy

import (
	"net/netip"

	"github.com/sluice-net/sluice/identity"
)

// Member is one container's place on a network, for reasoning over all of them at once (Graph, Diff, Exposed).
type Member struct {
	Group   string // what people call it: compose's project/service, else the container's name
	ID      identity.ID
	Network string
	Tables  Tables
	// Settings say whether the tables are enforced.
	Settings Settings
	Addrs    []netip.Addr
	// Internal: the network refuses the world. Routed: the world reaches the container under its own address.
	Internal, Routed bool
	Published        []Publication
}

// Publication is a port of the host that leads to one of the container.
type Publication struct {
	Protocol uint8
	Addr     netip.Addr // of the host; unspecified: all of its family
	HostPort uint16
	Port     uint16 // the container's
}

// Names of ends that are no containers.
const (
	NameHost     = "@host"
	NameLAN      = "@lan"
	NameInternet = "@internet"
	NameWorld    = "@world"
)

// egress is what the member may open to a peer of this identity, class and address.
func (m *Member) egress(id identity.ID, class Class, addr netip.Addr) Reach {
	return m.passing(Egress, m.Tables.Egress, id, class, addr)
}

// ingress is what the member accepts.
func (m *Member) ingress(id identity.ID, class Class, addr netip.Addr) Reach {
	return m.passing(Ingress, m.Tables.Ingress, id, class, addr)
}

// passing is what a table that may be nil allows a peer, and what passes all the same.
func (m *Member) passing(d Direction, t *Table, id identity.ID, class Class, addr netip.Addr) Reach {
	var r Reach
	p := profileOf(d, t, id, class, addr)
	for i, e := range p {
		if e.Verdict == Allow || m.Settings.Suspends(d, t, class, e.Rule) {
			r = r.push(e.From, p.end(i))
		}
	}
	return r
}

// profileOf is what a table that may be nil says of a peer.
func profileOf(d Direction, t *Table, id identity.ID, class Class, addr netip.Addr) Profile {
	if t != nil {
		return t.profile(id, class, addr)
	}
	v, _ := openVerdict(d, class, false)
	return Profile{{Verdict: v}}
}

// strict is the member as if its tables were enforced.
func (m Member) strict() *Member {
	m.Settings = Settings{}
	return &m
}

// classOf is what two members are to each other.
func classOf(a, b *Member) Class {
	if a.Network == b.Network {
		return ClassNetwork
	}
	return ClassOther
}

// between is what one member may open to another, by the other's own ports: directly, and by published ports.
func between(from, to *Member) Reach {
	class := classOf(from, to)
	accepted := to.ingress(from.ID, class, netip.Addr{})
	for _, p := range to.Published {
		if to.published(p, from.ID, class, netip.Addr{}).passes {
			accepted = accepted.Or(PortReach(p.Protocol, p.Port, p.Port))
		}
	}
	return from.egress(to.ID, class, netip.Addr{}).And(accepted)
}

// fromWorld is what an address of the world may open to the member, by the member's own ports: directly where the
// network is routed, and by published ports.
func (m *Member) fromWorld(addr netip.Addr) Reach {
	if m.Internal {
		return nil
	}
	var r Reach
	if m.Routed {
		r = m.ingress(identity.World, ClassWorld, addr)
	}
	for _, p := range m.Published {
		if m.published(p, identity.World, ClassWorld, addr).passes {
			r = r.Or(PortReach(p.Protocol, p.Port, p.Port))
		}
	}
	return r
}

// entry is what becomes of those who use a published port.
type entry struct {
	passes  bool
	verdict Verdict
	rule    RuleRef
}

// published is what becomes of a peer that uses a published port: an address of the world, or a container, whose address
// does not count. One on a loopback address is for processes of the host alone.
func (m *Member) published(p Publication, id identity.ID, class Class, addr netip.Addr) entry {
	if p.Addr.IsLoopback() || addr.IsValid() && p.Addr.IsValid() && addr.Unmap().Is4() != p.Addr.Unmap().Is4() {
		return entry{}
	}
	v, n, by := m.Tables.JudgePublished(id, class, addr, Key(p.Protocol, p.Port), Key(p.Protocol, p.HostPort))
	ref, _ := by.Rule(n)
	watched := m.Settings.Suspends(Ingress, by, class, n)
	if by != nil && by == m.Tables.Publish {
		watched = m.Settings.Enforcement != Enforce
	}
	return entry{v == Allow || watched, v, ref}
}

// toWorld is what the member may open to an address of the world.
func (m *Member) toWorld(addr netip.Addr) Reach {
	if m.Internal {
		return nil
	}
	return m.egress(identity.World, ClassWorld, addr)
}
