package endpoint

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/policy"
)

// target is what a user named: an end, with a port and protocol if they were given.
type target struct {
	ref      string
	addr     netip.Addr   // the end is an address
	prefix   netip.Prefix // the end is a prefix
	port     string       // number, name, or empty
	protocol uint8        // 0: not given
}

// parseTarget reads END[:port][/protocol]. IPv6 addresses before a port stand in brackets.
func parseTarget(text string) (target, error) {
	t := target{ref: text}
	if t.isAddress(text) {
		return t, nil
	}
	if i := strings.LastIndexByte(text, '/'); i > 0 {
		if protocol, err := policy.ParseProtocol(text[i+1:]); err == nil && strings.Trim(text[i+1:], "0123456789") != "" {
			t.protocol, text = protocol, text[:i]
		}
	}
	if i := strings.LastIndexByte(text, '/'); i > 0 && strings.Contains(text[:i], ":") && !t.isAddress(text) {
		return t, api.Errorf(api.CodeInvalid, "read %q: %q is no protocol, only tcp, udp, sctp, icmp, icmpv6 and numbers", text, text[i+1:])
	}
	t.ref = text
	if t.isAddress(text) {
		return t, nil
	}
	if rest, ok := strings.CutPrefix(text, "["); ok {
		inside, after, closed := strings.Cut(rest, "]")
		port, ported := strings.CutPrefix(after, ":")
		if !closed || !t.isAddress(inside) || after != "" && !ported {
			return t, api.Errorf(api.CodeInvalid, "read %q: write an IPv6 address with a port as [ADDRESS]:PORT", text)
		}
		t.ref, t.port = inside, port
		return t, t.checkPort()
	}
	text = strings.TrimPrefix(text, "name:")
	t.ref = text
	if name, port, ok := cutLast(text, ':'); ok {
		t.ref, t.port = name, port
		t.isAddress(name)
		return t, t.checkPort()
	}
	return t, nil
}

// cutLast cuts at the last separator.
func cutLast(s string, sep byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// isAddress reads an address or a prefix.
func (t *target) isAddress(text string) bool {
	if a, err := netip.ParseAddr(text); err == nil {
		t.addr = a.Unmap()
		return true
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return false
	}
	t.prefix = p.Masked()
	if p.IsSingleIP() {
		t.addr, t.prefix = p.Addr().Unmap(), netip.Prefix{}
	}
	return true
}

var portName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$`)

func (t *target) checkPort() error {
	if n, err := strconv.ParseUint(t.port, 10, 64); err == nil && (n == 0 && !t.icmp() || n > 65535 || t.icmp() && n > 255) {
		return api.Errorf(api.CodeInvalid, "read %q: ports go from 1 to 65535, types of ICMP to 255", t.ref+":"+t.port)
	} else if err != nil && !portName.MatchString(t.port) {
		return api.Errorf(api.CodeInvalid, "read %q: %q is neither a port nor the name of one", t.ref+":"+t.port, t.port)
	}
	return nil
}

func (t *target) icmp() bool {
	return t.protocol == policy.ProtocolICMP || t.protocol == policy.ProtocolICMPv6
}

// keys are what was asked for, as a span of keys; whole: everything. A named port is what ports say.
func (t *target) keys(ports []policy.NamedPort) (span policy.KeySpan, whole bool, err error) {
	protocol := t.protocol
	number, numeric := strconv.ParseUint(t.port, 10, 16)
	switch {
	case t.port == "" && protocol == 0:
		return policy.Everything[0], true, nil
	case t.icmp():
		if t.port == "" {
			number = map[uint8]uint64{policy.ProtocolICMP: 8, policy.ProtocolICMPv6: 128}[protocol] // echo request
		} else if numeric != nil {
			return span, false, api.Errorf(api.CodeInvalid, "read port %q: %s has types from 0 to 255", t.port, policy.ProtocolName(protocol))
		}
		key := policy.Key(protocol, uint16(number)<<8)
		return policy.KeySpan{From: key, To: key}, false, nil
	case t.port == "":
		return policy.KeySpan{From: policy.Key(protocol, 0), To: policy.Key(protocol, 65535)}, false, nil
	}
	if numeric != nil {
		i := slices.IndexFunc(ports, func(p policy.NamedPort) bool {
			return p.Name == strings.ToLower(t.port) && (protocol == 0 || protocol == p.Protocol)
		})
		if i < 0 {
			return span, false, api.Errorf(api.CodeNotFound, "find port %q: %s has no label sluice.port.%s", t.port, t.ref, t.port)
		}
		key := policy.Key(ports[i].Protocol, ports[i].Port)
		return policy.KeySpan{From: key, To: key}, false, nil
	}
	if protocol == 0 {
		protocol = policy.ProtocolTCP
	}
	key := policy.Key(protocol, uint16(number))
	return policy.KeySpan{From: key, To: key}, false, nil
}

// end is what a target means.
type end struct {
	text   string
	host   bool
	addr   netip.Addr   // of the host or the world, if one was named
	prefix netip.Prefix // of the world
	world  string       // @lan or @internet, for parts of the world; @world for an address or a prefix
	places []*place
}

// looksLikeDomain: what is no container and has a dot, or wildcards.
var looksLikeDomain = regexp.MustCompile(`^(\*\*?\.)?([a-zA-Z0-9_-]+\.)+[a-zA-Z][a-zA-Z0-9-]*\.?$`)

// end finds what a target means. resolve gives the ids of the endpoints of a reference.
func (m *Manager) end(s *scene, t target, resolve func(string) ([]string, error)) (end, error) {
	switch {
	case t.ref == policy.NameHost:
		return end{text: t.ref, host: true}, nil
	case t.ref == policy.NameLAN || t.ref == policy.NameInternet:
		return end{text: t.ref, world: t.ref}, nil
	case strings.HasPrefix(t.ref, "@"):
		return end{}, api.Errorf(api.CodeInvalid, "find %q: name a container, a service, an address, a CIDR, @host, @lan or @internet", t.ref)
	case t.prefix.IsValid():
		return end{text: t.prefix.String(), world: policy.NameWorld, prefix: t.prefix}, nil
	case t.addr.IsValid():
		return m.addressEnd(s, t.addr)
	}
	ids, err := resolve(t.ref)
	if err != nil {
		if api.CodeOf(err) == api.CodeNotFound && looksLikeDomain.MatchString(t.ref) {
			return end{}, api.Errorf(api.CodeInvalid, "explain %s: it is a domain, and DNS policy is not available yet: ask for one of its addresses", t.ref)
		}
		return end{}, err
	}
	places := s.find(ids)
	if len(places) == 0 {
		return end{}, api.Errorf(api.CodeNotFound, "find %q: its endpoint has left", t.ref)
	}
	return end{text: t.ref, places: places}, nil
}

// addressEnd finds whose an address is: a container's, the host's, or the world's.
func (m *Manager) addressEnd(s *scene, a netip.Addr) (end, error) {
	if p := s.at(a); p != nil {
		return end{text: a.String(), places: []*place{p}}, nil
	}
	known, err := m.Addresses.List()
	if err != nil {
		return end{}, err
	}
	if known[a].Host || a.IsLoopback() {
		return end{text: a.String(), host: true, addr: a}, nil
	}
	return end{text: a.String(), world: policy.NameWorld, addr: a}, nil
}
