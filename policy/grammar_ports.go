package policy

import (
	"strconv"
	"strings"
)

// parsePorts reads what follows the colon: a port, a range, a name, * or several of them in braces, with a protocol
// behind a slash; or a protocol alone, which is all of it. The default is TCP, and for a named port what the name says.
func (i *term) parsePorts(text string) *fault {
	list, proto, explicit := strings.Cut(text, "/")
	word := strings.ToLower(strings.TrimSpace(list))
	if !explicit && (word == "any" || protocolKnown(word)) {
		list, proto, explicit = "*", word, true
	}
	protocol, any, f := parseProtocol(proto, explicit, i.portsAt+len(list)+1)
	if f != nil {
		return f
	}
	at := i.portsAt
	if inner, ok := strings.CutPrefix(list, "{"); ok {
		if inner, ok = strings.CutSuffix(inner, "}"); !ok {
			return faultf(at, "%s: after the braces come a slash and a protocol, or nothing", shorten(text))
		}
		list, at = inner, at+1
	}
	for _, one := range strings.Split(list, ",") {
		p := Port{Protocol: protocol, AnyProtocol: any}
		trimmed := strings.TrimSpace(one)
		if f := p.parse(trimmed, explicit, at+strings.Index(one, trimmed)); f != nil {
			return f
		}
		if p.AnyProtocol && p.Name == "" && p.First == 0 && p.Last == 0xffff {
			i.anyPort, i.ports = true, nil
			return nil
		}
		i.ports = append(i.ports, p)
		at += len(one) + 1
	}
	return nil
}

var grammarProtocols = []string{"tcp", "udp", "sctp", "icmp", "icmpv6", "any"}

func protocolKnown(s string) bool {
	_, ok := protocolNames[strings.ToUpper(s)]
	return ok
}

func parseProtocol(s string, explicit bool, at int) (protocol uint8, any bool, f *fault) {
	s = strings.ToLower(strings.TrimSpace(s))
	switch {
	case !explicit:
		return ProtocolTCP, false, nil
	case s == "any":
		return 0, true, nil
	case protocolKnown(s):
		return protocolNames[strings.ToUpper(s)], false, nil
	}
	return 0, false, faultf(at, "unknown protocol %s%s", shorten(s), suggest(s, grammarProtocols))
}

// parse reads one port. explicit tells whether a protocol is written.
func (p *Port) parse(s string, explicit bool, at int) *fault {
	icmp := !p.AnyProtocol && (p.Protocol == ProtocolICMP || p.Protocol == ProtocolICMPv6)
	switch {
	case s == "":
		return faultf(at, "the port is missing: write a number, a range such as 8000-8099, a name, or * for every port")
	case s == "*":
		p.Last = 0xffff
		return nil
	case icmp:
		return p.parseICMP(s, at)
	case !p.AnyProtocol && !hasPorts(p.Protocol):
		return faultf(at, "%s has no ports: write */%s", protocolName(p.Protocol), strings.ToLower(protocolName(p.Protocol)))
	case isNumber(s):
		return p.parseRange(s, at)
	}
	name := strings.ToLower(s)
	if !isPortName(name) || name[0] <= '9' {
		return faultf(at, "%s is neither a port from 1 to 65535, a range such as 8000-8099, nor the name of a port%s", shorten(s), portHint(s))
	}
	p.Name = name
	p.AnyProtocol = p.AnyProtocol || !explicit
	if p.AnyProtocol {
		p.Protocol = 0
	}
	return nil
}

func portHint(s string) string {
	switch {
	case strings.Contains(s, ":"):
		return blanksHint(s)
	case strings.ContainsAny(s, ",;|"):
		return ": several ports stand in braces, {80,443}"
	}
	return ""
}

func (p *Port) parseRange(s string, at int) *fault {
	from, to, isRange := strings.Cut(s, "-")
	first, err1 := strconv.ParseUint(from, 10, 16)
	last, err2 := first, error(nil)
	if isRange {
		last, err2 = strconv.ParseUint(to, 10, 16)
	}
	switch {
	case err1 != nil || err2 != nil:
		return faultf(at, "%s is not a port from 1 to 65535 or a range such as 8000-8099", shorten(s))
	case first == 0:
		return faultf(at, "there is no port 0: write * for every port")
	case last < first:
		return faultf(at, "the range %s ends before it starts: write %d-%d", s, last, first)
	}
	p.First, p.Last = uint16(first), uint16(last)
	return nil
}

func (p *Port) parseICMP(s string, at int) *fault {
	family := "IPv4"
	if p.Protocol == ProtocolICMPv6 {
		family = "IPv6"
	}
	number, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		var names []string
		for name, n := range icmpTypes[family] {
			if strings.EqualFold(name, s) {
				number, err = uint64(n), nil
			}
			names = append(names, name)
		}
		if err != nil {
			return faultf(at, "%s is no ICMP type of %s: write a number from 0 to 255, a name such as EchoRequest, or *%s", shorten(s), family, nearestOnly(s, names))
		}
	}
	*p = icmpPort(p.Protocol, uint8(number))
	return nil
}
