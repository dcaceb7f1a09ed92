package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/identity"
)

// Seen is a connection that a container opened (Egress) or accepted (Ingress).
type Seen struct {
	Direction Direction
	// Published is the port of the host that it came by, where a rule is about published ports; 0: none.
	Published uint16
	// Peer is the other end as an item of a label names it: a container, or @host. Empty: Addr, an address of the world.
	Peer     string
	Addr     netip.Addr
	Protocol uint8
	Port     uint16 // that the connection was opened to, of ICMP type<<8 | code
}

// Beyond these numbers, what was seen is put together.
const (
	mostAddresses = 4  // addresses of the LAN, or of the internet, for one port
	mostLANs      = 4  // networks of the LAN (of 24 bits, of IPv6 64) for one port
	mostPorts     = 32 // ports of one peer: they become a range from the first to the last
)

// LearnedLabels makes the labels that allow what was seen and nothing more, but for what is put together: many addresses become
// their networks, @lan or @internet, many ports a range. A direction in which nothing was seen is closed. With publish,
// connections by published ports are in lists of these ports, else in that of ingress.
func LearnedLabels(seen []Seen, universe *Universe, publish bool) identity.Labels {
	l := learner{universe: universe, publish: publish, byPort: map[learnt][]netip.Addr{}, items: map[string]map[string]map[uint8][]uint16{}}
	for _, s := range seen {
		l.see(s)
	}
	for place, addrs := range l.byPort {
		names := l.summarise(addrs)
		if _, ok := learntPorts(place.protocol, []uint16{place.port}); !ok && place.protocol != 0 && !strings.HasPrefix(place.key, "sluice.publish.") {
			names = addressNames(addrs) // there are no words for the protocol: much more would be allowed
		}
		for _, peer := range names {
			l.enter(place.key, peer, place.protocol, place.port)
		}
	}
	labels := identity.Labels{}
	for _, d := range []Direction{Egress, Ingress} {
		labels["sluice."+d.String()] = "@none"
	}
	for key, peers := range l.items {
		labels[key] = list(key, peers)
	}
	return labels
}

// learnt is a label and a port.
type learnt struct {
	key      string
	protocol uint8
	port     uint16
}

type learner struct {
	universe *Universe
	publish  bool
	byPort   map[learnt][]netip.Addr                  // of the world
	items    map[string]map[string]map[uint8][]uint16 // label → peer → protocol → ports
}

func (l *learner) see(s Seen) {
	if s.Published != 0 && l.publish { // a list of the port opens closed ingress by that way alone
		l.seeBy("sluice.publish."+strconv.Itoa(int(s.Published)), Seen{Peer: s.Peer, Addr: s.Addr, Protocol: s.Protocol})
		return
	}
	l.seeBy("sluice."+s.Direction.String(), s)
}

// seeBy enters what was seen into a label.
func (l *learner) seeBy(key string, s Seen) {
	if s.Peer == "" {
		place := learnt{key, s.Protocol, s.Port}
		if a := s.Addr.Unmap(); !slices.Contains(l.byPort[place], a) {
			l.byPort[place] = append(l.byPort[place], a)
		}
		return
	}
	l.enter(key, s.Peer, s.Protocol, s.Port)
}

func (l *learner) enter(key, peer string, protocol uint8, port uint16) {
	if l.items[key] == nil {
		l.items[key] = map[string]map[uint8][]uint16{}
	}
	if l.items[key][peer] == nil {
		l.items[key][peer] = map[uint8][]uint16{}
	}
	if ports := l.items[key][peer][protocol]; !slices.Contains(ports, port) {
		l.items[key][peer][protocol] = append(ports, port)
	}
}

// summarise names addresses of the world: as they are, or together.
func (l *learner) summarise(addrs []netip.Addr) []string {
	var lan, internet []netip.Addr
	for _, a := range addrs {
		if containsAddr(l.universe.lanRanges, a) {
			lan = append(lan, a)
		} else {
			internet = append(internet, a)
		}
	}
	var names []string
	if len(internet) > mostAddresses {
		names, internet = append(names, NameInternet), nil
	}
	var networks []netip.Prefix
	if len(lan) > mostAddresses {
		for _, a := range lan {
			bits := 64
			if a.Is4() {
				bits = 24
			}
			if p, _ := a.Prefix(bits); !slices.Contains(networks, p) {
				networks = append(networks, p)
			}
		}
		lan = nil
	}
	if len(networks) > mostLANs || slices.ContainsFunc(networks, func(p netip.Prefix) bool { return !l.inLAN(p) }) {
		names, networks = append(names, NameLAN), nil
	}
	for _, a := range slices.Concat(lan, internet) {
		names = append(names, a.String())
	}
	for _, p := range networks {
		names = append(names, p.String())
	}
	return names
}

func addressNames(addrs []netip.Addr) []string {
	names := make([]string, len(addrs))
	for i, a := range addrs {
		names[i] = a.String()
	}
	return names
}

func (l *learner) inLAN(p netip.Prefix) bool {
	return containsAddr(l.universe.lanRanges, p.Addr()) && containsAddr(l.universe.lanRanges, lastAddr(p))
}

// list writes a label's value.
func list(key string, peers map[string]map[uint8][]uint16) string {
	var items []string
	for peer, protocols := range peers {
		if strings.HasPrefix(key, "sluice.publish.") {
			items = append(items, peer)
			continue
		}
		bracketed := peer
		if strings.Contains(peer, ":") && !strings.HasPrefix(peer, "name:") { // IPv6 before ports
			bracketed = "[" + peer + "]"
		}
		own := make([]string, 0, len(protocols))
		for protocol, ports := range protocols {
			text, ok := learntPorts(protocol, ports)
			if !ok { // no words for the protocol: the peer as a whole
				own = []string{peer}
				break
			}
			own = append(own, bracketed+":"+text)
		}
		items = append(items, own...)
	}
	slices.Sort(items)
	return strings.Join(items, ", ")
}

// learntPorts writes the ports of one protocol.
func learntPorts(protocol uint8, ports []uint16) (string, bool) {
	slices.Sort(ports)
	switch {
	case protocol == ProtocolICMP || protocol == ProtocolICMPv6:
		types := make([]uint16, len(ports))
		for i, p := range ports {
			types[i] = p >> 8
		}
		return braced(slices.Compact(types)) + "/" + ProtocolName(protocol), true
	case !hasPorts(protocol) || ports[0] == 0:
		return "", false
	}
	text := braced(ports)
	if len(ports) > mostPorts {
		text = fmt.Sprintf("%d-%d", ports[0], ports[len(ports)-1])
	}
	if protocol != ProtocolTCP {
		text += "/" + ProtocolName(protocol)
	}
	return text, true
}

func braced(numbers []uint16) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = strconv.Itoa(int(n))
	}
	if len(words) == 1 {
		return words[0]
	}
	return "{" + strings.Join(words, ",") + "}"
}

// ForContainer makes of a policy that labels are one that a file may hold: it selects the containers of an end.
func (p *Policy) ForContainer(name string, e End, within string) *Policy {
	out := *p
	out.Name, out.Origin = name, OriginDocument
	out.Rules = slices.Clone(p.Rules)
	for i := range out.Rules {
		r := &out.Rules[i]
		if e.Selector != nil {
			r.Subject = *e.Selector
		}
		r.Clauses = slices.Clone(r.Clauses)
		for j := range r.Clauses {
			r.Clauses[j].Peers = slices.Clone(r.Clauses[j].Peers)
			for k := range r.Clauses[j].Peers {
				r.Clauses[j].Peers[k] = r.Clauses[j].Peers[k].inProject(within)
			}
		}
	}
	return &out
}

// inProject names the compose project that a peer of the subject's own is of.
func (p Peer) inProject(project string) Peer {
	if p.Selector == nil || !p.SameProject || project == "" {
		return p
	}
	s := NewSelector(append(slices.Clone(p.Selector.Requirements), Requirement{Key: identity.LabelProject, Values: []string{project}})...)
	return Peer{Selector: &s}
}
