package link

import (
	"net/netip"
	"slices"
)

// private are the prefixes that nobody routes on the internet (RFC 1918, 3927, 4193, 4291, 6598).
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fe80::/10"),
}

// widestOnLink is the shortest prefix of public addresses that is taken for a subnet: shorter ones are default routes in
// disguise (0.0.0.0/1, 2000::/3).
const widestOnLink = 8

// LAN returns the prefixes of the local network, sorted, none within another: the destinations of on-link routes by
// Ethernet devices, and those of all other routes that lie in private space, be it behind a gateway or a tunnel. Default
// routes, the routes to containers of this Host and those of the loopback device are left out.
func (n Network) LAN() []netip.Prefix {
	devices := map[int]Device{}
	for _, d := range n.Devices {
		devices[d.Ifindex] = d
	}
	var all []netip.Prefix
	for _, r := range n.Routes {
		d, ok := devices[r.Ifindex]
		if !ok || !d.Up || d.Own || d.Loopback {
			continue
		}
		dst := r.Dst.Masked()
		onSubnet := r.OnLink && d.Ethernet && dst.Bits() >= widestOnLink && !dst.Addr().IsMulticast()
		if onSubnet || isPrivate(dst) {
			all = append(all, dst)
		}
	}
	return outermost(all)
}

// isPrivate reports whether all of a prefix is private space.
func isPrivate(p netip.Prefix) bool {
	return slices.ContainsFunc(private, func(s netip.Prefix) bool { return s.Bits() <= p.Bits() && s.Contains(p.Addr()) })
}

// outermost sorts prefixes and leaves out those that lie within another.
func outermost(all []netip.Prefix) []netip.Prefix {
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	var kept []netip.Prefix
	for _, p := range all {
		if n := len(kept); n == 0 || !kept[n-1].Contains(p.Addr()) {
			kept = append(kept, p)
		}
	}
	return kept
}
