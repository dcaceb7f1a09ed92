package policy

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/identity"
)

// AllowList is what may be exposed. Each line names a container, ports and who may reach them:
//
//	# container   ports              from
//	shop/web      80,443/tcp         @internet,@lan
//	shop/db       5432               shop/web,@net
//	*             any                @net,@host
//
// The container is a compose project/service or a container's name, with * for any part of it. Ports are numbers and
// ranges with a protocol (tcp without one), icmp, icmpv6, or any; of a published port it is the host's. From are @net,
// @other, @host, @lan, @internet, @world, @any, containers and CIDRs.
type AllowList []allowLine

type allowLine struct {
	group string // with wildcards
	ports Reach
	from  []string
	cidrs []netip.Prefix
}

// ParseAllowList reads a list; the error names the line.
func ParseAllowList(text string) (AllowList, error) {
	var list AllowList
	number := 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 3 {
			return nil, fmt.Errorf("read line %d of the list: write CONTAINER PORTS FROM, with commas and no blanks within each", number)
		}
		entry := allowLine{group: words[0]}
		var err error
		if _, err = path.Match(entry.group, ""); err != nil {
			return nil, fmt.Errorf("read line %d of the list: container %q: %w", number, words[0], err)
		}
		if entry.ports, err = ParseReach(words[1]); err != nil {
			return nil, fmt.Errorf("read line %d of the list: %w", number, err)
		}
		if err := entry.readFrom(words[2]); err != nil {
			return nil, fmt.Errorf("read line %d of the list: %w", number, err)
		}
		list = append(list, entry)
	}
	return list, nil
}

// readFrom reads who may reach the ports.
func (l *allowLine) readFrom(text string) error {
	for word := range strings.SplitSeq(text, ",") {
		if p, err := parsePrefix(word); err == nil {
			l.cidrs = append(l.cidrs, p)
			continue
		}
		known := []string{NameNetwork, NameOther, NameHost, NameLAN, NameInternet, NameWorld, "@any"}
		if word == "" || strings.HasPrefix(word, "@") && !slices.Contains(known, word) {
			return fmt.Errorf("%q is neither a container, a CIDR, nor one of %s", word, strings.Join(known, ", "))
		}
		l.from = append(l.from, word)
	}
	return nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// ParseReach reads ports as lists of them are written: "80,443/tcp,8000-8099/udp,icmp" or "any". A protocol counts for
// its own item; tcp without one.
func ParseReach(text string) (Reach, error) {
	var all Reach
	for word := range strings.SplitSeq(text, ",") {
		if word == "any" {
			return Everything, nil
		}
		r, err := parsePorts(word)
		if err != nil {
			return nil, err
		}
		all = all.Or(r)
	}
	return all, nil
}

func parsePorts(word string) (Reach, error) {
	ports, name, ok := strings.Cut(word, "/")
	if !ok {
		if protocol, err := ParseProtocol(word); err == nil && !isNumber(word) {
			return PortReach(protocol, 0, 0xffff), nil
		}
		name = "tcp"
	}
	protocol, err := ParseProtocol(name)
	if err != nil {
		return nil, err
	}
	low, high, ranged := strings.Cut(ports, "-")
	if !ranged {
		high = low
	}
	first, err1 := strconv.ParseUint(low, 10, 16)
	last, err2 := strconv.ParseUint(high, 10, 16)
	if err1 != nil || err2 != nil || first > last {
		return nil, fmt.Errorf("read ports %q: write PORT or FIRST-LAST from 0 to 65535, and /tcp, /udp or /sctp behind it", word)
	}
	return PortReach(protocol, uint16(first), uint16(last)), nil
}

// Beyond is what of an exposure the list does not allow.
func (l AllowList) Beyond(e Exposure) Reach {
	rest := e.Reach
	for _, line := range l {
		if ok, _ := path.Match(line.group, e.Group); (ok || line.group == "*") && line.covers(e) {
			rest = rest.Minus(line.ports)
		}
	}
	return rest
}

// covers tells whether everybody whom the exposure is to is named.
func (l *allowLine) covers(e Exposure) bool {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(l.from, n) })
	}
	switch e.From {
	case NameNetwork, NameOther, NameHost, NameWorld:
		return has(e.From, "@any") || e.From == NameWorld && has(NameLAN) && has(NameInternet)
	case NameLAN, NameInternet:
		return has(e.From, NameWorld, "@any") || l.coversWorld(e)
	}
	if e.Peer != identity.Unknown {
		return has(e.From, "@any") || has(NameNetwork) && e.PeerClass == ClassNetwork || has(NameOther) && e.PeerClass == ClassOther ||
			l.namesAll(e.From)
	}
	return has(NameWorld, "@any") || e.inLAN && has(NameLAN) || !e.inLAN && has(NameInternet) || l.coversWorld(e)
}

// namesAll tells whether every one of the groups, with commas, is named.
func (l *allowLine) namesAll(groups string) bool {
	for group := range strings.SplitSeq(groups, ",") {
		if !slices.ContainsFunc(l.from, func(n string) bool { ok, _ := path.Match(n, group); return ok }) {
			return false
		}
	}
	return true
}

// coversWorld tells whether the CIDRs hold all addresses of the exposure's part of the world.
func (l *allowLine) coversWorld(e Exposure) bool {
	rest := slices.Clone(e.ranges)
	for _, p := range l.cidrs {
		for _, r := range prefixRanges(p) {
			rest = cut(rest, r)
		}
	}
	return len(e.ranges) > 0 && len(rest) == 0
}
