package link

import "net/netip"

// Prefixes returns the subnets that the host uses: the destinations of its routes but default ones, and the subnets of
// its addresses. Automatic address pools stay clear of them.
func (h *Host) Prefixes() ([]netip.Prefix, error) {
	n, err := h.Network()
	if err != nil {
		return nil, err
	}
	var all []netip.Prefix
	for _, r := range n.Routes {
		if r.Dst.IsValid() && r.Dst.Bits() > 0 {
			all = append(all, r.Dst.Masked())
		}
	}
	for _, d := range n.Devices {
		for _, a := range d.Addrs {
			all = append(all, a.Prefix.Masked())
		}
	}
	return all, nil
}
