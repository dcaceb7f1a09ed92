package link

import (
	"errors"
	"fmt"
	"math"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// SetGateways makes the host own exactly these gateway addresses, as /32 and /128 on the loopback device. Addresses that
// are there for another reason stay.
//
// No packet to elsewhere may leave with a gateway's address by accident: IPv4 ones have scope link, so that devices
// without an address do not borrow them, and IPv6 ones are deprecated, so that source selection (RFC 6724, rule 3)
// avoids them. Routes to containers name them as preferred source, which overrides both. They make no entry in the main
// routing table, so none overlaps an address pool that Docker chooses: it looks at the on-link routes there. (Routes to
// containers are on-link and count; they lie in their network's pool, which is taken anyway, and go with them.)
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
	messages, err := again(func() ([][]byte, error) {
		r := h.request(unix.RTM_GETADDR, unix.NLM_F_DUMP)
		r.AddData(nl.NewIfAddrmsg(unix.AF_UNSPEC))
		return r.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
	})
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var gateways []netip.Addr
	for _, m := range messages {
		a, err := parseAddress(m)
		if err != nil {
			return nil, fmt.Errorf("list addresses: %w", err)
		}
		if a.ifindex == lo.Attrs().Index && a.prefix.IsSingleIP() && a.mark == h.addressMark() {
			gateways = append(gateways, a.prefix.Addr())
		}
	}
	return gateways, nil
}

// addressMark is the mark (ifa_proto, since Linux 5.18) of this Host's gateway addresses. It differs with the prefix, so
// that several daemons leave each other's addresses alone, and is none that the kernel uses.
func (h *Host) addressMark() uint8 { return uint8(h.filterHandle()%127) + 128 }

// ifaProto is IFA_PROTO, which x/sys lacks.
const ifaProto = 11

// address is what of a message about an address is needed.
type address struct {
	ifindex int
	prefix  netip.Prefix
	mark    uint8
}

func parseAddress(m []byte) (address, error) {
	if len(m) < unix.SizeofIfAddrmsg {
		return address{}, errors.New("truncated message")
	}
	header := nl.DeserializeIfAddrmsg(m)
	attrs, err := nl.ParseRouteAttr(m[unix.SizeofIfAddrmsg:])
	if err != nil {
		return address{}, err
	}
	a := address{ifindex: int(header.Index)}
	var addr, local netip.Addr
	for _, attr := range attrs {
		switch attr.Attr.Type {
		case unix.IFA_ADDRESS:
			addr, _ = netip.AddrFromSlice(attr.Value)
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(attr.Value)
		case ifaProto:
			if len(attr.Value) == 1 {
				a.mark = attr.Value[0]
			}
		}
	}
	if local.IsValid() { // absent from IPv6 addresses without a peer
		addr = local
	}
	a.prefix = netip.PrefixFrom(addr, int(header.Prefixlen))
	return a, nil
}

func (h *Host) label() string { return "lo:" + h.prefix }

func (h *Host) addGateway(addr netip.Addr) error {
	lo, err := h.loopback()
	if err != nil {
		return err
	}
	r := h.request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	header := nl.NewIfAddrmsg(family(addr))
	header.Index, header.Prefixlen = uint32(lo.Attrs().Index), uint8(addr.BitLen())
	r.AddData(header)
	r.AddData(nl.NewRtAttr(unix.IFA_LOCAL, addr.AsSlice()))
	r.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, addr.AsSlice()))
	r.AddData(nl.NewRtAttr(ifaProto, []byte{h.addressMark()}))
	if addr.Is4() {
		header.Scope = unix.RT_SCOPE_LINK
		r.AddData(nl.NewRtAttr(unix.IFA_LABEL, nl.ZeroTerminated(h.label())))
	} else {
		deprecated := nl.IfaCacheInfo{IfaCacheinfo: unix.IfaCacheinfo{Valid: math.MaxUint32, Prefered: 0}}
		r.AddData(nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(unix.IFA_F_NODAD|unix.IFA_F_NOPREFIXROUTE)))
		r.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, deprecated.Serialize()))
	}
	switch _, err := r.Execute(unix.NETLINK_ROUTE, 0); {
	case err == nil || errors.Is(err, unix.EEXIST):
		return nil
	case addr.Is6() && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)):
		return fmt.Errorf("add gateway address %s: %w: IPv6 is off on the host; run sysctl -w net.ipv6.conf.lo.disable_ipv6=0, "+
			"or use networks without IPv6", addr, err)
	default:
		return fmt.Errorf("add gateway address %s: %w", addr, err)
	}
}

func (h *Host) deleteGateway(addr netip.Addr) error {
	lo, err := h.loopback()
	if err != nil {
		return err
	}
	if err := h.nl.AddrDel(lo, &netlink.Addr{IPNet: hostNet(addr)}); err != nil && !gone(err) {
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
