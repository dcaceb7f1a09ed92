package link

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func via(ifindex int, dst, gateway string) Route {
	return Route{Ifindex: ifindex, Dst: netip.MustParsePrefix(dst), Gateway: netip.MustParseAddr(gateway)}
}

func TestLAN(t *testing.T) {
	eth, tunnel, down, own, lo := ethernet(2), ethernet(3), ethernet(4), ethernet(5), ethernet(1)
	tunnel.Ethernet, down.Up, own.Own, lo.Loopback = false, false, true, true
	devices := []Device{lo, eth, tunnel, down, own}
	for name, c := range map[string]struct {
		routes []Route
		want   []string
	}{
		"nothing":                    {nil, nil},
		"default routes":             {[]Route{defaultRoute(2, "10.0.0.1"), defaultRoute(2, "fe80::1"), onLink(3, "0.0.0.0/0")}, nil},
		"subnets of the host":        {[]Route{onLink(2, "192.168.7.0/24"), onLink(2, "fd00:7::/64")}, []string{"192.168.7.0/24", "fd00:7::/64"}},
		"a public subnet on link":    {[]Route{onLink(2, "203.0.113.0/24"), onLink(2, "2001:db8::/64")}, []string{"203.0.113.0/24", "2001:db8::/64"}},
		"link-local IPv6":            {[]Route{onLink(2, "fe80::/64")}, []string{"fe80::/64"}},
		"private behind a gateway":   {[]Route{via(2, "10.0.0.0/8", "192.168.7.1"), via(2, "fd00::/8", "fe80::1")}, []string{"10.0.0.0/8", "fd00::/8"}},
		"shared address space":       {[]Route{via(2, "100.64.0.0/10", "192.168.7.1")}, []string{"100.64.0.0/10"}},
		"public behind a gateway":    {[]Route{via(2, "198.51.100.0/24", "192.168.7.1"), via(2, "2001:db8::/32", "fe80::1")}, nil},
		"private by a tunnel":        {[]Route{onLink(3, "10.8.0.0/24")}, []string{"10.8.0.0/24"}},
		"public by a tunnel":         {[]Route{onLink(3, "203.0.113.0/24")}, nil},
		"halves of a default route":  {[]Route{onLink(2, "0.0.0.0/1"), onLink(2, "128.0.0.0/1"), onLink(2, "2000::/3"), onLink(3, "0.0.0.0/1")}, nil},
		"partly private":             {[]Route{via(2, "172.0.0.0/8", "192.168.7.1")}, nil},
		"a device that is down":      {[]Route{onLink(4, "10.1.0.0/24")}, nil},
		"containers of this host":    {[]Route{onLink(5, "10.90.0.2/32"), onLink(5, "fd90::2/128")}, nil},
		"loopback":                   {[]Route{onLink(1, "127.0.0.0/8"), onLink(1, "10.5.0.0/24")}, nil},
		"a device that is not known": {[]Route{onLink(9, "10.1.0.0/24")}, nil},
		"multicast":                  {[]Route{onLink(2, "224.0.0.0/8"), onLink(2, "ff00::/8")}, nil},
		"one within another, twice, and host bits": {
			[]Route{onLink(2, "10.1.2.0/24"), via(2, "10.1.0.0/16", "10.1.2.1"), onLink(2, "10.1.2.0/24"), onLink(2, "10.0.255.9/24"), onLink(2, "10.2.0.0/24")},
			[]string{"10.0.255.0/24", "10.1.0.0/16", "10.2.0.0/24"}},
	} {
		var got []string
		for _, p := range (Network{Devices: devices, Routes: c.routes}).LAN() {
			got = append(got, p.String())
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
