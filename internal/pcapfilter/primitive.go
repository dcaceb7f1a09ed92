package pcapfilter

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// protocols are the words that name one: what frames must be.
var protocols = map[string]predicate{
	"ip":    func(f *frame) bool { return f.ethertype == etherIPv4 },
	"ip6":   func(f *frame) bool { return f.ethertype == etherIPv6 },
	"arp":   func(f *frame) bool { return f.ethertype == etherARP },
	"tcp":   func(f *frame) bool { return f.protocol == protoTCP },
	"udp":   func(f *frame) bool { return f.protocol == protoUDP },
	"sctp":  func(f *frame) bool { return f.protocol == protoSCTP },
	"icmp":  func(f *frame) bool { return f.ethertype == etherIPv4 && f.protocol == protoICMP },
	"icmp6": func(f *frame) bool { return f.ethertype == etherIPv6 && f.protocol == protoICMPv6 },
	"igmp":  func(f *frame) bool { return f.ethertype == etherIPv4 && f.protocol == protoIGMP },
	"esp":   func(f *frame) bool { return f.protocol == protoESP },
	"ah":    func(f *frame) bool { return f.protocol == protoAH },
	"vlan":  func(f *frame) bool { return f.ethertype == etherVLAN },
	"ether": func(*frame) bool { return true },
}

// numbers are the IP protocols that proto knows by name.
var numbers = map[string]int{"icmp": protoICMP, "igmp": protoIGMP, "tcp": protoTCP, "udp": protoUDP, "icmp6": protoICMPv6,
	"sctp": protoSCTP, "esp": protoESP, "ah": protoAH}

// qualifiers say what a value means.
type qualifiers struct {
	protocol  string // of protocols; empty: any
	direction string // src, dst, "src or dst", "src and dst"; empty: either
	kind      string // host, net, port, portrange, proto
}

// primitive reads qualifiers and a value, or a protocol alone.
func (p *parser) primitive() (predicate, error) {
	switch {
	case p.take("greater"):
		return p.length(func(length, n int) bool { return length >= n })
	case p.take("less"):
		return p.length(func(length, n int) bool { return length <= n })
	case p.take("broadcast"):
		return func(f *frame) bool { return f.dstMAC.String() == "ff:ff:ff:ff:ff:ff" }, nil
	case p.take("multicast"):
		return func(f *frame) bool { return len(f.dstMAC) > 0 && f.dstMAC[0]&1 == 1 }, nil
	}
	start := p.at
	q := p.qualifiers()
	if q.kind == "" && q.direction == "" && q.protocol != "" && !p.value() {
		if p.peek() == "[" {
			return nil, p.unexpected("")
		}
		return protocols[q.protocol], nil
	}
	if p.at == start && p.last != nil && p.value() {
		q = *p.last // "port 80 or 443"
	}
	if q.kind == "" {
		q.kind = "host"
		if p.at == start {
			if _, err := netip.ParseAddr(p.peek()); err != nil {
				return nil, p.unexpected("a protocol, host, net, port, portrange or proto")
			}
		}
	}
	if _, named := numbers[p.peek()]; !p.value() && !(q.kind == "proto" && named) {
		return nil, p.unexpected("the value of " + q.kind)
	}
	p.last = &q
	word := p.peek()
	p.at++
	match, err := p.meaning(q, word)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", q.kind, word, err)
	}
	if q.protocol != "" {
		is := protocols[q.protocol]
		return func(f *frame) bool { return is(f) && match(f) }, nil
	}
	return match, nil
}

// value tells whether the next word may be one.
func (p *parser) value() bool {
	w := p.peek()
	reserved := []string{"", "and", "or", "not", "!", "(", ")", "[", "]", "&", "=", "<", ">", "src", "dst", "host", "net", "port", "portrange",
		"proto", "greater", "less"}
	_, protocol := protocols[w]
	return !slices.Contains(reserved, w) && !protocol
}

func (p *parser) qualifiers() (q qualifiers) {
	if _, ok := protocols[p.peek()]; ok {
		q.protocol = p.peek()
		p.at++
	}
	switch {
	case p.take("src"):
		q.direction = "src"
		if next := p.words[p.at:]; len(next) > 1 && (next[0] == "or" || next[0] == "and") && next[1] == "dst" {
			q.direction = "src " + next[0] + " dst"
			p.at += 2
		}
	case p.take("dst"):
		q.direction = "dst"
	}
	if kinds := []string{"host", "net", "port", "portrange", "proto"}; slices.Contains(kinds, p.peek()) {
		q.kind = p.peek()
		p.at++
	}
	return q
}

func (p *parser) length(compare func(length, n int) bool) (predicate, error) {
	n, err := strconv.Atoi(p.peek())
	if err != nil {
		return nil, p.unexpected("a number of bytes")
	}
	p.at++
	return func(f *frame) bool { return compare(f.length, n) }, nil
}

// meaning returns what a value of a kind asks for.
func (p *parser) meaning(q qualifiers, word string) (predicate, error) {
	switch q.kind {
	case "host":
		if q.protocol == "ether" {
			return etherHost(q, word)
		}
		prefixes, err := p.hosts(word)
		return within(q, prefixes), err
	case "net":
		prefix, err := network(word)
		return within(q, []netip.Prefix{prefix}), err
	case "port":
		port, err := portNumber(word)
		return between(q, port, port), err
	case "portrange":
		first, last, found := strings.Cut(word, "-")
		if !found {
			return nil, errors.New("a range reads FIRST-LAST")
		}
		from, err := portNumber(first)
		to, err2 := portNumber(last)
		return between(q, min(from, to), max(from, to)), errors.Join(err, err2)
	}
	return protocolNumber(q, word)
}

func protocolNumber(q qualifiers, word string) (predicate, error) {
	n, named := numbers[word]
	if !named {
		var err error
		if n, err = strconv.Atoi(word); err != nil || n < 0 || n > 0xffff {
			return nil, errors.New("it is no number of a protocol")
		}
	}
	if q.protocol == "ether" {
		return func(f *frame) bool { return int(f.ethertype) == n }, nil
	}
	if n > 255 {
		return nil, errors.New("protocols go from 0 to 255")
	}
	return func(f *frame) bool { return f.protocol == n || f.first == n }, nil
}

func etherHost(q qualifiers, word string) (predicate, error) {
	mac, err := net.ParseMAC(word)
	if err != nil {
		return nil, errors.New("it is no MAC address")
	}
	return either(q, func(f *frame) bool { return bytes.Equal(f.srcMAC, mac) }, func(f *frame) bool { return bytes.Equal(f.dstMAC, mac) }), nil
}

// hosts returns the addresses of a host.
func (p *parser) hosts(word string) ([]netip.Prefix, error) {
	if a, err := netip.ParseAddr(word); err == nil {
		return []netip.Prefix{netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())}, nil
	}
	if strings.ContainsAny(word, "/:") || strings.Trim(word, "0123456789.") == "" {
		return nil, errors.New("it is no address")
	}
	var all []netip.Prefix
	if p.resolve != nil {
		for _, a := range p.resolve(word) {
			all = append(all, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no container is called so; name its address")
	}
	return all, nil
}

// network reads a CIDR, or the first bytes of an IPv4 network: 10.1 is 10.1.0.0/16.
func network(word string) (netip.Prefix, error) {
	if prefix, err := netip.ParsePrefix(word); err == nil {
		return prefix.Masked(), nil
	}
	if a, err := netip.ParseAddr(word); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	parts := strings.Split(word, ".")
	if len(parts) > 3 {
		return netip.Prefix{}, errors.New("it is no network")
	}
	a, err := netip.ParseAddr(word + strings.Repeat(".0", 4-len(parts)))
	if err != nil {
		return netip.Prefix{}, errors.New("it is no network")
	}
	return netip.PrefixFrom(a, 8*len(parts)), nil
}

func portNumber(word string) (uint16, error) {
	if n, err := strconv.ParseUint(word, 10, 16); err == nil {
		return uint16(n), nil
	}
	for _, network := range []string{"tcp", "udp"} {
		if strings.Trim(word, "0123456789") == "" {
			break
		}
		if n, err := net.LookupPort(network, word); err == nil {
			return uint16(n), nil
		}
	}
	return 0, errors.New("it is no port")
}

func within(q qualifiers, prefixes []netip.Prefix) predicate {
	in := func(a netip.Addr) bool {
		return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	return either(q, func(f *frame) bool { return in(f.src) }, func(f *frame) bool { return in(f.dst) })
}

func between(q qualifiers, first, last uint16) predicate {
	return either(q, func(f *frame) bool { return f.ports && f.sport >= first && f.sport <= last },
		func(f *frame) bool { return f.ports && f.dport >= first && f.dport <= last })
}

// either joins what is asked of the source and of the destination.
func either(q qualifiers, source, destination predicate) predicate {
	switch q.direction {
	case "src":
		return source
	case "dst":
		return destination
	case "src and dst":
		return func(f *frame) bool { return source(f) && destination(f) }
	}
	return func(f *frame) bool { return source(f) || destination(f) }
}
