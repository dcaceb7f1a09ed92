package link

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Device is a device of the host with its addresses.
type Device struct {
	Ifindex  int
	Name     string
	Type     string // of rtnetlink: veth, bridge, …; "device" for hardware
	MTU      int
	Up       bool
	Ethernet bool   // frames have Ethernet headers
	Loopback bool   //
	Own      bool   // an end of a container's pair of this Host
	Master   string // type of the device that it is a port of; empty if none
	Paces    bool   // every queue is an fq, which keeps a packet until its departure time
	Addrs    []Addr // in the kernel's order: of IPv4, primary ones in the order they were added
}

// Addr is an address of a device.
type Addr struct {
	netip.Prefix // the address, and the length of its subnet
	Secondary    bool
	Temporary    bool // IPv6 privacy address
	Dynamic      bool // IPv6 address with a lifetime
	Deprecated   bool
	Unusable     bool // its duplicate detection runs or failed
}

// Route is a unicast route of any table but the local one, one for each of its next hops.
type Route struct {
	Ifindex int
	Dst     netip.Prefix // zero bits: a default route
	OnLink  bool         // without a gateway
	Gateway netip.Addr
	Source  netip.Addr // preferred one
	Metric  int
	Table   int
}

// Network is what the host's network looks like.
type Network struct {
	Devices []Device
	Routes  []Route
}

// Network reads devices, addresses and routes.
func (h *Host) Network() (Network, error) {
	links, err := again(h.nl.LinkList)
	if err != nil {
		return Network{}, fmt.Errorf("list devices: %w", err)
	}
	addrs, err := again(func() ([]netlink.Addr, error) { return h.nl.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return Network{}, fmt.Errorf("list addresses: %w", err)
	}
	routes, err := again(func() ([]netlink.Route, error) {
		any := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
		return h.nl.RouteListFiltered(netlink.FAMILY_ALL, any, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return Network{}, fmt.Errorf("list routes: %w", err)
	}
	qdiscs := h.qdiscs()
	var n Network
	types := map[int]string{}
	for _, l := range links {
		types[l.Attrs().Index] = l.Type()
	}
	for _, l := range links {
		d := h.device(l, types)
		d.Paces = paces(d.Ifindex, qdiscs)
		n.Devices = append(n.Devices, d)
	}
	byIndex := map[int]*Device{}
	for i := range n.Devices {
		byIndex[n.Devices[i].Ifindex] = &n.Devices[i]
	}
	for _, a := range addrs {
		if d := byIndex[a.LinkIndex]; d != nil && prefixOf(a.IPNet).IsValid() {
			d.Addrs = append(d.Addrs, addrOf(a))
		}
	}
	for _, r := range routes {
		n.Routes = append(n.Routes, routesOf(r)...)
	}
	return n, nil
}

func (h *Host) device(l netlink.Link, types map[int]string) Device {
	a := l.Attrs()
	return Device{Ifindex: a.Index, Name: a.Name, Type: l.Type(), MTU: a.MTU, Up: a.RawFlags&unix.IFF_UP != 0,
		Ethernet: a.EncapType == "ether", Loopback: a.RawFlags&unix.IFF_LOOPBACK != 0,
		Own: l.Type() == "veth" && h.ours(a.Name), Master: types[a.MasterIndex]}
}

func addrOf(a netlink.Addr) Addr {
	is6 := a.IP.To4() == nil
	return Addr{Prefix: prefixOf(a.IPNet),
		Secondary:  !is6 && a.Flags&unix.IFA_F_SECONDARY != 0,
		Temporary:  is6 && a.Flags&unix.IFA_F_TEMPORARY != 0, // the same bit as IPv4's secondary
		Dynamic:    is6 && a.Flags&unix.IFA_F_PERMANENT == 0,
		Deprecated: a.Flags&unix.IFA_F_DEPRECATED != 0,
		Unusable:   a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 && a.Flags&unix.IFA_F_OPTIMISTIC == 0,
	}
}

func routesOf(r netlink.Route) []Route {
	if r.Type != unix.RTN_UNICAST || r.Table == unix.RT_TABLE_LOCAL {
		return nil
	}
	base := Route{Ifindex: r.LinkIndex, Dst: prefixOf(r.Dst), Metric: r.Priority, Table: r.Table}
	base.Source, _ = netip.AddrFromSlice(r.Src)
	base.Source = base.Source.Unmap()
	if !base.Dst.IsValid() { // a default route without destination
		base.Dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if r.Family == netlink.FAMILY_V6 {
			base.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
	}
	if len(r.MultiPath) == 0 {
		return []Route{hop(base, r.LinkIndex, r.Gw, r.Via)}
	}
	var routes []Route
	for _, nh := range r.MultiPath {
		routes = append(routes, hop(base, nh.LinkIndex, nh.Gw, nh.Via))
	}
	return routes
}

func hop(r Route, ifindex int, gateway net.IP, via netlink.Destination) Route {
	r.Ifindex = ifindex
	r.OnLink = len(gateway) == 0 && via == nil
	r.Gateway, _ = netip.AddrFromSlice(gateway)
	r.Gateway = r.Gateway.Unmap()
	return r
}
