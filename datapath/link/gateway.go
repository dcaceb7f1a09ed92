package link

import (
	"errors"
	"fmt"
	"math"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// gatewayFlags are what an IPv6 gateway address has, beside being deprecated: it is usable at once and makes no route.
const gatewayFlags = unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE

// SetGateways makes the host own exactly these gateway addresses, as /32 and /128 on the loopback device. Addresses that
// are there for another reason stay.
//
// No packet to elsewhere may leave with a gateway's address by accident: IPv4 ones have scope link, so that devices
// without an address do not borrow them, and IPv6 ones are deprecated, so that source selection (RFC 6724, rule 3)
// avoids them. Routes to containers name them as preferred source, which overrides both. They make no entry in the main
// routing table: no automatic address pool is refused because of them.
func (h *Host) SetGateways(want []netip.Addr) error {
	have, err := h.Gateways()
	if err != nil {
		return err
	}
	stale := map[netip.Addr]bool{}
	for _, a := range have {
		stale[a] = true
	}
	for _, a := range want {
		a = a.Unmap()
		delete(stale, a)
		if err := h.addGateway(a); err != nil {
			return err
		}
	}
	for a := range stale {
		if err := h.deleteGateway(a); err != nil {
			return err
		}
	}
	return nil
}

// Gateways returns the gateway addresses that the host owns.
func (h *Host) Gateways() ([]netip.Addr, error) {
	lo, err := h.loopback()
	if err != nil {
		return nil, err
	}
	addrs, err := again(func() ([]netlink.Addr, error) { return h.nl.AddrList(lo, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses of %s: %w", lo.Attrs().Name, err)
	}
	var gateways []netip.Addr
	for _, a := range addrs {
		if h.isGateway(a) {
			gateways = append(gateways, prefixOf(a.IPNet).Addr())
		}
	}
	return gateways, nil
}

// isGateway recognises what addGateway added: IPv4 by its label, IPv6, which has none, by its flags.
func (h *Host) isGateway(a netlink.Addr) bool {
	p := prefixOf(a.IPNet)
	if !p.IsValid() || !p.IsSingleIP() {
		return false
	}
	if p.Addr().Is4() {
		return a.Label == h.label()
	}
	return a.Flags&gatewayFlags == gatewayFlags && a.Flags&unix.IFA_F_DEPRECATED != 0
}

func (h *Host) label() string { return "lo:" + h.prefix }

func (h *Host) gateway(addr netip.Addr) *netlink.Addr {
	a := &netlink.Addr{IPNet: hostNet(addr)}
	if addr.Is4() {
		a.Label, a.Scope = h.label(), unix.RT_SCOPE_LINK
		return a
	}
	a.Flags, a.ValidLft, a.PreferedLft = gatewayFlags, math.MaxUint32, 0
	return a
}

func (h *Host) addGateway(addr netip.Addr) error {
	lo, err := h.loopback()
	if err != nil {
		return err
	}
	if err := h.nl.AddrAdd(lo, h.gateway(addr)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add gateway address %s: %w", addr, err)
	}
	return nil
}

func (h *Host) deleteGateway(addr netip.Addr) error {
	lo, err := h.loopback()
	if err != nil {
		return err
	}
	if err := h.nl.AddrDel(lo, h.gateway(addr)); err != nil && !gone(err) {
		return fmt.Errorf("delete gateway address %s: %w", addr, err)
	}
	return nil
}

// loopback returns the loopback device, up: addresses on a device that is down are not the host's.
func (h *Host) loopback() (netlink.Link, error) {
	lo, err := h.byName("lo")
	if err != nil {
		return nil, err
	}
	if lo.Attrs().RawFlags&unix.IFF_UP == 0 {
		if err := h.nl.LinkSetUp(lo); err != nil {
			return nil, fmt.Errorf("set lo up: %w", err)
		}
	}
	return lo, nil
}
