package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/identity"
)

// Names of ends in exposures, beside those of graphs.
const (
	NameNetwork = "@net"   // every container of the same network
	NameOther   = "@other" // every container of other networks
)

// Exposure is a way in: whoever From is may open Reach at Address. It is what the container accepts, whether or not
// the sender's own policy lets it try.
type Exposure struct {
	Group   string
	Network string
	// Address is the container's, or of the host for a published port, unspecified: all of its family.
	Address netip.Addr
	// Published: Reach are ports of the host, which lead to Port of the container.
	Published bool
	Port      uint16
	From      string // NameNetwork, NameOther, NameHost, a group of containers, or a part of the world
	Reach     Reach
	Rule      RuleRef // zero: no rule restricts it
	// Watched is Audit or Learn where it passes only for that; the rule is the one that denies it.
	Watched Enforcement
	// Peer and PeerClass are the identity of a group of containers; Unknown for other ends.
	Peer      identity.ID
	PeerClass Class

	ranges []addrRange // of a part of the world
	inLAN  bool        // all of them
}

// Exposed lists every way into the members.
func Exposed(members []Member, universe *Universe) []Exposure {
	groups, networks := groupNames(members), map[identity.ID]string{}
	for _, m := range members {
		networks[m.ID] = m.Network
	}
	var all []Exposure
	for i := range members {
		e := exposer{m: &members[i], lan: universe.lanRanges, groups: groups, networks: networks}
		for _, addr := range e.m.Addrs {
			e.inside(addr)
			if e.m.Routed && !e.m.Internal {
				e.world(addr)
			}
		}
		for _, p := range e.m.Published {
			e.published(p)
		}
		all = append(all, e.found...)
	}
	slices.SortStableFunc(all, func(a, b Exposure) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Network, b.Network), a.Address.Compare(b.Address),
			cmp.Compare(a.firstKey(), b.firstKey()), cmp.Compare(a.From, b.From),
			cmp.Compare(a.Rule.String(), b.Rule.String()), cmp.Compare(a.Watched, b.Watched))
	})
	return all
}

// groupNames gives every identity the groups of the containers that share it, with commas.
func groupNames(members []Member) map[identity.ID]string {
	lists := map[identity.ID][]string{}
	for _, m := range members {
		lists[m.ID] = append(lists[m.ID], m.Group)
	}
	names := map[identity.ID]string{}
	for id, list := range lists {
		slices.Sort(list)
		names[id] = strings.Join(slices.Compact(list), ",")
	}
	return names
}

func (e *Exposure) firstKey() uint32 {
	if len(e.Reach) == 0 {
		return 0
	}
	return e.Reach[0].From
}

// exposer finds the ways into one member.
type exposer struct {
	m                *Member
	lan              []addrRange
	groups, networks map[identity.ID]string
	found            []Exposure
}

// inside is what containers and the host reach under the container's address. Peers that are judged as their class is
// are not named one by one.
func (e *exposer) inside(addr netip.Addr) {
	t := e.m.Tables.Ingress
	for class, name := range map[Class]string{ClassNetwork: NameNetwork, ClassOther: NameOther, ClassHost: NameHost} {
		e.profile(Exposure{Address: addr, From: name}, e.classProfile(class), class)
	}
	if t == nil {
		return
	}
	for _, peer := range t.Identities {
		if group, ok := e.groups[peer.ID]; ok {
			class := e.classOf(peer.ID)
			e.profile(Exposure{Address: addr, From: group, Peer: peer.ID, PeerClass: class}, peer.Profile, class)
		}
	}
}

func (e *exposer) classOf(peer identity.ID) Class {
	if e.networks[peer] == e.m.Network {
		return ClassNetwork
	}
	return ClassOther
}

func (e *exposer) classProfile(class Class) Profile {
	if t := e.m.Tables.Ingress; t != nil {
		return t.Defaults[class]
	}
	return profileOf(Ingress, nil, identity.Unknown, class, netip.Addr{})
}

// profile enters what a profile of ingress lets in, by rule.
func (e *exposer) profile(base Exposure, p Profile, class Class) {
	base.Group, base.Network = e.m.Group, e.m.Network
	t := e.m.Tables.Ingress
	for say, r := range p.byRule() {
		one := base
		one.Reach = r
		one.Rule, _ = t.Rule(say.Rule)
		if say.Verdict == Deny {
			if !e.m.Settings.Suspends(Ingress, t, class, say.Rule) {
				continue
			}
			one.Watched = e.m.Settings.Enforcement
		}
		e.found = append(e.found, one)
	}
}

// byRule is what the profile says, by verdict and rule.
func (p Profile) byRule() map[PortVerdict]Reach {
	out := map[PortVerdict]Reach{}
	for i, entry := range p {
		key := PortVerdict{Verdict: entry.Verdict, Rule: entry.Rule}
		out[key] = out[key].push(entry.From, p.end(i))
	}
	return out
}

// world is what the world reaches under the container's own address.
func (e *exposer) world(addr netip.Addr) {
	profile := func(a netip.Addr) Profile {
		return profileOf(Ingress, e.m.Tables.Ingress, identity.World, ClassWorld, a)
	}
	same := func(a netip.Addr) string { return profileKey(profile(a)) }
	for _, part := range worldParts([]*Table{e.m.Tables.Ingress}, e.lan, addr, same) {
		e.profile(e.part(Exposure{Address: addr}, part), profile(part.Sample), ClassWorld)
	}
}

// part fills in the part of the world that an exposure is to.
func (e *exposer) part(x Exposure, p WorldPart) Exposure {
	x.From, x.ranges = p.Name, p.ranges
	x.inLAN = !slices.ContainsFunc(p.ranges, func(r addrRange) bool {
		return !containsAddr(e.lan, r.first)
	})
	return x
}

// published is who reaches a published port (see Tables.JudgePublished). Processes of the host are judged by ingress
// alone.
func (e *exposer) published(p Publication) {
	backend := Key(p.Protocol, p.Port)
	base := Exposure{Group: e.m.Group, Network: e.m.Network, Address: p.Addr, Published: true, Port: p.Port,
		Reach: PortReach(p.Protocol, p.HostPort, p.HostPort)}
	t := e.m.Tables.Ingress
	v, n := Judge(Ingress, t, identity.Host, ClassHost, netip.Addr{}, backend)
	ref, _ := t.Rule(n)
	host := base
	host.From = NameHost
	e.enter(host, entry{v == Allow || e.m.Settings.Suspends(Ingress, t, ClassHost, n), v, ref})
	if e.m.Internal {
		return
	}
	e.publishedToContainers(base, p)
	ofWorld := func(a netip.Addr) entry { return e.m.published(p, identity.World, ClassWorld, a) }
	same := func(a netip.Addr) string { return fmt.Sprint(ofWorld(a)) }
	for _, part := range worldParts([]*Table{e.m.Tables.Ingress, e.m.Tables.Publish}, e.lan, p.Addr, same) {
		e.enter(e.part(base, part), ofWorld(part.Sample))
	}
}

// publishedToContainers lists the containers that a published port lets in. Those that reach the same port under the
// container's own address are listed there.
func (e *exposer) publishedToContainers(base Exposure, p Publication) {
	backend := Key(p.Protocol, p.Port)
	reaches := func(id identity.ID, class Class) entry {
		v, n := Judge(Ingress, e.m.Tables.Ingress, id, class, netip.Addr{}, backend)
		if v == Allow || e.m.Settings.Suspends(Ingress, e.m.Tables.Ingress, class, n) {
			return entry{}
		}
		return e.m.published(p, id, class, netip.Addr{})
	}
	all := map[Class]entry{}
	for class, name := range map[Class]string{ClassNetwork: NameNetwork, ClassOther: NameOther} {
		all[class] = reaches(identity.Unknown, class)
		x := base
		x.From = name
		e.enter(x, all[class])
	}
	listed := map[identity.ID]bool{}
	for _, t := range []*Table{e.m.Tables.Ingress, e.m.Tables.Publish} {
		if t == nil {
			continue
		}
		for _, peer := range t.Identities {
			group, known := e.groups[peer.ID]
			class := e.classOf(peer.ID)
			if by := reaches(peer.ID, class); known && !listed[peer.ID] && by != all[class] {
				listed[peer.ID] = true
				x := base
				x.From, x.Peer, x.PeerClass = group, peer.ID, class
				e.enter(x, by)
			}
		}
	}
}

// enter enters a way in by a published port, if it is one.
func (e *exposer) enter(x Exposure, by entry) {
	if !by.passes {
		return
	}
	if x.Rule = by.rule; by.verdict == Deny {
		x.Watched = e.m.Settings.Enforcement
	}
	e.found = append(e.found, x)
}

func profileKey(p Profile) string {
	var b []byte
	for _, e := range p {
		b = strconv.AppendUint(append(b, byte(e.Verdict)), uint64(e.From), 36)
		b = strconv.AppendUint(append(b, '/'), uint64(e.Rule), 36)
	}
	return string(b)
}
