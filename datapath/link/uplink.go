package link

import (
	"net/netip"
	"slices"
)

// Uplink is a device by which containers reach others and are reached.
type Uplink struct {
	Ifindex int
	Name    string
	MTU     int
	Addr4   netip.Addr // what containers are masqueraded as; invalid if it has none
	Addr6   netip.Addr
	// NoEthernet: its frames have no Ethernet header (WireGuard, tun, PPP).
	NoEthernet bool
	// Paces: its queues (fq) keep a packet until its departure time.
	Paces bool
}

// Uplinks returns the devices that carry default or on-link routes, or a global address of their own, by ifindex.
//
// Bridges count, since the containers on them use published ports too; what hangs on a bridge or a bond does not, as its
// packets are seen there. A device with nothing but host routes is a container's, of whatever network driver, unless it
// has an address.
func (n Network) Uplinks() []Uplink {
	carrying := map[int]bool{}
	for _, r := range n.Routes {
		if r.Dst.Bits() == 0 || r.OnLink && !r.Dst.IsSingleIP() && !local(r.Dst.Addr()) {
			carrying[r.Ifindex] = true
		}
	}
	var uplinks []Uplink
	for _, d := range n.Devices {
		if !d.Up || d.Loopback || d.Own || d.Type == "vrf" || d.Master != "" && d.Master != "vrf" {
			continue
		}
		if !carrying[d.Ifindex] && !slices.ContainsFunc(d.Addrs, func(a Addr) bool { return !local(a.Addr()) }) {
			continue
		}
		u := Uplink{Ifindex: d.Ifindex, Name: d.Name, MTU: d.MTU, NoEthernet: !d.Ethernet, Paces: d.Paces}
		u.Addr4 = n.source(d, true)
		u.Addr6 = n.source(d, false)
		uplinks = append(uplinks, u)
	}
	slices.SortFunc(uplinks, func(a, b Uplink) int { return a.Ifindex - b.Ifindex })
	return uplinks
}

// source is the address that the host's own packets would have by the device's default route.
func (n Network) source(d Device, is4 bool) netip.Addr {
	var route *Route
	for i := range n.Routes {
		r := &n.Routes[i]
		if r.Ifindex != d.Ifindex || r.Dst.Bits() != 0 || r.Dst.Addr().Is4() != is4 {
			continue
		}
		if route == nil || r.Metric < route.Metric {
			route = r
		}
	}
	var best Addr
	bestRank := -1
	for _, a := range d.Addrs {
		if a.Addr().Is4() != is4 || local(a.Addr()) || a.Unusable {
			continue
		}
		if route != nil && a.Addr() == route.Source {
			return a.Addr()
		}
		if rank := rank(a, route); rank > bestRank {
			best, bestRank = a, rank
		}
	}
	return best.Addr()
}

// rank orders candidates for source; the first of the highest rank wins. Deprecated addresses are the last resort. For
// IPv4 it is the kernel's order: on the gateway's subnet, primary. For IPv6: one that reaches the internet, and one that
// lasts, since masqueraded connections live as long as the address.
func rank(a Addr, route *Route) int {
	r := 0
	for i, good := range []bool{
		!a.Dynamic,
		!a.Temporary && !a.Secondary,
		route != nil && route.Gateway.IsValid() && a.Contains(route.Gateway),
		a.Addr().Is4() || !a.Addr().IsPrivate(),
		!a.Deprecated,
	} {
		if good {
			r |= 1 << i
		}
	}
	return r
}

// HostAddrs returns the addresses at which the host can be reached: all of all devices, loopback and IPv6 link-local
// ones excepted, sorted. (IPv4 link-local ones are unambiguous on one host, and may have services.)
func (n Network) HostAddrs() []netip.Addr {
	var addrs []netip.Addr
	for _, d := range n.Devices {
		if !d.Up {
			continue
		}
		for _, a := range d.Addrs {
			if !local(a.Addr()) || a.Addr().Is4() && a.Addr().IsLinkLocalUnicast() {
				addrs = append(addrs, a.Addr())
			}
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// local reports whether an address means something on one link or host only.
func local(a netip.Addr) bool {
	return a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified()
}
