package nettest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	tables "github.com/sluice-net/sluice/datapath/maps"
	"github.com/sluice-net/sluice/datapath/obj"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/netns"
	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/service"
)

func TestMain(m *testing.M) { os.Exit(netns.Isolated(m.Run)) }

// The addresses of the world. The router stands between the host's uplink and the outside, behind a link of a smaller
// MTU, and knows no route to the containers.
const (
	host4, host6       = "192.0.2.1", "2001:db8:1::1"
	router4, router6   = "192.0.2.254", "2001:db8:1::fe"
	far4, far6         = "203.0.113.9", "2001:db8:9::9"
	farMTU             = 1400
	gateway4, gateway6 = "10.7.0.1", "fd07::1"
)

// container is one with its programs.
type container struct {
	*node
	slot, identity, network uint32
	addr4, addr6            netip.Addr
	gw4, gw6                netip.Addr
	ifindex                 int
}

// world is a host with containers, a router and a far host.
type world struct {
	t            testing.TB
	host         *node
	router, far  *node
	alice, bob   *container // of one network
	carol        *container // of another
	maps         map[string]*ebpf.Map
	spec, uplink *ebpf.CollectionSpec
}

// newWorld builds it. Containers are masqueraded unless constants, those of bpf/abi/config.h, say otherwise.
func newWorld(t testing.TB, constants map[string]any) *world {
	t.Helper()
	testutil.Privileged(t)
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, maps: map[string]*ebpf.Map{}}
	w.spec, w.uplink = w.load(obj.Container()), w.load(obj.Uplink())
	w.sharedPrograms(constants)
	w.host, w.router, w.far = newNode(t), newNode(t), newNode(t)
	w.wire()
	w.alice = w.container(1, 300, 7, "10.7.0.10", "fd07::a", gateway4, gateway6, constants)
	w.bob = w.container(2, 301, 7, "10.7.0.11", "fd07::b", gateway4, gateway6, constants)
	w.carol = w.container(3, 302, 8, "10.8.0.12", "fd08::c", "10.8.0.1", "fd08::1", constants)
	for _, a := range []string{host4, host6, gateway4, gateway6, "10.8.0.1", "fd08::1"} {
		w.put("endpoints", abi.FromAddr(netip.MustParseAddr(a)),
			abi.Endpoint{Identity: abi.IdentityHost, Flags: abi.EndpointHost})
	}
	w.uplinkProgram("up0")
	return w
}

// load reads an object, and makes the maps that are not there yet.
func (w *world) load(elf []byte) *ebpf.CollectionSpec {
	w.t.Helper()
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(elf))
	if err != nil {
		w.t.Fatal(err)
	}
	for name, m := range spec.Maps {
		if m.Type == ebpf.LRUHash || m.Type == ebpf.Hash {
			m.MaxEntries = min(m.MaxEntries, 8192)
		}
		if w.maps[name] != nil || name == ".rodata" {
			continue
		}
		created, err := ebpf.NewMap(m)
		if err != nil {
			w.t.Fatalf("create map %s: %v", name, err)
		}
		w.t.Cleanup(func() { created.Close() })
		w.maps[name] = created
	}
	return spec
}

func (w *world) put(name string, key, value any) {
	w.t.Helper()
	if err := w.maps[name].Put(key, value); err != nil {
		w.t.Fatalf("write map %s: %v", name, err)
	}
}

// wire makes the way out: host -- router -- far.
func (w *world) wire() {
	veth(w.host, "up0", w.router, "in0", 1500)
	veth(w.router, "out0", w.far, "far0", farMTU)
	w.host.addr("up0", host4+"/24", host6+"/64")
	w.router.addr("in0", router4+"/24", router6+"/64")
	w.router.addr("out0", "203.0.113.254/24", "2001:db8:9::fe/64")
	w.far.addr("far0", far4+"/24", far6+"/64")
	w.host.addr("lo", gateway4+"/32", gateway6+"/128", "10.8.0.1/32", "fd08::1/128")
	for _, r := range []struct {
		n           *node
		dev, v4, v6 string
	}{{w.host, "up0", router4, router6}, {w.far, "far0", "203.0.113.254", "2001:db8:9::fe"}} {
		r.n.route(r.dev, "0.0.0.0/0", r.v4, "")
		r.n.route(r.dev, "::/0", r.v6, "")
	}
	for _, f := range []string{"ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"} {
		w.router.sysctl(f, "1")
	}
	i := w.host.link("up0").Attrs().Index
	w.put("uplinks", uint32(i), abi.Uplink{MTU: 1500, Addr4: abi.BE32(binary.NativeEndian.Uint32(net.ParseIP(host4).To4())),
		Addr6: abi.FromAddr(netip.MustParseAddr(host6))})
}

// container makes one with both doors open.
func (w *world) container(slot, identity, network uint32, a4, a6, g4, g6 string, constants map[string]any) *container {
	w.t.Helper()
	c := &container{node: newNode(w.t), slot: slot, identity: identity, network: network,
		addr4: netip.MustParseAddr(a4), addr6: netip.MustParseAddr(a6),
		gw4: netip.MustParseAddr(g4), gw6: netip.MustParseAddr(g6)}
	name := fmt.Sprintf("slc%d", slot)
	veth(w.host, name, c.node, "eth0", 1500)
	c.ifindex = w.host.link(name).Attrs().Index
	for _, s := range []string{"ipv4/conf/" + name + "/forwarding", "ipv6/conf/" + name + "/forwarding"} {
		w.host.sysctl(s, "1")
	}
	w.host.sysctl("ipv4/conf/"+name+"/rp_filter", "0")
	w.host.route(name, a4+"/32", "", g4)
	w.host.route(name, a6+"/128", "", g6)
	w.neighbours(c, name)
	c.addr("eth0", a4+"/24", a6+"/64")
	c.node.route("eth0", "0.0.0.0/0", g4, "")
	c.node.route("eth0", "::/0", g6, "")
	e := abi.Endpoint{Ifindex: uint32(c.ifindex), Identity: identity, Network: network, Slot: slot}
	copy(e.MAC[:], c.link("eth0").Attrs().HardwareAddr)
	w.put("endpoints", abi.FromAddr(c.addr4), e)
	w.put("endpoints", abi.FromAddr(c.addr6), e)
	w.programs(c, constants)
	return c
}

// neighbours tells the host the container's MAC, which it would else ask the container for.
func (w *world) neighbours(c *container, name string) {
	w.t.Helper()
	for _, a := range []netip.Addr{c.addr4, c.addr6} {
		err := w.host.nl.NeighSet(&netlink.Neigh{LinkIndex: c.ifindex, State: netlink.NUD_PERMANENT,
			IP: a.AsSlice(), HardwareAddr: c.link("eth0").Attrs().HardwareAddr})
		if err != nil {
			w.t.Fatalf("add neighbour %s: %v", a, err)
		}
	}
}

// constants are those of bpf/abi/config.h for a container.
func (w *world) constants(c *container, changed map[string]any) map[string]any {
	number := func(mac net.HardwareAddr) uint64 {
		return binary.NativeEndian.Uint64(append(append([]byte(nil), mac...), 0, 0))
	}
	values := map[string]any{
		"DOOR_SLOT": c.slot, "SLOT": c.slot, "IDENTITY": c.identity, "NETWORK": c.network, "REVISION": uint32(1), "JUDGEMENT": uint32(1),
		"HOST_IFINDEX": uint32(c.ifindex), "CONTAINER_MAC": number(c.link("eth0").Attrs().HardwareAddr),
		"HOST_MAC": number(w.host.link(fmt.Sprintf("slc%d", c.slot)).Attrs().HardwareAddr),
		"ADDRESS4": abi.FromAddr(c.addr4), "ADDRESS6": abi.FromAddr(c.addr6),
		"GATEWAY4": abi.FromAddr(c.gw4), "GATEWAY6": abi.FromAddr(c.gw6),
		"SUBNET4":      abi.FromAddr(netip.PrefixFrom(c.addr4, 24).Masked().Addr()),
		"SUBNET6":      abi.FromAddr(netip.PrefixFrom(c.addr6, 64).Masked().Addr()),
		"SUBNET4_BITS": uint32(24), "SUBNET6_BITS": uint32(64),
		"FEATURE_IPV4": uint8(1), "FEATURE_IPV6": uint8(1), "FEATURE_SERVICES": uint8(1), "FEATURE_MASQUERADE": uint8(1),
	}
	maps.Copy(values, changed)
	return values
}

// collection loads an object's programs with constants and the world's maps.
func (w *world) collection(spec *ebpf.CollectionSpec, constants map[string]any) *ebpf.Collection {
	w.t.Helper()
	spec = spec.Copy()
	for name, v := range constants {
		if spec.Variables[name] == nil {
			continue
		}
		if err := spec.Variables[name].Set(v); err != nil {
			w.t.Fatal(err)
		}
	}
	shared := map[string]*ebpf.Map{}
	for name := range spec.Maps {
		if name != ".rodata" {
			shared[name] = w.maps[name]
		}
	}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: shared})
	if err != nil {
		var v *ebpf.VerifierError
		if errors.As(err, &v) {
			w.t.Fatalf("%+v", v)
		}
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

func (w *world) programs(c *container, changed map[string]any) {
	w.t.Helper()
	coll := w.collection(w.spec, w.constants(c, changed))
	w.put("egress_slots", c.slot, coll.Programs["egress"])
	w.put("ingress_slots", c.slot, coll.Programs["ingress"])
	w.attach(w.host, fmt.Sprintf("slc%d", c.slot), coll.Programs["door_from"], coll.Programs["door_to"])
}

// sharedPrograms fills the shared slots.
func (w *world) sharedPrograms(changed map[string]any) {
	w.t.Helper()
	constants := map[string]any{"MASQUERADE_PORT_MIN": uint16(61000), "MASQUERADE_PORT_MAX": uint16(65535)}
	maps.Copy(constants, changed)
	coll := w.collection(w.load(obj.Shared()), constants)
	for slot, name := range abi.SharedPrograms {
		w.put("shared_slots", slot, coll.Programs[name])
	}
}

func (w *world) uplinkProgram(name string) {
	w.t.Helper()
	coll := w.collection(w.uplink, nil)
	w.attach(w.host, name, coll.Programs["from_uplink"], nil)
}

// attach puts programs at a device: by clsact, which every kernel has.
func (w *world) attach(n *node, name string, ingress, egress *ebpf.Program) {
	w.t.Helper()
	dev := n.link(name).Attrs().Index
	qdisc := &netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{LinkIndex: dev,
		Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
	if err := n.nl.QdiscReplace(qdisc); err != nil {
		w.t.Fatalf("add clsact to %s: %v", name, err)
	}
	for parent, p := range map[uint32]*ebpf.Program{netlink.HANDLE_MIN_INGRESS: ingress, netlink.HANDLE_MIN_EGRESS: egress} {
		if p == nil {
			continue
		}
		err := n.nl.FilterReplace(&netlink.BpfFilter{FilterAttrs: netlink.FilterAttrs{LinkIndex: dev, Parent: parent,
			Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1}, Fd: p.FD(), Name: "test", DirectAction: true})
		if err != nil {
			w.t.Fatalf("attach program to %s: %v", name, err)
		}
	}
}

// publish makes addr:port a frontend of a container's port.
func (w *world) publish(addr string, port uint16, proto uint8, backend netip.Addr, backendPort uint16) {
	w.t.Helper()
	f := service.Frontend{Addr: netip.MustParseAddr(addr), Port: port, Proto: service.Protocol(proto)}
	if err := w.services().Put(f, service.Backend{Addr: backend, Port: backendPort}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) unpublish(addr string, port uint16, proto uint8) {
	w.t.Helper()
	f := service.Frontend{Addr: netip.MustParseAddr(addr), Port: port, Proto: service.Protocol(proto)}
	if err := w.services().Delete(f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) services() *tables.Services {
	return tables.NewServices(w.maps["services"], tables.NewFlows(w.maps["flows_tcp"], w.maps["flows_any"]),
		tables.NewNAT(w.maps["nat"]), tables.NewEndpoints(w.maps["endpoints"]))
}

// drops returns what was dropped so far, by reason and direction, for messages.
func (w *world) drops() string {
	var b bytes.Buffer
	for d := 0; d < 3; d++ {
		for r := 1; r < abi.DropReasons; r++ {
			var perCPU []abi.Counter
			if err := w.maps["metrics"].Lookup(uint32(d*abi.DropReasons+r), &perCPU); err != nil {
				return err.Error()
			}
			var n uint64
			for _, c := range perCPU {
				n += c.Packets
			}
			if n > 0 {
				fmt.Fprintf(&b, " direction %d %v: %d;", d, abi.DropReason(r), n)
			}
		}
	}
	return b.String()
}

// dropped returns how many packets were dropped for a reason.
func (w *world) dropped(reason abi.DropReason) (n uint64) {
	w.t.Helper()
	for d := 0; d < 3; d++ {
		var perCPU []abi.Counter
		if err := w.maps["metrics"].Lookup(uint32(d*abi.DropReasons+int(reason)), &perCPU); err != nil {
			w.t.Fatal(err)
		}
		for _, c := range perCPU {
			n += c.Packets
		}
	}
	return n
}
