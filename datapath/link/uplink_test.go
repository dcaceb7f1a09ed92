package link

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func addr(cidr string) Addr { return Addr{Prefix: netip.MustParsePrefix(cidr)} }

func defaultRoute(ifindex int, gateway string) Route {
	g := netip.MustParseAddr(gateway)
	zero := netip.IPv6Unspecified()
	if g.Is4() {
		zero = netip.IPv4Unspecified()
	}
	return Route{Ifindex: ifindex, Dst: netip.PrefixFrom(zero, 0), Gateway: g}
}

func onLink(ifindex int, dst string) Route {
	return Route{Ifindex: ifindex, Dst: netip.MustParsePrefix(dst), OnLink: true}
}

// ethernet is a device that could be an uplink.
func ethernet(ifindex int, addrs ...Addr) Device {
	return Device{Ifindex: ifindex, Name: "eth", Type: "device", MTU: 1500, Up: true, Ethernet: true, Addrs: addrs}
}

func TestUplinksWhich(t *testing.T) {
	with := func(change func(*Device)) Device {
		d := ethernet(2, addr("10.0.0.2/24"))
		change(&d)
		return d
	}
	tests := []struct {
		name   string
		device Device
		routes []Route
		is     bool
	}{
		{"address and on-link route", ethernet(2, addr("10.0.0.2/24")), []Route{onLink(2, "10.0.0.0/24")}, true},
		{"default route, address elsewhere", ethernet(2), []Route{defaultRoute(2, "10.0.0.1")}, true},
		{"IPv6 default route by a link-local gateway", ethernet(2, addr("fe80::1/64")), []Route{defaultRoute(2, "fe80::99")}, true},
		{"on-link route only", ethernet(2), []Route{onLink(2, "2001:db8::/64")}, true},
		{"single address, default route on link", ethernet(2, addr("203.0.113.4/32")), []Route{defaultRoute(2, "172.31.1.1")}, true},
		{"address only", ethernet(2, addr("203.0.113.4/32")), nil, true},
		{"nothing", ethernet(2), nil, false},
		{"IPv6 link-local only", ethernet(2, addr("fe80::1/64")), []Route{onLink(2, "fe80::/64")}, false},
		{"host routes only: a container", ethernet(2), []Route{onLink(2, "10.1.0.2/32"), onLink(2, "fd00::2/128")}, false},
		{"routes of another device", ethernet(2), []Route{onLink(3, "10.0.0.0/24")}, false},
		{"a route by a gateway", ethernet(2), []Route{{Ifindex: 2, Dst: netip.MustParsePrefix("10.5.0.0/16"), Gateway: netip.MustParseAddr("10.0.0.1")}}, false},
		{"down", with(func(d *Device) { d.Up = false }), nil, false},
		{"loopback", with(func(d *Device) { d.Loopback = true }), nil, false},
		{"no Ethernet header", with(func(d *Device) { d.Ethernet = false }), []Route{defaultRoute(2, "10.0.0.1")}, true},
		{"ours", with(func(d *Device) { d.Own = true }), nil, false},
		{"port of a bridge", with(func(d *Device) { d.Master = "bridge" }), nil, false},
		{"member of a bond", with(func(d *Device) { d.Master = "bond" }), nil, false},
		{"in a VRF", with(func(d *Device) { d.Master = "vrf" }), nil, true},
		{"a VRF", with(func(d *Device) { d.Type = "vrf" }), nil, false},
		{"a bridge", with(func(d *Device) { d.Type = "bridge" }), nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Network{Devices: []Device{tt.device}, Routes: tt.routes}.Uplinks()
			if (len(got) == 1) != tt.is {
				t.Errorf("uplinks %+v, want it to be one: %v", got, tt.is)
			}
		})
	}
}

func TestUplinksSourceAddress(t *testing.T) {
	secondary, temporary, deprecated, dynamic, unusable := addr("10.0.0.3/24"), addr("2001:db8::7/64"), addr("2001:db8::8/64"), addr("2001:db8::9/64"), addr("2001:db8::a/64")
	secondary.Secondary, temporary.Temporary, temporary.Dynamic, deprecated.Deprecated, dynamic.Dynamic, unusable.Unusable = true, true, true, true, true, true
	preferred := defaultRoute(2, "10.0.0.1")
	preferred.Source = netip.MustParseAddr("10.0.0.3")
	worse := preferred
	worse.Metric, worse.Source = 100, netip.MustParseAddr("192.0.2.9")
	tests := []struct {
		name   string
		addrs  []Addr
		routes []Route
		want   string
	}{
		{"the first", []Addr{addr("10.0.0.2/24"), addr("10.0.1.2/24")}, nil, "10.0.0.2"},
		{"the one on the gateway's subnet", []Addr{addr("10.0.1.2/24"), addr("10.0.0.2/24")}, []Route{defaultRoute(2, "10.0.0.1")}, "10.0.0.2"},
		{"no secondary one", []Addr{secondary, addr("10.0.0.2/24")}, nil, "10.0.0.2"},
		{"unless the route says so", []Addr{addr("10.0.0.2/24"), secondary}, []Route{preferred}, "10.0.0.3"},
		{"the route of the lowest metric says", []Addr{addr("10.0.0.2/24"), addr("192.0.2.9/24"), secondary}, []Route{worse, preferred}, "10.0.0.3"},
		{"another device's route says nothing", []Addr{addr("10.0.0.2/24"), secondary}, []Route{{Ifindex: 3, Dst: preferred.Dst, Source: preferred.Source}}, "10.0.0.2"},
		{"private IPv4 is as good as public", []Addr{addr("10.0.0.2/24"), addr("203.0.113.4/24")}, nil, "10.0.0.2"},
		{"IPv6: global before unique local", []Addr{addr("fd00::2/64"), addr("2001:db8::2/64")}, nil, "2001:db8::2"},
		{"IPv6: unique local if there is no other", []Addr{addr("fe80::2/64"), addr("fd00::2/64")}, nil, "fd00::2"},
		{"IPv6: lasting before temporary", []Addr{temporary, dynamic}, nil, "2001:db8::9"},
		{"IPv6: static before dynamic", []Addr{temporary, dynamic, addr("2001:db8::2/64")}, nil, "2001:db8::2"},
		{"IPv6: anything before deprecated", []Addr{deprecated, temporary}, nil, "2001:db8::7"},
		{"IPv6: deprecated before none", []Addr{deprecated, unusable}, nil, "2001:db8::8"},
		{"IPv6: link-local and unusable are none", []Addr{addr("fe80::2/64"), unusable}, []Route{onLink(2, "2001:db8::/64")}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := Network{Devices: []Device{ethernet(2, tt.addrs...)}, Routes: append(tt.routes, onLink(2, "10.0.0.0/8"))}
			u := n.Uplinks()
			if len(u) != 1 {
				t.Fatalf("uplinks %+v", u)
			}
			var got []string
			for _, a := range []netip.Addr{u[0].Addr4, u[0].Addr6} {
				if a.IsValid() {
					got = append(got, a.String())
				}
			}
			if tt.want == "" && len(got) != 0 || tt.want != "" && !slices.Equal(got, []string{tt.want}) {
				t.Errorf("source %v, want %q", got, tt.want)
			}
		})
	}
}

func TestHostAddrs(t *testing.T) {
	down := ethernet(4, addr("10.4.0.1/24"))
	down.Up = false
	n := Network{Devices: []Device{
		{Ifindex: 1, Up: true, Loopback: true, Addrs: []Addr{addr("127.0.0.1/8"), addr("127.0.0.53/8"), addr("10.9.0.1/32"), addr("::1/128"), addr("fd09::1/128")}},
		ethernet(2, addr("10.0.0.2/24"), addr("169.254.7.7/16"), addr("2001:db8::2/64"), addr("fe80::2/64")),
		{Ifindex: 3, Up: true, Addrs: []Addr{addr("10.0.0.2/32"), addr("10.71.0.1/24")}}, // a tun device, an address twice
		down,
	}}
	var want []netip.Addr
	for _, a := range []string{"10.0.0.2", "10.9.0.1", "10.71.0.1", "169.254.7.7", "2001:db8::2", "fd09::1"} {
		want = append(want, netip.MustParseAddr(a))
	}
	if diff := cmp.Diff(want, n.HostAddrs(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}
