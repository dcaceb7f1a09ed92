package policy

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// icmpTypes are the names that documents may use for ICMP types, by family.
var icmpTypes = map[string]map[string]uint8{
	"IPv4": {
		"EchoReply": 0, "DestinationUnreachable": 3, "Redirect": 5, "Echo": 8, "EchoRequest": 8,
		"RouterAdvertisement": 9, "RouterSelection": 10, "TimeExceeded": 11, "ParameterProblem": 12, "Timestamp": 13,
		"TimestampReply": 14, "Photuris": 40, "ExtendedEchoRequest": 42, "ExtendedEchoReply": 43,
	},
	"IPv6": {
		"DestinationUnreachable": 1, "PacketTooBig": 2, "TimeExceeded": 3, "ParameterProblem": 4,
		"EchoRequest": 128, "EchoReply": 129, "MulticastListenerQuery": 130, "MulticastListenerReport": 131,
		"MulticastListenerDone": 132, "RouterSolicitation": 133, "RouterAdvertisement": 134,
		"NeighborSolicitation": 135, "NeighborAdvertisement": 136, "RedirectMessage": 137, "RouterRenumbering": 138,
		"ICMPNodeInformationQuery": 139, "ICMPNodeInformationResponse": 140,
		"InverseNeighborDiscoverySolicitation": 141, "InverseNeighborDiscoveryAdvertisement": 142,
		"HomeAgentAddressDiscoveryRequest": 144, "HomeAgentAddressDiscoveryReply": 145,
		"MobilePrefixSolicitation": 146, "MobilePrefixAdvertisement": 147,
		"DuplicateAddressRequestCodeSuffix": 157, "DuplicateAddressConfirmationCodeSuffix": 158,
		"ExtendedEchoRequest": 160, "ExtendedEchoReply": 161,
	},
}

func item(name string, i int) string { return name + "[" + strconv.Itoa(i) + "]" }

// portRules reads the items of toPorts or icmps.
func (r *clauseReader) portRules(n *yaml.Node, path string, one func(n *yaml.Node, path string, pr *PortRule)) {
	name := path[strings.LastIndexByte(path, '.')+1:]
	i := 0
	r.list(n, path, func(n *yaml.Node, path string) {
		pr := PortRule{Path: r.c.Path + "." + item(name, i), Line: n.Line}
		one(n, path, &pr)
		r.c.Ports = append(r.c.Ports, pr)
		i++
	})
}

func (r *clauseReader) portRule(n *yaml.Node, path string, pr *PortRule) {
	known := fields{"ports": read(func(n *yaml.Node, path string) {
		r.list(n, path, func(n *yaml.Node, path string) {
			if p, ok := r.port(n, path); ok {
				pr.Ports = append(pr.Ports, p.perProtocol()...)
			}
		})
	})}
	if !r.c.Deny {
		known["rules"] = read(r.l7)
		known["terminatingTLS"], known["originatingTLS"], known["serverNames"] = refuse(whyTLS), refuse(whyTLS), refuse(whyTLS)
		known["listener"] = refuse(whyListener)
	}
	r.mapping(n, path, known)
}

// perProtocol spells out what ANY is in a list of ports: the protocols that have ports, also where every port is meant.
// (Every protocol of a Port is what a missing list says.)
func (p Port) perProtocol() []Port {
	if !p.AnyProtocol || p.Name != "" || p.First != 0 || p.Last != 0xffff {
		return []Port{p}
	}
	list := make([]Port, len(portProtocols))
	for i, protocol := range portProtocols {
		list[i] = Port{Protocol: protocol, Last: 0xffff}
	}
	return list
}

// l7 refuses rules above the ports, but the empty ones, which restrict nothing.
func (r *clauseReader) l7(n *yaml.Node, path string) {
	r.mapping(n, path, fields{
		"http": refuse(whyL7), "dns": refuse(whyL7), "kafka": refuse(whyL7), "l7": refuse(whyL7), "l7proto": refuse(whyL7),
		"HTTP": refuse(whyL7), "Kafka": refuse(whyL7), // as the guides for Docker wrote them
	})
}

// port reads one port with its protocol, range or name.
func (r *clauseReader) port(n *yaml.Node, path string) (p Port, ok bool) {
	var (
		before    = len(r.problems)
		text, end *yaml.Node
		protocol  = "ANY"
	)
	r.mapping(n, path, fields{
		"port":    read(func(n *yaml.Node, _ string) { text = n }),
		"endPort": read(func(n *yaml.Node, _ string) { end = n }),
		"protocol": read(func(n *yaml.Node, path string) {
			if s, ok := r.str(n, path); ok {
				protocol = strings.ToUpper(s)
			}
		}),
	})
	if protocol == "" || protocol == "ANY" {
		p.AnyProtocol = true
	} else if p.Protocol, ok = protocolNames[protocol]; !ok {
		r.fail(n, join(path, "protocol"), "unknown protocol %s, valid here: TCP, UDP, SCTP, ICMP, ICMPv6, IGMP, IPIP, IPV6, GRE, ESP, AH, VRRP, ANY",
			shorten(protocol))
	}
	if text == nil {
		if !p.AnyProtocol && !hasPorts(p.Protocol) && end == nil {
			p.Last = 0xffff
			return p, len(r.problems) == before
		}
		if len(r.problems) == before {
			r.fail(n, join(path, "port"), `missing: write "0" for every port`)
		}
		return p, false
	}
	r.portNumber(&p, text, end, path)
	return p, len(r.problems) == before
}

func (r *clauseReader) portNumber(p *Port, text, end *yaml.Node, path string) {
	at := join(path, "port")
	s, ok := r.text(text, at)
	if !ok {
		return
	}
	first, err := strconv.ParseUint(s, 10, 16)
	switch {
	case err != nil && isPortName(strings.ToLower(s)):
		r.namedPort(p, strings.ToLower(s), text, end, at)
		return
	case err != nil:
		r.fail(text, at, "%s is neither a port from 0 to 65535 nor the name of one", shorten(s))
		return
	}
	p.First, p.Last = uint16(first), uint16(first)
	last := uint64(0)
	if end != nil {
		s, _ := r.text(end, join(path, "endPort"))
		if last, err = strconv.ParseUint(s, 10, 16); err != nil {
			r.fail(end, join(path, "endPort"), "%s is not a port from 0 to 65535", shorten(s))
			return
		}
	}
	switch icmp := p.Protocol == ProtocolICMP || p.Protocol == ProtocolICMPv6; {
	case last != 0 && last < first:
		r.fail(end, join(path, "endPort"), "%d is less than the port %d", last, first)
	case first == 0 && last != 0:
		r.fail(text, at, "a range starts at port 1 or above; port 0 alone is every port")
	case first == 0:
		p.Last = 0xffff
	case !p.AnyProtocol && icmp && (first > 255 || last != 0):
		r.fail(text, at, "with %s the port is one ICMP type from 0 to 255", protocolName(p.Protocol))
	case !p.AnyProtocol && icmp:
		*p = icmpPort(p.Protocol, uint8(first))
	case !p.AnyProtocol && !hasPorts(p.Protocol):
		r.fail(text, at, `%s has no ports: write "0"`, protocolName(p.Protocol))
	case last != 0:
		p.Last = uint16(last)
	}
}

func (r *clauseReader) namedPort(p *Port, name string, text, end *yaml.Node, at string) {
	switch {
	case !p.AnyProtocol && !hasPorts(p.Protocol):
		r.fail(text, at, "%s has no named ports", protocolName(p.Protocol))
	case end != nil:
		r.fail(end, strings.TrimSuffix(at, "port")+"endPort", "a named port is no range")
	}
	p.Name = name
}

func hasPorts(protocol uint8) bool {
	return protocol == ProtocolTCP || protocol == ProtocolUDP || protocol == ProtocolSCTP
}

// icmpPort covers every code of an ICMP type.
func icmpPort(protocol, icmpType uint8) Port {
	first := uint16(icmpType) << 8
	return Port{Protocol: protocol, First: first, Last: first | 0xff}
}

// icmp reads an item of icmps: its fields are types of messages.
func (r *clauseReader) icmp(n *yaml.Node, path string, pr *PortRule) {
	r.mapping(n, path, fields{"fields": read(func(n *yaml.Node, path string) {
		r.list(n, path, func(n *yaml.Node, path string) {
			if p, ok := r.icmpField(n, path); ok {
				pr.Ports = append(pr.Ports, p)
			}
		})
	})})
}

func (r *clauseReader) icmpField(n *yaml.Node, path string) (Port, bool) {
	var (
		before = len(r.problems)
		family = "IPv4"
		what   *yaml.Node
	)
	r.mapping(n, path, fields{
		"family": read(func(n *yaml.Node, path string) {
			if s, ok := r.str(n, path); ok {
				family = s
			}
		}),
		"type": read(func(n *yaml.Node, _ string) { what = n }),
	})
	protocol := uint8(ProtocolICMP)
	switch family {
	case "IPv4":
	case "IPv6":
		protocol = ProtocolICMPv6
	default:
		r.fail(n, join(path, "family"), "%s is not IPv4 or IPv6", shorten(family))
		return Port{}, false
	}
	if what == nil {
		if len(r.problems) == before {
			r.fail(n, join(path, "type"), "missing: a number from 0 to 255 or a name such as EchoRequest")
		}
		return Port{}, false
	}
	s, ok := r.text(what, join(path, "type"))
	if !ok {
		return Port{}, false
	}
	number, err := strconv.ParseUint(s, 10, 8)
	if named, known := icmpTypes[family][s]; known {
		number, err = uint64(named), nil
	}
	if err != nil {
		names := make([]string, 0, len(icmpTypes[family]))
		for name := range icmpTypes[family] {
			names = append(names, name)
		}
		r.fail(what, join(path, "type"), "%s", fmt.Sprintf("%s is no ICMP type of %s (0 to 255, or a name)%s", shorten(s), family, nearestOnly(s, names)))
		return Port{}, false
	}
	return icmpPort(protocol, uint8(number)), len(r.problems) == before
}

// nearestOnly is suggest without the list of all candidates.
func nearestOnly(word string, candidates []string) string {
	if s := suggest(word, candidates); strings.HasPrefix(s, ", did") {
		return s
	}
	return ""
}
