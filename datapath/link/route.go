package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Config is how the pair of a container is set up.
type Config struct {
	MAC      net.HardwareAddr // of the container
	MTU      int              // of both ends, bytes; 0 leaves it
	Addrs    []netip.Addr     // of the container
	Gateways []netip.Addr     // on the host: the preferred source of the route to an address of their family
}

// Configure gives the pair of a slot its container's settings: the peer's MAC and both MTUs, a host route and a
// permanent neighbour for every address. Routes and neighbours of other addresses on the device are removed. A peer that
// has moved into its container already keeps what it has.
//
// Neighbours are permanent because nothing resolves them: the host's side has no address to ask from, and what a
// container answers is judged by its own program.
func (h *Host) Configure(slot uint32, c Config) error {
	l, err := h.byName(h.Name(slot))
	if err != nil {
		return err
	}
	if c.MTU != 0 && l.Attrs().MTU != c.MTU {
		if err := h.nl.LinkSetMTU(l, c.MTU); err != nil {
			return fmt.Errorf("set MTU of %s to %d: %w", l.Attrs().Name, c.MTU, err)
		}
	}
	if err := h.configurePeer(slot, c); err != nil {
		return err
	}
	if slices.ContainsFunc(c.Addrs, netip.Addr.Is6) {
		if err := enableIPv6(l.Attrs().Name); err != nil {
			return err
		}
	}
	if err := keepUp(l.Attrs().Name); err != nil {
		return err
	}
	for _, a := range c.Addrs {
		if err := h.reach(l, a, c); err != nil {
			return err
		}
	}
	return h.forget(l, c.Addrs)
}

func (h *Host) configurePeer(slot uint32, c Config) error {
	peer, err := h.byName(h.PeerName(slot))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if c.MTU != 0 && peer.Attrs().MTU != c.MTU {
		if err := h.nl.LinkSetMTU(peer, c.MTU); err != nil {
			return fmt.Errorf("set MTU of %s to %d: %w", peer.Attrs().Name, c.MTU, err)
		}
	}
	if len(c.MAC) != 0 && peer.Attrs().HardwareAddr.String() != c.MAC.String() {
		if err := h.nl.LinkSetHardwareAddr(peer, c.MAC); err != nil {
			return fmt.Errorf("set MAC of %s to %s: %w", peer.Attrs().Name, c.MAC, err)
		}
	}
	return nil
}

// reach adds the route and the neighbour for one address of a container.
func (h *Host) reach(l netlink.Link, addr netip.Addr, c Config) error {
	if len(c.MAC) != 0 {
		n := netlink.Neigh{LinkIndex: l.Attrs().Index, Family: family(addr), State: netlink.NUD_PERMANENT,
			IP: addr.AsSlice(), HardwareAddr: c.MAC}
		if err := h.nl.NeighSet(&n); err != nil {
			return fmt.Errorf("add neighbour %s on %s: %w", addr, l.Attrs().Name, err)
		}
	}
	r := netlink.Route{LinkIndex: l.Attrs().Index, Dst: hostNet(addr), Protocol: RouteProtocol,
		Scope: netlink.SCOPE_LINK, Table: unix.RT_TABLE_MAIN}
	if addr.Is6() {
		r.Scope = netlink.SCOPE_UNIVERSE // the kernel knows no other for IPv6
	}
	gateway := gatewayFor(addr, c.Gateways)
	if gateway.IsValid() {
		r.Src = gateway.AsSlice()
	}
	err := h.nl.RouteReplace(&r)
	if errors.Is(err, unix.EINVAL) && gateway.IsValid() {
		// The gateway's address went missing, or was not added yet.
		if err = h.addGateway(gateway); err != nil {
			return err
		}
		err = h.nl.RouteReplace(&r)
	}
	if err != nil {
		return fmt.Errorf("add route to %s by %s from %s: %w", addr, l.Attrs().Name, gateway, err)
	}
	return nil
}

// Unroute removes the routes and neighbours of a slot's pair. A pair that is gone has none.
func (h *Host) Unroute(slot uint32) error {
	l, err := h.byName(h.Name(slot))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return h.forget(l, nil)
}

// forget removes the device's host routes and permanent neighbours of all addresses but keep.
func (h *Host) forget(l netlink.Link, keep []netip.Addr) error {
	kept := map[netip.Addr]bool{}
	for _, a := range keep {
		kept[a] = true
	}
	filter := &netlink.Route{LinkIndex: l.Attrs().Index, Protocol: RouteProtocol}
	routes, err := again(func() ([]netlink.Route, error) {
		return h.nl.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	})
	if err != nil {
		return fmt.Errorf("list routes of %s: %w", l.Attrs().Name, err)
	}
	for i := range routes {
		if dst := prefixOf(routes[i].Dst); kept[dst.Addr()] && dst.IsSingleIP() {
			continue
		}
		if err := h.nl.RouteDel(&routes[i]); err != nil && !gone(err) {
			return fmt.Errorf("delete route to %s by %s: %w", routes[i].Dst, l.Attrs().Name, err)
		}
	}
	neighbours, err := again(func() ([]netlink.Neigh, error) { return h.nl.NeighList(l.Attrs().Index, netlink.FAMILY_ALL) })
	if err != nil {
		return fmt.Errorf("list neighbours of %s: %w", l.Attrs().Name, err)
	}
	for i := range neighbours {
		n := &neighbours[i]
		if a, _ := netip.AddrFromSlice(n.IP); n.State&netlink.NUD_PERMANENT == 0 || kept[a.Unmap()] {
			continue
		}
		if err := h.nl.NeighDel(n); err != nil && !gone(err) {
			return fmt.Errorf("delete neighbour %s on %s: %w", n.IP, l.Attrs().Name, err)
		}
	}
	return nil
}

// gatewayFor returns the first gateway of addr's family, or the zero address.
func gatewayFor(addr netip.Addr, gateways []netip.Addr) netip.Addr {
	for _, g := range gateways {
		if g.Is4() == addr.Is4() {
			return g
		}
	}
	return netip.Addr{}
}

func family(a netip.Addr) int {
	if a.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

// hostNet is the /32 or /128 of an address.
func hostNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

// prefixOf converts a net; nil and what is no prefix give the zero prefix.
func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, size := n.Mask.Size()
	if !ok || size == 0 {
		return netip.Prefix{}
	}
	if size == 32 {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, bits)
}
