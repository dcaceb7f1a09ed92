package packettest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"

	"github.com/sluice-net/sluice/datapath/obj"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/netns"
	"github.com/sluice-net/sluice/internal/testutil"
)

func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-test.fuzzworker") { // started within the namespaces, by descriptors of its own
		os.Exit(m.Run())
	}
	os.Exit(netns.Isolated(m.Run))
}

// The verdicts of tc programs (linux/pkt_cls.h).
const (
	tcOK       = 0
	tcDrop     = 2
	tcRedirect = 7
)

// container is one end of the tests' packets.
type container struct {
	slot, identity, network uint32
	ifindex                 int
	mac, hostMAC            net.HardwareAddr
	ip4, ip6                netip.Prefix
	gw4, gw6                netip.Addr
}

var (
	alice = container{slot: 1, identity: 300, network: 7, ifindex: 101,
		mac: mustMAC("02:00:00:00:00:0a"), hostMAC: mustMAC("02:00:00:00:ff:0a"),
		ip4: netip.MustParsePrefix("10.7.0.10/24"), ip6: netip.MustParsePrefix("fd07::a/64"),
		gw4: netip.MustParseAddr("10.7.0.1"), gw6: netip.MustParseAddr("fd07::1")}
	bob = container{slot: 2, identity: 301, network: 7, ifindex: 102,
		mac: mustMAC("02:00:00:00:00:0b"), hostMAC: mustMAC("02:00:00:00:ff:0b"),
		ip4: netip.MustParsePrefix("10.7.0.11/24"), ip6: netip.MustParsePrefix("fd07::b/64"),
		gw4: alice.gw4, gw6: alice.gw6}
	carol = container{slot: 3, identity: 302, network: 8, ifindex: 103, // of another network
		mac: mustMAC("02:00:00:00:00:0c"), hostMAC: mustMAC("02:00:00:00:ff:0c"),
		ip4: netip.MustParsePrefix("10.8.0.12/24"), ip6: netip.MustParsePrefix("fd08::c/64"),
		gw4: netip.MustParseAddr("10.8.0.1"), gw6: netip.MustParseAddr("fd08::1")}
)

func mustMAC(s string) net.HardwareAddr {
	m, err := net.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return m
}

// features are the switches of bpf/abi/config.h that are on.
type features map[string]bool

// open is what a container of a plain network has.
var open = features{"IPV4": true, "IPV6": true}

func (f features) with(names ...string) features {
	out := features{}
	for k, v := range f {
		out[k] = v
	}
	for _, n := range names {
		out[n] = true
	}
	return out
}

// pair is a container's two programs.
type pair struct{ egress, ingress *ebpf.Program }

// kernel is one set of maps and the programs that share them.
type kernel struct {
	t    testing.TB
	spec *ebpf.CollectionSpec
	maps map[string]*ebpf.Map
}

// small makes maps that are quick to create.
var small = map[string]uint32{"flows_tcp": 4096, "flows_any": 4096, "nat": 4096, "fragments": 1024, "endpoints": 1024,
	"services": 1024, "events": 1 << 20, "captures": 1 << 20}

// newKernel creates the maps, with alice, bob, carol and the host in endpoints.
func newKernel(t testing.TB) *kernel {
	t.Helper()
	testutil.Privileged(t)
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(obj.Container()))
	if err != nil {
		t.Fatal(err)
	}
	k := &kernel{t: t, spec: spec, maps: map[string]*ebpf.Map{}}
	t.Cleanup(k.close)
	for name, m := range spec.Maps {
		if name == ".rodata" {
			continue
		}
		if n, ok := small[name]; ok {
			m.MaxEntries = n
		}
		if k.maps[name], err = ebpf.NewMap(m); err != nil {
			t.Fatalf("create map %s: %v", name, err)
		}
	}
	k.loadShared()
	k.setInterval(5)
	for _, c := range []container{alice, bob, carol} {
		e := abi.Endpoint{Ifindex: uint32(c.ifindex), Identity: c.identity, Network: c.network, Slot: c.slot}
		copy(e.MAC[:], c.mac)
		k.endpoint(c.ip4.Addr(), e)
		k.endpoint(c.ip6.Addr(), e)
		k.endpoint(c.gw4, abi.Endpoint{Identity: abi.IdentityHost, Flags: abi.EndpointHost})
		k.endpoint(c.gw6, abi.Endpoint{Identity: abi.IdentityHost, Flags: abi.EndpointHost})
	}
	return k
}

// loadShared fills the shared slots.
func (k *kernel) loadShared() {
	k.t.Helper()
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(obj.Shared()))
	if err != nil {
		k.t.Fatal(err)
	}
	for name, v := range map[string]any{"MASQUERADE_PORT_MIN": uint16(masqueradeAt), "MASQUERADE_PORT_MAX": uint16(60999)} {
		if err := spec.Variables[name].Set(v); err != nil {
			k.t.Fatal(err)
		}
	}
	linked := map[string]*ebpf.Map{}
	for name, m := range spec.Maps {
		if name == ".rodata" {
			continue
		}
		if n, ok := small[name]; ok {
			m.MaxEntries = n
		}
		if k.maps[name] == nil {
			if k.maps[name], err = ebpf.NewMap(m); err != nil {
				k.t.Fatalf("create map %s: %v", name, err)
			}
		}
		linked[name] = k.maps[name]
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: linked})
	if err != nil {
		var v *ebpf.VerifierError
		if errors.As(err, &v) {
			k.t.Fatalf("%+v", v)
		}
		k.t.Fatal(err)
	}
	defer coll.Close()
	for slot, name := range abi.SharedPrograms {
		if err := k.maps["shared_slots"].Put(slot, coll.Programs[name]); err != nil {
			k.t.Fatal(err)
		}
	}
}

// setInterval sets how often a flow that goes on is told, in units of the flows' clock.
func (k *kernel) setInterval(units uint32) {
	k.t.Helper()
	if err := k.maps["settings"].Put(uint32(0), abi.Settings{FlowInterval: units}); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kernel) close() {
	for _, m := range k.maps {
		m.Close()
	}
}

func (k *kernel) endpoint(a netip.Addr, e abi.Endpoint) {
	k.t.Helper()
	if err := k.maps["endpoints"].Put(abi.FromAddr(a), e); err != nil {
		k.t.Fatal(err)
	}
}

// stub is a policy in place of policy_egress or policy_ingress.
type stub asm.Instructions

// answer is a policy that always says the same.
func answer(rule int, allow bool) stub {
	return stub{asm.Mov.Imm(asm.R0, policyAnswer(rule, allow)), asm.Return()}
}

// onlyPort is a policy that allows one protocol and port by a rule, and denies the rest.
func onlyPort(proto uint8, port uint16, rule int) stub {
	return stub{
		asm.JEq.Imm(asm.R1, 0, "deny"), // the verifier wants the pointer checked
		asm.LoadMem(asm.R2, asm.R1, 8, asm.Word),
		asm.JNE.Imm(asm.R2, int32(proto)<<16|int32(port), "deny"),
		asm.Mov.Imm(asm.R0, policyAnswer(rule, true)),
		asm.Return(),
		asm.Mov.Imm(asm.R0, policyAnswer(0, false)).WithSymbol("deny"),
		asm.Return(),
	}
}

// onlyIdentity is a policy that allows one peer by a rule, and denies the rest.
func onlyIdentity(identity uint32, rule int) stub {
	return stub{
		asm.JEq.Imm(asm.R1, 0, "deny"),
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word),
		asm.JNE.Imm(asm.R2, int32(identity), "deny"),
		asm.Mov.Imm(asm.R0, policyAnswer(rule, true)),
		asm.Return(),
		asm.Mov.Imm(asm.R0, policyAnswer(0, false)).WithSymbol("deny"),
		asm.Return(),
	}
}

func policyAnswer(rule int, allow bool) int32 {
	if allow {
		return int32(rule<<8 | abi.VerdictAllow)
	}
	return int32(rule<<8 | abi.VerdictDeny)
}

// level is what is told of a container: the default is flows, as in package policy.
type level string

func (l level) number() uint8 {
	return map[level]uint8{"none": abi.LevelNone, "drops": abi.LevelDrops, "": abi.LevelFlows, "flows": abi.LevelFlows,
		"packets": abi.LevelPackets}[l]
}

// options are what a container's programs are loaded with beside its addresses.
type options struct {
	features features
	closed   bool            // nothing but ARP and ND
	revision uint32          // 0: 1
	policies map[string]stub // by function
	host     int             // ifindex of the host-side veth, 0: the container's

	enforcement uint8 // abi.Enforce, Audit or Learn
	level       level
	capture     uint32
}

// load loads a container's programs and writes its slots.
func (k *kernel) load(c container, o options) pair {
	k.t.Helper()
	p, err := k.tryLoad(c, o)
	if err != nil {
		var v *ebpf.VerifierError
		if errors.As(err, &v) {
			k.t.Fatalf("%+v", v)
		}
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() {
		p.egress.Close()
		p.ingress.Close()
	})
	for name, prog := range map[string]*ebpf.Program{"egress_slots": p.egress, "ingress_slots": p.ingress} {
		if err := k.maps[name].Put(c.slot, prog); err != nil {
			k.t.Fatal(err)
		}
	}
	return p
}

func (k *kernel) tryLoad(c container, o options) (pair, error) {
	spec := k.spec.Copy()
	if err := c.constants(spec, o); err != nil {
		return pair{}, err
	}
	var p pair
	for name, policy := range o.policies {
		for _, prog := range spec.Programs {
			prog.Instructions = splice(prog.Instructions, name, policy)
		}
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: k.linked(spec)})
	if err != nil {
		return p, err
	}
	defer coll.Close()
	suffix := ""
	if o.closed {
		suffix = "_closed"
	}
	p.egress, p.ingress = coll.DetachProgram("egress"+suffix), coll.DetachProgram("ingress"+suffix)
	return p, nil
}

// linked are the maps of an object.
func (k *kernel) linked(spec *ebpf.CollectionSpec) map[string]*ebpf.Map {
	linked := map[string]*ebpf.Map{}
	for name := range spec.Maps {
		if k.maps[name] != nil {
			linked[name] = k.maps[name]
		}
	}
	return linked
}

// constants sets the constants of bpf/abi/config.h.
func (c container) constants(spec *ebpf.CollectionSpec, o options) error {
	hostIfindex := c.ifindex
	if o.host != 0 {
		hostIfindex = o.host
	}
	values := map[string]any{
		"LEVEL": o.level.number(), "CAPTURE": o.capture,
		"SLOT": c.slot, "IDENTITY": c.identity, "NETWORK": c.network, "REVISION": max(o.revision, 1),
		"JUDGEMENT": max(o.revision, 1), "ENFORCEMENT": o.enforcement,
		"HOST_IFINDEX": uint32(hostIfindex), "CONTAINER_MAC": number(c.mac), "HOST_MAC": number(c.hostMAC),
		"GATEWAY4": abi.FromAddr(c.gw4), "GATEWAY6": abi.FromAddr(c.gw6),
	}
	if o.enforcement == abi.Learn {
		values["JUDGEMENT"] = max(o.revision, 1) | abi.RevisionLearned
	}
	if o.features["IPV4"] {
		values["ADDRESS4"], values["SUBNET4"] = abi.FromAddr(c.ip4.Addr()), abi.FromAddr(c.ip4.Masked().Addr())
		values["SUBNET4_BITS"] = uint32(c.ip4.Bits())
	}
	if o.features["IPV6"] {
		values["ADDRESS6"], values["SUBNET6"] = abi.FromAddr(c.ip6.Addr()), abi.FromAddr(c.ip6.Masked().Addr())
		values["SUBNET6_BITS"] = uint32(c.ip6.Bits())
	}
	for name, on := range o.features {
		if on {
			values["FEATURE_"+name] = uint8(1)
		}
	}
	for name, v := range values {
		if err := spec.Variables[name].Set(v); err != nil {
			return err
		}
	}
	return nil
}

func number(mac net.HardwareAddr) uint64 {
	var b [8]byte
	copy(b[:], mac)
	return binary.NativeEndian.Uint64(b[:])
}

// splice puts a policy in the place of a function.
func splice(insns asm.Instructions, name string, policy stub) asm.Instructions {
	for i := range insns {
		if insns[i].Symbol() != name {
			continue
		}
		end := i + 1
		for end < len(insns) && (insns[end].Symbol() == "" || insns[end].Symbol()[0] == '.' || insns[end].Symbol()[0] == 'L') {
			end++
		}
		body := append(asm.Instructions{asm.Mov.Imm(asm.R0, 0)}, policy...) // metadata also holds a jump's target
		body[0].Metadata = insns[i].Metadata
		return append(append(append(asm.Instructions(nil), insns[:i]...), body...), insns[end:]...)
	}
	return insns
}

// context is struct __sk_buff, as far as a test run may set it.
type context struct {
	Len, PktType, Mark, QueueMapping, Protocol, VlanPresent, VlanTCI, VlanProto, Priority uint32
	IngressIfindex, Ifindex, TcIndex                                                      uint32
	CB                                                                                    [5]uint32
	Hash, TcClassid, Data, DataEnd, NapiID, Family                                        uint32
	Rest                                                                                  [104]byte
}

// from is what the sender's program leaves for the receiver's.
func from(c container) [5]uint32 { return [5]uint32{abi.OriginContainer, c.identity, c.network} }

var (
	fromStack  = [5]uint32{}
	fromUplink = [5]uint32{abi.OriginUplink, abi.IdentityWorld}
)

// run gives a packet to a program and returns its verdict and the packet afterwards.
func (k *kernel) run(p *ebpf.Program, packet []byte, cb [5]uint32) (uint32, []byte) {
	k.t.Helper()
	verdict, out, err := tryRun(p, packet, cb)
	if err != nil {
		k.t.Fatal(err)
	}
	return verdict, out
}

func tryRun(p *ebpf.Program, packet []byte, cb [5]uint32) (uint32, []byte, error) {
	o := runOptions(packet)
	o.Context = context{CB: cb}
	verdict, err := p.Run(o)
	return verdict, o.DataOut, err
}

func runOptions(packet []byte) *ebpf.RunOptions {
	return &ebpf.RunOptions{Data: packet, DataOut: make([]byte, len(packet)+256)}
}

// counted returns how many packets the programs counted by direction and reason (abi.DropNone: forwarded).
func (k *kernel) counted(direction int, reason abi.DropReason) uint64 {
	k.t.Helper()
	var perCPU []abi.Counter
	if err := k.maps["metrics"].Lookup(uint32(direction*abi.DropReasons+int(reason)), &perCPU); err != nil {
		k.t.Fatal(err)
	}
	var n uint64
	for _, c := range perCPU {
		n += c.Packets
	}
	return n
}

// reasonOf runs a packet and returns the verdict and the one reason that was counted for it.
func (k *kernel) reasonOf(p *ebpf.Program, direction int, packet []byte, cb [5]uint32) (uint32, abi.DropReason, []byte) {
	k.t.Helper()
	before := k.metrics(direction)
	verdict, out := k.run(p, packet, cb)
	for r, n := range k.metrics(direction) {
		if n != before[r] && (r != 0 || verdict != tcDrop) {
			return verdict, abi.DropReason(r), out
		}
	}
	k.t.Fatalf("verdict %d was not counted", verdict)
	return 0, 0, nil
}

func (k *kernel) metrics(direction int) (all [abi.DropReasons]uint64) {
	k.t.Helper()
	for r := range all {
		all[r] = k.counted(direction, abi.DropReason(r))
	}
	return all
}

// flow returns the entry of a connection, or nil.
func (k *kernel) flow(a, b netip.AddrPort, proto uint8) *abi.Flow {
	k.t.Helper()
	key, _ := abi.NewTuple(a, b, proto)
	var f abi.Flow
	err := k.flows(proto).Lookup(key, &f)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	if err != nil {
		k.t.Fatal(err)
	}
	return &f
}

// change edits the entry of a connection.
func (k *kernel) change(a, b netip.AddrPort, proto uint8, edit func(*abi.Flow)) {
	k.t.Helper()
	f := k.flow(a, b, proto)
	if f == nil {
		k.t.Fatalf("no flow %v %v", a, b)
	}
	edit(f)
	key, _ := abi.NewTuple(a, b, proto)
	if err := k.flows(proto).Put(key, f); err != nil {
		k.t.Fatal(err)
	}
}

// mustTuple is the key of a flow.
func mustTuple(a, b netip.AddrPort, proto uint8) abi.Tuple {
	key, _ := abi.NewTuple(a, b, proto)
	return key
}

func (k *kernel) flows(proto uint8) *ebpf.Map {
	if proto == tcp {
		return k.maps["flows_tcp"]
	}
	return k.maps["flows_any"]
}
