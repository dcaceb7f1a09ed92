package link

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Isolated(m.Run)) }

func TestCheckPrefix(t *testing.T) {
	for prefix, ok := range map[string]bool{
		"slc": true, "sl": true, "sluice": true, "s1x": true, "a-": true, "t_": true,
		"": false, "s": false, "sluices": false, "slc1": false, "1sl": false, "SLC": false, "s.c": false, "s c": false, "-s": false, "é": false,
	} {
		if err := CheckPrefix(prefix); (err == nil) != ok {
			t.Errorf("prefix %q: error %v", prefix, err)
		}
		if _, err := Open(prefix); !ok && err == nil {
			t.Errorf("opened with prefix %q", prefix)
		}
	}
}

func TestNames(t *testing.T) {
	h := &Host{prefix: "slc"}
	for _, slot := range []uint32{0, 1, 10, 255, 4095, math.MaxUint32} {
		name := h.Name(slot)
		if got, ok := h.slotOf(name); !ok || got != slot || !h.ours(name) || !h.ours(h.PeerName(slot)) {
			t.Errorf("slot %d: name %s, read as %d, %v", slot, name, got, ok)
		}
	}
	if len((&Host{prefix: "sluice"}).PeerName(math.MaxUint32)) >= unix.IFNAMSIZ {
		t.Error("names can be too long")
	}
	for _, name := range []string{"slc", "slcp", "slc01", "slcA", "slc1g", "slc100000000", "slcp1x", "eth0", "xslc1", "slcpp1", ""} {
		if _, ok := h.slotOf(name); ok {
			t.Errorf("%q is taken for a host's side", name)
		}
		if name != "slc01" && h.ours(name) {
			t.Errorf("%q is taken for ours", name)
		}
	}
	if _, ok := h.slotOf("slcp1"); ok {
		t.Error("a peer is taken for a host's side")
	}
}

func FuzzSlotOf(f *testing.F) {
	f.Add("slc1f")
	f.Add("slcp1")
	f.Fuzz(func(t *testing.T, name string) {
		h := &Host{prefix: "slc"}
		if slot, ok := h.slotOf(name); ok && h.Name(slot) != name {
			t.Errorf("%q read as slot %d, which is called %q", name, slot, h.Name(slot))
		}
	})
}

func TestFilterHandlesDiffer(t *testing.T) {
	seen := map[uint32]string{}
	for _, prefix := range []string{"slc", "sla", "slb", "test", "aa", "ab"} {
		handle := (&Host{prefix: prefix}).filterHandle()
		if handle == 0 || seen[handle] != "" {
			t.Errorf("prefixes %q and %q have handle %d", prefix, seen[handle], handle)
		}
		seen[handle] = prefix
	}
}

func TestPrefixOf(t *testing.T) {
	for _, tt := range []struct {
		in   *net.IPNet
		want string
	}{
		{nil, "invalid Prefix"},
		{&net.IPNet{}, "invalid Prefix"},
		{&net.IPNet{IP: net.ParseIP("10.0.0.1"), Mask: net.CIDRMask(24, 32)}, "10.0.0.1/24"},
		{&net.IPNet{IP: net.ParseIP("10.0.0.1").To4(), Mask: net.CIDRMask(32, 32)}, "10.0.0.1/32"},
		{&net.IPNet{IP: net.ParseIP("fd00::1"), Mask: net.CIDRMask(64, 128)}, "fd00::1/64"},
		{&net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}, "0.0.0.0/0"},
	} {
		if got := prefixOf(tt.in).String(); got != tt.want {
			t.Errorf("prefixOf(%v) = %s, want %s", tt.in, got, tt.want)
		}
	}
	for _, a := range []string{"10.0.0.1", "fd00::1"} {
		if p := prefixOf(hostNet(netip.MustParseAddr(a))); p.Addr().String() != a || !p.IsSingleIP() {
			t.Errorf("%s became %s", a, p)
		}
	}
}

func TestRoutesOf(t *testing.T) {
	_, subnet, _ := net.ParseCIDR("10.0.0.0/24")
	gateway := net.ParseIP("10.0.0.1")
	tests := []struct {
		name string
		in   netlink.Route
		want string
	}{
		{"on link", netlink.Route{Type: unix.RTN_UNICAST, LinkIndex: 2, Dst: subnet}, "[2 10.0.0.0/24 true]"},
		{"default", netlink.Route{Type: unix.RTN_UNICAST, LinkIndex: 2, Gw: gateway, Family: netlink.FAMILY_V4}, "[2 0.0.0.0/0 false]"},
		{"default of IPv6", netlink.Route{Type: unix.RTN_UNICAST, LinkIndex: 2, Gw: net.ParseIP("fe80::1"), Family: netlink.FAMILY_V6}, "[2 ::/0 false]"},
		{"IPv4 by an IPv6 gateway", netlink.Route{Type: unix.RTN_UNICAST, LinkIndex: 2, Dst: subnet, Via: &netlink.Via{Addr: net.ParseIP("fe80::1")}}, "[2 10.0.0.0/24 false]"},
		{"several next hops", netlink.Route{Type: unix.RTN_UNICAST, Dst: subnet, MultiPath: []*netlink.NexthopInfo{{LinkIndex: 2, Gw: gateway}, {LinkIndex: 3}}}, "[2 10.0.0.0/24 false] [3 10.0.0.0/24 true]"},
		{"unreachable", netlink.Route{Type: unix.RTN_UNREACHABLE, Dst: subnet}, ""},
		{"local", netlink.Route{Type: unix.RTN_UNICAST, Table: unix.RT_TABLE_LOCAL, LinkIndex: 2, Dst: subnet}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			for i, r := range routesOf(tt.in) {
				if i > 0 {
					got += " "
				}
				got += fmt.Sprint([]any{r.Ifindex, r.Dst, r.OnLink})
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// attr is a netlink attribute.
func attr(kind uint16, value string) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, -len(b)&3)...)
}

func message(kind uint16, data ...[]byte) *syscall.NetlinkMessage {
	m := &syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}}
	for _, d := range data {
		m.Data = append(m.Data, d...)
	}
	return m
}

func TestMatters(t *testing.T) {
	h := &Host{prefix: "slc"}
	link := make([]byte, unix.SizeofIfInfomsg)
	route := func(protocol byte, flags uint32) []byte {
		b := make([]byte, unix.SizeofRtMsg)
		b[5] = protocol
		binary.NativeEndian.PutUint32(b[8:], flags)
		return b
	}
	tests := []struct {
		name string
		m    *syscall.NetlinkMessage
		want bool
	}{
		{"another device", message(unix.RTM_NEWLINK, link, attr(unix.IFLA_IFNAME, "eth0\x00")), true},
		{"our device", message(unix.RTM_NEWLINK, link, attr(unix.IFLA_MTU, "1234"), attr(unix.IFLA_IFNAME, "slc1f\x00")), false},
		{"our device goes", message(unix.RTM_DELLINK, link, attr(unix.IFLA_IFNAME, "slc1f\x00")), false},
		{"our peer", message(unix.RTM_NEWLINK, link, attr(unix.IFLA_IFNAME, "slcp1f\x00")), false},
		{"truncated", message(unix.RTM_NEWLINK, link[:3]), true},
		{"without a name", message(unix.RTM_NEWLINK, link), true},
		{"a route", message(unix.RTM_NEWROUTE, route(unix.RTPROT_BOOT, 0)), true},
		{"our route", message(unix.RTM_DELROUTE, route(RouteProtocol, 0)), false},
		{"a cached route", message(unix.RTM_NEWROUTE, route(unix.RTPROT_BOOT, unix.RTM_F_CLONED)), false},
		{"truncated route", message(unix.RTM_NEWROUTE, []byte{2}), true},
		{"an address", message(unix.RTM_NEWADDR), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := h.matters(tt.m); got != tt.want {
				t.Errorf("matters: %v", got)
			}
		})
	}
}
