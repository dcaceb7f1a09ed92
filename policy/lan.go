package policy

import (
	"net/netip"
	"slices"
)

// localPrefixes belong to the LAN of every host, whether or not it has a route of their own: addresses that the
// internet does not route (RFC 1918, 6598, 3927, 4193, 4291) and groups (multicast, broadcast).
var localPrefixes = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
}

// lanRanges are the addresses of the LAN, ascending and disjoint. Prefixes of length 0, the default routes, do not count.
func lanRanges(prefixes []netip.Prefix) []addrRange {
	var all []addrRange
	for _, p := range slices.Concat(localPrefixes, prefixes) {
		if p.Bits() > 0 {
			all = append(all, prefixRanges(p)...)
		}
	}
	return union(all)
}

// onLAN tells whether an address of the world is on the LAN.
func (u *Universe) onLAN(a netip.Addr) bool {
	addr := to16(a)
	return slices.ContainsFunc(u.lanRanges, func(r addrRange) bool { return !addr.Less(r.first) && !r.last.Less(addr) })
}

// LAN returns the ranges that the entity lan stands for, first and last address in turn.
func (u *Universe) LAN() [][2]netip.Addr {
	list := make([][2]netip.Addr, len(u.lanRanges))
	for i, r := range u.lanRanges {
		list[i] = [2]netip.Addr{r.first.Unmap(), r.last.Unmap()}
	}
	return list
}

// union makes ranges ascending and disjoint, neighbours are one.
func union(list []addrRange) []addrRange {
	slices.SortFunc(list, func(a, b addrRange) int { return a.first.Compare(b.first) })
	var result []addrRange
	for _, r := range list {
		if n := len(result); n > 0 {
			end := &result[n-1].last
			if next := end.Next(); !next.IsValid() || !next.Less(r.first) {
				if end.Less(r.last) {
					*end = r.last
				}
				continue
			}
		}
		result = append(result, r)
	}
	return result
}

// complement is every address but those of disjoint ascending ranges.
func complement(list []addrRange) []addrRange {
	rest := []addrRange{{firstAddress, lastAddress}}
	for _, hole := range list {
		rest = cut(rest, hole)
	}
	return rest
}

var firstAddress = netip.MustParseAddr("::")

// InLAN tells whether an address belongs to the entity lan.
func (u *Universe) InLAN(a netip.Addr) bool { return containsAddr(u.lanRanges, a) }
