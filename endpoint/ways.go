package endpoint

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/service"
)

// classOf is what two places are to each other.
func classOf(a, b *place) policy.Class {
	if a.network.ID == b.network.ID {
		return policy.ClassNetwork
	}
	return policy.ClassOther
}

// name is how a rule about another container names the place.
func (p *place) name(other *place) policy.End {
	within := ""
	if other != nil {
		within = other.subject.Labels[identity.LabelProject]
	}
	return policy.ContainerEnd(p.subject.Labels, p.endpoint.Container.Name, within)
}

// alike is equal for places that are judged alike, replicas of a service.
func (p *place) alike() string {
	return fmt.Sprint(p.identity, p.network.ID, p.closed, p.tables.Hash(), p.settings.Enforcement, p.settings.KeepDenies)
}

// between finds the ways between containers: on the networks that they share, else from every network of one to every
// network of the other.
func (x *explainer) between() ([]way, error) {
	var shared, apart []way
	seen := map[string]int{}
	self := false
	for _, f := range x.from.places {
		for _, t := range x.to.places {
			if f.endpoint.Container.ID == t.endpoint.Container.ID {
				self = true
				continue
			}
			key := f.alike() + "|" + t.alike()
			if seen[key]++; seen[key] > 1 {
				continue
			}
			if w := x.pair(f, t); classOf(f, t) == policy.ClassNetwork {
				shared = append(shared, w)
			} else {
				apart = append(apart, w)
			}
		}
	}
	for _, n := range seen {
		if n > 1 {
			x.note("replicas of the same labels are judged alike and shown once")
		}
	}
	switch {
	case len(shared) > 0:
		return shared, nil
	case len(apart) > 0:
		return apart, nil
	case self:
		return nil, api.Errorf(api.CodeInvalid, "explain %s to %s: both are the same container, and what it says to itself stays within", x.from.text, x.to.text)
	}
	return nil, api.Errorf(api.CodeNotFound, "explain %s to %s: no endpoint", x.from.text, x.to.text)
}

// distinct are the places without those that are judged like one before.
func distinct(places []*place) []*place {
	var out []*place
	seen := map[string]bool{}
	for _, p := range places {
		if !seen[p.alike()] {
			seen[p.alike()] = true
			out = append(out, p)
		}
	}
	return out
}

// pair is the way between two containers.
func (x *explainer) pair(f, t *place) way {
	w := way{source: f.party(), destination: t.party()}
	src, dst := addresses(f, t, x.target.addr)
	w.source.Addr, w.destination.Addr = src, dst
	if f.network.ID != t.network.ID && (f.network.Internal || t.network.Internal) {
		w.at = f
		if t.network.Internal {
			w.at = t
		}
		w.blocked = "network " + w.at.network.title() + " is internal: its containers have no gateway to other networks"
		w.remedy = "connect both containers to one network"
		return w
	}
	w.asks = x.pairAsks(f, t, src, dst)
	return w
}

// pairAsks are the two policies between containers.
func (x *explainer) pairAsks(f, t *place, src, dst netip.Addr) []ask {
	class := classOf(f, t)
	return []ask{
		{place: f, other: t.name(f), own: src, peerAddr: dst,
			look: policy.Look{Direction: policy.Egress, Table: f.tables.Egress, Peer: t.identity, Class: class}},
		{place: t, other: f.name(t), own: dst, peerAddr: src,
			look: policy.Look{Direction: policy.Ingress, Table: t.tables.Ingress, Peer: f.identity, Class: class}},
	}
}

// addresses are one of each end, of one family; the second is wanted if that is one of its.
func addresses(f, t *place, wanted netip.Addr) (src, dst netip.Addr) {
	for _, d := range t.endpoint.addrs() {
		for _, s := range f.endpoint.addrs() {
			if s.Is4() == d.Is4() && (!src.IsValid() || d == wanted) {
				src, dst = s, d
			}
		}
	}
	return src, dst
}

// hostEnd and worldEnd are how rules name ends that are no containers.
var hostEnd = policy.End{Text: policy.NameHost, Peer: policy.Peer{Entity: policy.EntityHost}}

func worldEnd(name string, a netip.Addr, prefix netip.Prefix) policy.End {
	switch {
	case prefix.IsValid():
		return policy.End{Text: prefix.String(), Peer: policy.Peer{Prefix: prefix}}
	case name == policy.NameLAN:
		return policy.End{Text: name, Peer: policy.Peer{Entity: policy.EntityLAN}}
	case name == policy.NameInternet:
		return policy.End{Text: name, Peer: policy.Peer{Entity: policy.EntityInternet}}
	}
	return policy.End{Text: a.String(), Peer: policy.Peer{Prefix: netip.PrefixFrom(a, a.BitLen())}}
}

// toHost finds the ways from containers to the host: to the container behind a published port, else to the host itself.
func (x *explainer) toHost() ([]way, error) {
	var ways []way
	behind := x.behind(false)
	for _, f := range distinct(x.from.places) {
		for _, b := range behind {
			if !sameFamily(f, b.published.Frontend.Addr) {
				continue
			}
			src, dst := addresses(f, b.place, b.published.Backend.Addr)
			w := way{source: f.party(), destination: b.place.party()}
			w.source.Addr, w.destination.Addr = src, dst
			w.asks, w.keys = x.pairAsks(f, b.place, src, dst), b.keys()
			w.asks[1].hostPort = b.published.Frontend.Port
			ways = append(ways, w)
		}
		if len(behind) > 0 {
			continue
		}
		addr, own := x.hostAddress(f)
		w := way{source: f.party(), destination: api.Party{Entity: api.EntityHost, Identity: uint32(identity.Host), Addr: addr}}
		w.source.Addr = own
		w.asks = []ask{{place: f, other: hostEnd, own: own, peerAddr: addr,
			look: policy.Look{Direction: policy.Egress, Table: f.tables.Egress, Peer: identity.Host, Class: policy.ClassHost}}}
		ways = append(ways, w)
	}
	return ways, nil
}

// hostAddress is an address of the host for a container, the one that was asked for or a gateway, with the container's
// of the same family.
func (x *explainer) hostAddress(p *place) (host, own netip.Addr) {
	candidates := p.network.gateways()
	for _, e := range []end{x.to, x.from} {
		if e.host && e.addr.IsValid() {
			candidates = append([]netip.Addr{e.addr}, candidates...)
		}
	}
	for _, h := range candidates {
		for _, a := range p.endpoint.addrs() {
			if a.Is4() == h.Is4() {
				return h, a
			}
		}
	}
	return netip.Addr{}, netip.Addr{}
}

// fromHost finds the ways from the host to containers.
func (x *explainer) fromHost() []way {
	var ways []way
	for _, t := range distinct(x.to.places) {
		addr, own := x.hostAddress(t)
		w := way{source: api.Party{Entity: api.EntityHost, Identity: uint32(identity.Host), Addr: addr}, destination: t.party()}
		w.destination.Addr = own
		w.asks = []ask{{place: t, other: hostEnd, own: own, peerAddr: addr,
			look: policy.Look{Direction: policy.Ingress, Table: t.tables.Ingress, Peer: identity.Host, Class: policy.ClassHost}}}
		ways = append(ways, w)
	}
	return ways
}

// parts are the parts of the world at an end that these tables judge alike, of a family if one is given. A single address
// is one.
func (x *explainer) parts(e end, p *place, family netip.Addr, tables ...*policy.Table) []policy.WorldPart {
	if e.addr.IsValid() {
		return []policy.WorldPart{{Name: e.text, Sample: e.addr}}
	}
	var parts []policy.WorldPart
	for _, part := range policy.SplitWorld(x.scene.universe, e.world, e.prefix, family, tables...) {
		if sameFamily(p, part.Sample) {
			parts = append(parts, part)
		}
	}
	return parts
}

// sameFamily tells whether the place has an address of the family of another.
func sameFamily(p *place, a netip.Addr) bool {
	return slices.ContainsFunc(p.endpoint.addrs(), func(own netip.Addr) bool { return own.Is4() == a.Is4() })
}

// ofFamily is the place's address of the family of another.
func ofFamily(p *place, a netip.Addr) netip.Addr {
	for _, own := range p.endpoint.addrs() {
		if own.Is4() == a.Is4() {
			return own
		}
	}
	return netip.Addr{}
}

// whole is the end as one part, where it makes no difference which.
func (e end) whole() policy.WorldPart { return policy.WorldPart{Name: e.text, Sample: e.addr} }

// worldParty shows a part of the world.
func (x *explainer) worldParty(part policy.WorldPart) api.Party {
	p := api.Party{Entity: api.EntityWorld, Identity: uint32(identity.World), Addr: part.Sample}
	if part.Name != part.Sample.String() {
		p.Labels = map[string]string{"part": part.Name}
	}
	return p
}

// worldName is how a rule names a part: as the user did, unless it is a single address.
func (x *explainer) worldName(e end, part policy.WorldPart) policy.End {
	switch {
	case e.addr.IsValid():
		return worldEnd("", e.addr, netip.Prefix{})
	case part.Single():
		return worldEnd("", part.Sample, netip.Prefix{})
	}
	return worldEnd(e.world, netip.Addr{}, e.prefix)
}

// toWorld finds the ways from containers to the world.
func (x *explainer) toWorld() []way {
	var ways []way
	for _, f := range distinct(x.from.places) {
		if f.network.Internal {
			w := way{source: f.party(), destination: x.worldParty(x.to.whole()), at: f}
			w.blocked = "network " + f.network.title() + " is internal: nothing leaves it to the outside"
			w.remedy = "connect the container to a network that is not internal"
			ways = append(ways, w)
			continue
		}
		for _, part := range x.parts(x.to, f, netip.Addr{}, f.tables.Egress) {
			w := way{source: f.party(), destination: x.worldParty(part)}
			w.source.Addr = ofFamily(f, part.Sample)
			w.asks = []ask{{place: f, other: x.worldName(x.to, part), own: w.source.Addr, peerAddr: part.Sample,
				look: policy.Look{Direction: policy.Egress, Table: f.tables.Egress, Peer: identity.World, Class: policy.ClassWorld, Addr: part.Sample}}}
			ways = append(ways, w)
		}
	}
	return ways
}

// fromWorld finds the ways from the world to containers: directly where the network is routed, else by the ports of the
// host that lead to the port.
func (x *explainer) fromWorld() []way {
	var ways []way
	for _, t := range x.to.places {
		if t.routed() {
			for _, part := range x.parts(x.from, t, netip.Addr{}, t.tables.Ingress) {
				ways = append(ways, x.worldWay(t, part, nil))
			}
			continue
		}
		published := t.leading(x.target)
		outside := slices.DeleteFunc(slices.Clone(published), func(p service.Published) bool { return p.Frontend.Addr.IsLoopback() })
		switch {
		case len(outside) == 0:
			ways = append(ways, x.unreachable(t, published))
			continue
		case x.target.addr.IsValid():
			ways = append(ways, x.unreachable(t, outside))
			continue
		}
		for _, p := range outside {
			ways = append(ways, x.worldBehind(backend{t, p})...)
		}
	}
	return ways
}

// unreachable is the way that is none: the world does not reach a container's own address.
func (x *explainer) unreachable(t *place, published []service.Published) way {
	w := way{source: x.worldParty(x.from.whole()), destination: t.party(), at: t}
	const masqueraded = "its network is masqueraded: nobody outside can reach its address"
	switch {
	case t.network.Internal:
		w.blocked = "network " + t.network.title() + " is internal: nothing reaches it from outside"
		w.remedy = "connect the container to a network that is not internal, and publish the port"
	case len(published) > 0 && published[0].Frontend.Addr.IsLoopback():
		w.blocked = "the port is published on " + published[0].Frontend.Addr.String() + ", which only processes of this host reach"
		w.remedy = "publish it on another address of the host (docker run -p, compose ports:)"
	case len(published) > 0:
		port := strconv.Itoa(int(published[0].Frontend.Port))
		w.blocked, w.remedy = masqueraded, "use port "+port+" of the host, which leads to it: sluice why "+x.from.text+" @host:"+port
	case x.target.port == "":
		w.blocked, w.remedy = "the container publishes no port, and "+masqueraded, "publish a port (docker run -p, compose ports:)"
	default:
		w.blocked = "port " + x.target.port + " is not published, and " + masqueraded
		w.remedy = "publish the port (docker run -p " + x.target.port + ", compose ports:)"
	}
	return w
}

// leading are the published ports of the container that lead to the port that was asked for, all without one. A port that
// none leads to is taken for one of the host.
func (p *place) leading(t target) []service.Published {
	ports, _ := policy.PortsFromLabels(p.subject.Labels)
	span, whole, err := t.keys(ports)
	var found, byHost []service.Published
	for _, f := range p.endpoint.Published {
		own, host := policy.Key(uint8(f.Frontend.Proto), f.Backend.Port), policy.Key(uint8(f.Frontend.Proto), f.Frontend.Port)
		if whole || err == nil && span.From <= own && own <= span.To {
			found = append(found, f)
		} else if err == nil && span.From <= host && host <= span.To {
			byHost = append(byHost, f)
		}
	}
	if len(found) == 0 {
		return byHost
	}
	return found
}

// backend is a container behind a published port.
type backend struct {
	place     *place
	published service.Published
}

// behind finds the containers behind the port of the host that was asked for, for processes of the host also those behind
// its loopback addresses.
func (x *explainer) behind(byHost bool) []backend {
	number, err := strconv.ParseUint(x.target.port, 10, 16)
	if err != nil {
		return nil
	}
	protocol := x.target.protocol
	if protocol == 0 {
		protocol = policy.ProtocolTCP
	}
	var found []backend
	for _, p := range x.scene.places {
		for _, f := range p.endpoint.Published {
			addr := f.Frontend.Addr
			if (byHost || !addr.IsLoopback()) && f.Frontend.Port == uint16(number) && uint8(f.Frontend.Proto) == protocol &&
				(!x.to.addr.IsValid() || addr == x.to.addr || addr.IsUnspecified() && addr.Is4() == x.to.addr.Is4()) {
				found = append(found, backend{p, f})
			}
		}
	}
	return found
}

// keys are those of the port of the container.
func (b backend) keys() policy.KeySpan {
	key := policy.Key(uint8(b.published.Frontend.Proto), b.published.Backend.Port)
	return policy.KeySpan{From: key, To: key}
}

// fromOutside finds the ways from the world, or from the host's own processes, to a published port.
func (x *explainer) fromOutside(who identity.ID) ([]way, error) {
	behind := x.behind(who == identity.Host)
	if len(behind) == 0 {
		what := "name the port"
		switch {
		case len(x.behind(true)) > 0:
			what = "port " + x.target.port + " is published on a loopback address, which only processes of this host reach"
		case x.target.port != "":
			what = "no container publishes port " + x.target.port
		}
		return nil, api.Errorf(api.CodeInvalid, "explain %s to %s: %s, and Sluice judges no packets of the host itself", x.from.text, x.to.text, what)
	}
	var ways []way
	for _, b := range behind {
		if who == identity.World {
			ways = append(ways, x.worldBehind(b)...)
			continue
		}
		t := b.place
		w := way{source: api.Party{Entity: api.EntityHost, Identity: uint32(identity.Host)}, destination: t.party()}
		w.destination.Addr = b.published.Backend.Addr
		for _, g := range t.network.gateways() {
			if g.Is4() == w.destination.Addr.Is4() {
				w.source.Addr = g
			}
		}
		w.keys = b.keys()
		w.asks = []ask{{place: t, other: hostEnd, own: w.destination.Addr, peerAddr: w.source.Addr,
			look: policy.Look{Direction: policy.Ingress, Table: t.tables.Ingress, Peer: identity.Host, Class: policy.ClassHost}}}
		ways = append(ways, w)
	}
	return ways, nil
}

// worldBehind are the ways from the parts of the world to a container behind a published port.
func (x *explainer) worldBehind(b backend) []way {
	var ways []way
	for _, part := range x.parts(x.from, b.place, b.published.Backend.Addr, b.place.tables.Ingress, b.place.tables.Publish) {
		if part.Sample.Is4() == b.published.Backend.Addr.Is4() {
			ways = append(ways, x.worldWay(b.place, part, &b))
		}
	}
	return ways
}

// worldWay is the way from a part of the world to a container, by a published port if one is given.
func (x *explainer) worldWay(t *place, part policy.WorldPart, b *backend) way {
	w := way{source: x.worldParty(part), destination: t.party()}
	w.destination.Addr = ofFamily(t, part.Sample)
	ingress := ask{place: t, other: x.worldName(x.from, part), own: w.destination.Addr, peerAddr: part.Sample,
		look: policy.Look{Direction: policy.Ingress, Table: t.tables.Ingress, Peer: identity.World, Class: policy.ClassWorld, Addr: part.Sample}}
	if b == nil {
		w.asks = []ask{ingress}
		return w
	}
	ingress.hostPort = b.published.Frontend.Port
	w.asks, w.keys = []ask{ingress}, b.keys()
	return w
}
