package packettest

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"bytes"

	"github.com/sluice-net/sluice/datapath/maps"
	"github.com/sluice-net/sluice/datapath/obj"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/service"
)

// The outside: the host's addresses on its uplink, the next hop, and somebody beyond it.
const (
	host4, host6 = "192.0.2.1", "2001:db8:1::1"
	hop4, hop6   = "192.0.2.254", "2001:db8:1::fe"
	far4, far6   = "203.0.113.9", "2001:db8:9::9"
	masqueradeAt = 32768 // the first port, as container.constants sets it
)

// tcLeave is TC_ACT_UNSPEC: the stack sees the packet.
const tcLeave = 0xffffffff

// outside is a kernel with an uplink and a device that stands for alice's host side.
type outside struct {
	*kernel
	door, uplink int // ifindex
	uplinkMAC    net.HardwareAddr
	fromUplink   *ebpf.Program
	alice, bob   pair
}

// newOutside loads alice and bob with the features, beside open.
func newOutside(t *testing.T, names ...string) *outside {
	t.Helper()
	o := &outside{kernel: newKernel(t)}
	o.door, o.uplink = device(t, "door0"), device(t, "up0")
	up, err := netlink.LinkByName("up0")
	if err != nil {
		t.Fatal(err)
	}
	o.uplinkMAC = up.Attrs().HardwareAddr
	for _, f := range []string{"ipv4", "ipv6"} {
		if err := os.WriteFile("/proc/sys/net/"+f+"/conf/door0/forwarding", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []string{host4 + "/24", host6 + "/64"} {
		addr, _ := netlink.ParseAddr(a)
		addr.Flags = 2 // IFA_F_NODAD
		if err := netlink.AddrAdd(up, addr); err != nil {
			t.Fatal(err)
		}
	}
	for dst, gw := range map[string]string{"0.0.0.0/0": hop4, "::/0": hop6} {
		_, d, _ := net.ParseCIDR(dst)
		if err := netlink.RouteReplace(&netlink.Route{LinkIndex: o.uplink, Dst: d, Gw: net.ParseIP(gw)}); err != nil {
			t.Fatal(err)
		}
	}
	host := abi.Endpoint{Identity: abi.IdentityHost, Flags: abi.EndpointHost}
	o.endpoint(netip.MustParseAddr(host4), host)
	o.endpoint(netip.MustParseAddr(host6), host)
	a4 := netip.MustParseAddr(host4).As4()
	if err := o.maps["uplinks"].Put(uint32(o.uplink), abi.Uplink{Addr4: abi.BE32(binary.NativeEndian.Uint32(a4[:])),
		Addr6: abi.FromAddr(netip.MustParseAddr(host6)), MTU: 1500}); err != nil {
		t.Fatal(err)
	}
	o.alice = o.load(alice, options{features: open.with(names...)})
	o.bob = o.load(bob, options{features: open.with(names...)})
	o.fromUplink = o.loadUplink()
	return o
}

// device makes a veth pair that is up.
func device(t *testing.T, name string) int {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	l := &netlink.Veth{LinkAttrs: attrs, PeerName: name + "p"}
	if err := netlink.LinkAdd(l); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(l) })
	for _, n := range []string{name, name + "p"} {
		d, err := netlink.LinkByName(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(d); err != nil {
			t.Fatal(err)
		}
	}
	d, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return d.Attrs().Index
}

func (o *outside) loadUplink() *ebpf.Program {
	o.t.Helper()
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(obj.Uplink()))
	if err != nil {
		o.t.Fatal(err)
	}
	shared := map[string]*ebpf.Map{}
	for name := range spec.Maps {
		if name == ".rodata" {
			continue
		}
		if o.maps[name] == nil {
			o.t.Fatalf("map %s of the uplink's programs is none of the containers'", name)
		}
		spec.Maps[name].MaxEntries = o.maps[name].MaxEntries()
		shared[name] = o.maps[name]
	}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: shared})
	if err != nil {
		o.t.Fatalf("%+v", err)
	}
	o.t.Cleanup(c.Close)
	return c.Programs["from_uplink"]
}

// leave gives a packet of a container to its egress.
func (o *outside) leave(p pair, packet []byte) (uint32, []byte) {
	return o.runAt(p.egress, o.door, packet)
}

// enter gives a packet to the uplink's program.
func (o *outside) enter(packet []byte) (uint32, []byte) {
	return o.runAt(o.fromUplink, o.uplink, packet)
}

func (o *outside) runAt(p *ebpf.Program, ifindex int, packet []byte) (uint32, []byte) {
	o.t.Helper()
	r := runOptions(packet)
	r.Context = context{Ifindex: uint32(ifindex)}
	verdict, err := p.Run(r)
	if err != nil {
		o.t.Fatal(err)
	}
	return verdict, r.DataOut
}

// inbound are the ends of a packet that arrives by the uplink.
func (o *outside) inbound(src, dst string) ends {
	return ends{mustMAC("02:00:00:00:ee:01"), o.uplinkMAC, netip.MustParseAddr(src), netip.MustParseAddr(dst)}
}

func (o *outside) publish(addr string, port uint16, proto uint8, backend netip.Addr, backendPort uint16) {
	o.t.Helper()
	f := service.Frontend{Addr: netip.MustParseAddr(addr), Port: port, Proto: service.Protocol(proto)}
	if err := o.services().Put(f, service.Backend{Addr: backend, Port: backendPort}); err != nil {
		o.t.Fatal(err)
	}
}

func (o *outside) unpublish(addr string, port uint16, proto uint8) {
	o.t.Helper()
	f := service.Frontend{Addr: netip.MustParseAddr(addr), Port: port, Proto: service.Protocol(proto)}
	if err := o.services().Delete(f); err != nil {
		o.t.Fatal(err)
	}
}

func (o *outside) services() *maps.Services {
	return maps.NewServices(o.maps["services"], maps.NewFlows(o.maps["flows_tcp"], o.maps["flows_any"]),
		maps.NewNAT(o.maps["nat"]), maps.NewEndpoints(o.maps["endpoints"]))
}

// nat returns the entry of the connection between two ends as the outside sees it, or nil.
func (o *outside) nat(a, b netip.AddrPort, proto uint8) *abi.NAT {
	o.t.Helper()
	var n abi.NAT
	if err := o.maps["nat"].Lookup(mustTuple(a, b, proto), &n); err != nil {
		return nil
	}
	return &n
}

// addresses of one family.
func outsideOf(family int) (host, far string) {
	if family == 4 {
		return host4, far4
	}
	return host6, far6
}

func (c container) addr(family int) netip.Addr {
	if family == 4 {
		return c.ip4.Addr()
	}
	return c.ip6.Addr()
}

func (c container) gateway(family int) netip.Addr {
	if family == 4 {
		return c.gw4
	}
	return c.gw6
}

// reasonAt runs a packet of a container and returns the verdict and why it was dropped.
func (o *outside) reasonAt(p pair, packet []byte) (uint32, abi.DropReason, []byte) {
	o.t.Helper()
	before := o.metrics(abi.DirectionEgress)
	verdict, out := o.leave(p, packet)
	for r, n := range o.metrics(abi.DirectionEgress) {
		if r != 0 && n != before[r] {
			return verdict, abi.DropReason(r), out
		}
	}
	return verdict, abi.DropNone, out
}

// removeDevices makes room for another world in the same test.
func (o *outside) removeDevices(t *testing.T) {
	t.Helper()
	for _, name := range []string{"door0", "up0"} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkDel(l); err != nil {
			t.Fatal(err)
		}
	}
}
