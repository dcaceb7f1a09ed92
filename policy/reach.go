package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// KeySpan is a range of keys (Key), both ends included.
type KeySpan struct{ From, To uint32 }

// Reach is what somebody may open to somebody: disjoint ascending spans of keys, neighbours merged.
type Reach []KeySpan

// Everything is every protocol and port.
var Everything = Reach{{0, maxKey}}

// PortReach is one protocol's ports from first to last.
func PortReach(protocol uint8, first, last uint16) Reach {
	return Reach{{Key(protocol, first), Key(protocol, last)}}
}

// Allowed is what a profile allows.
func (p Profile) Allowed() Reach {
	var r Reach
	for i, e := range p {
		if e.Verdict == Allow {
			r = r.push(e.From, p.end(i))
		}
	}
	return r
}

// end is the last key of the profile's i-th interval.
func (p Profile) end(i int) uint32 {
	if i+1 < len(p) {
		return p[i+1].From - 1
	}
	return maxKey
}

// push appends a span that begins after all others.
func (r Reach) push(from, to uint32) Reach {
	if n := len(r); n > 0 && r[n-1].To+1 == from {
		r[n-1].To = to
		return r
	}
	return append(r, KeySpan{from, to})
}

// And is what both have.
func (r Reach) And(o Reach) Reach {
	var both Reach
	for i, j := 0, 0; i < len(r) && j < len(o); {
		from, to := max(r[i].From, o[j].From), min(r[i].To, o[j].To)
		if from <= to {
			both = both.push(from, to)
		}
		if r[i].To < o[j].To {
			i++
		} else {
			j++
		}
	}
	return both
}

// Or is what either has.
func (r Reach) Or(o Reach) Reach {
	all := slices.Concat(r, o)
	slices.SortFunc(all, func(a, b KeySpan) int { return int(a.From) - int(b.From) })
	var merged Reach
	for _, s := range all {
		if n := len(merged); n > 0 && s.From <= merged[n-1].To+1 {
			merged[n-1].To = max(merged[n-1].To, s.To)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// Minus is what r has and o has not.
func (r Reach) Minus(o Reach) Reach {
	var rest Reach
	for _, s := range r {
		from := s.From
		for _, hole := range o {
			if hole.To < from || hole.From > s.To {
				continue
			}
			if hole.From > from {
				rest = rest.push(from, hole.From-1)
			}
			from = hole.To + 1
		}
		if from <= s.To {
			rest = rest.push(from, s.To)
		}
	}
	return rest
}

// Has tells whether the key is within.
func (r Reach) Has(key uint32) bool {
	return slices.ContainsFunc(r, func(s KeySpan) bool { return s.From <= key && key <= s.To })
}

// Equal tells whether both are the same.
func (r Reach) Equal(o Reach) bool { return slices.Equal(r, o) }

// String is for people: "any", "tcp 80,8000-8099; udp 53; icmp", "any but tcp 22", "nothing".
func (r Reach) String() string {
	switch {
	case len(r) == 0:
		return "nothing"
	case r.Equal(Everything):
		return "any"
	}
	if rest := Everything.Minus(r); len(rest) < len(r) || r[0].From == 0 && r[len(r)-1].To == maxKey {
		return "any but " + rest.list()
	}
	return r.list()
}

// list names the protocols one after the other, whole ones without ports and in ranges.
func (r Reach) list() string {
	var words []string
	ports := map[uint8][]string{}
	var order []uint8
	enter := func(protocol uint8, text string) {
		if _, ok := ports[protocol]; !ok {
			order = append(order, protocol)
		}
		ports[protocol] = append(ports[protocol], text)
	}
	for _, s := range r {
		for from := s.From; from <= s.To; {
			protocol := uint8(from >> 16)
			end := min(s.To, Key(protocol, 0xffff))
			whole := from&0xffff == 0 && end&0xffff == 0xffff
			last := protocol
			for whole && end+0x10000 <= s.To {
				end += 0x10000
				last++
			}
			switch {
			case last != protocol:
				words = append(words, fmt.Sprintf("protocols %d-%d", protocol, last))
			case whole:
				enter(protocol, "")
			default:
				enter(protocol, portRange(protocol, uint16(from), uint16(end)))
			}
			from = end + 1
		}
	}
	for _, protocol := range order {
		words = append(words, strings.TrimRight(ProtocolName(protocol)+" "+strings.Join(ports[protocol], ","), " "))
	}
	return strings.Join(words, "; ")
}

// portRange writes ports, or types of ICMP, which reach over all their codes.
func portRange(protocol uint8, first, last uint16) string {
	if icmp := protocol == ProtocolICMP || protocol == ProtocolICMPv6; icmp && first&0xff == 0 && (last&0xff == 0xff || last == first) {
		first, last = first>>8, last>>8
	}
	if first == last {
		return strconv.Itoa(int(first))
	}
	return fmt.Sprintf("%d-%d", first, last)
}

// ProtocolName is what commands and labels call a protocol: tcp, udp, sctp, icmp, icmpv6, or its number.
func ProtocolName(number uint8) string {
	switch number {
	case ProtocolTCP:
		return "tcp"
	case ProtocolUDP:
		return "udp"
	case ProtocolSCTP:
		return "sctp"
	case ProtocolICMP:
		return "icmp"
	case ProtocolICMPv6:
		return "icmpv6"
	}
	return strconv.Itoa(int(number))
}

// ParseProtocol reads what ProtocolName writes.
func ParseProtocol(s string) (uint8, error) {
	for _, known := range []uint8{ProtocolTCP, ProtocolUDP, ProtocolSCTP, ProtocolICMP, ProtocolICMPv6} {
		if ProtocolName(known) == strings.ToLower(s) {
			return known, nil
		}
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		return 0, fmt.Errorf("read protocol %q: not tcp, udp, sctp, icmp, icmpv6 or a number up to 255", s)
	}
	return uint8(n), nil
}

// Cut cuts the spans where others, which are ascending and cover them, begin and end.
func (r Reach) Cut(at []KeySpan) []KeySpan {
	var out []KeySpan
	for _, s := range r {
		for _, c := range at {
			if from, to := max(s.From, c.From), min(s.To, c.To); from <= to {
				out = append(out, KeySpan{from, to})
			}
		}
	}
	return out
}
