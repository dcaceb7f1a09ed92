package compile

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
)

// question is struct policy_input in Go's terms.
type question struct {
	identity identity.ID
	class    policy.Class
	key      uint32
	addr     netip.Addr
}

func (q question) bytes() []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(q.identity))
	b = binary.NativeEndian.AppendUint32(b, uint32(q.class))
	b = binary.NativeEndian.AppendUint32(b, q.key)
	b = binary.NativeEndian.AppendUint32(b, 0)
	n := number(q.addr)
	return binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(b, n.hi), n.lo)
}

// evaluate answers q by reading the table from top to bottom, the plainest way there is.
func evaluate(t *policy.Table, q question) uint32 {
	profile := t.Defaults[q.class]
	if q.class == policy.ClassWorld {
		a := netip.AddrFrom16(q.addr.As16())
		for _, r := range t.CIDRs {
			first, last := netip.AddrFrom16(r.First.As16()), netip.AddrFrom16(r.Last.As16())
			if first.Compare(a) <= 0 && a.Compare(last) <= 0 {
				profile = r.Profile
			}
		}
	}
	for _, ip := range t.Identities {
		if ip.ID == q.identity {
			profile = ip.Profile
		}
	}
	answer := uint32(0)
	for _, e := range profile {
		if e.From <= q.key {
			answer = uint32(e.Rule)<<8 | uint32(e.Verdict)
		}
	}
	return answer
}

// load loads a classifier that passes the first 32 bytes of its packet to the function and returns its answer.
func load(t testing.TB, f *Function, content []byte) *ebpf.Program {
	t.Helper()
	u32 := &btf.Int{Name: "u32", Size: 4}
	input := &btf.Struct{Name: "policy_input", Size: 32, Members: []btf.Member{
		{Name: "words", Type: &btf.Array{Index: u32, Type: u32, Nelems: 8}}}}
	answer := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	fn := func(name string, linkage btf.FuncLinkage, arg btf.Type) *btf.Func {
		return &btf.Func{Name: name, Linkage: linkage, Type: &btf.FuncProto{
			Return: answer, Params: []btf.FuncParam{{Name: "in", Type: &btf.Pointer{Target: arg}}}}}
	}
	insns := asm.Instructions{
		btf.WithFuncMetadata(asm.Mov.Imm(asm.R2, 0), fn("ask", btf.GlobalFunc, &btf.Struct{Name: "__sk_buff", Size: 192})).
			WithSymbol("ask").WithSource(asm.Comment("ask")),
		asm.Mov.Reg(asm.R3, asm.R10),
		asm.Add.Imm(asm.R3, -32),
		asm.Mov.Imm(asm.R4, 32),
		asm.FnSkbLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, "out"),
		asm.Mov.Reg(asm.R1, asm.R10),
		asm.Add.Imm(asm.R1, -32),
		asm.Call.Label("policy_egress"),
		asm.Return().WithSymbol("out"),
	}
	stub := btf.WithFuncMetadata(asm.Return(), fn("policy_egress", btf.GlobalFunc, input)).
		WithSymbol("policy_egress").WithSource(asm.Comment("policy"))
	var data *ebpf.Map
	if content != nil {
		data = frozen(t, content)
		defer data.Close()
	}
	spliced, err := f.Instructions(stub, data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "ask", Type: ebpf.SchedCLS, License: "GPL", Instructions: append(insns, spliced...)})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func frozen(t testing.TB, data []byte) *ebpf.Map {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: uint32(len(data)), MaxEntries: 1,
		Flags: 1 << 7 /* BPF_F_RDONLY_PROG */, Contents: []ebpf.MapKV{{Key: uint32(0), Value: data}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	return m
}

func ask(t testing.TB, p *ebpf.Program, q question) uint32 {
	t.Helper()
	answer, err := p.Run(&ebpf.RunOptions{Data: q.bytes()})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// shape says how large a random table is.
type shape struct{ identities, cidrs, entries int }

func randomProfile(r *rand.Rand, entries int) policy.Profile {
	keys := []uint32{0}
	for range r.IntN(entries + 1) {
		keys = append(keys, r.Uint32()>>(r.IntN(4)*8))
	}
	slices.Sort(keys)
	var p policy.Profile
	for _, k := range slices.Compact(keys) {
		p = append(p, policy.PortVerdict{From: k, Verdict: policy.Verdict(r.IntN(2)), Rule: uint16(r.Uint32() >> (r.IntN(3) * 8))})
	}
	return p
}

func randomAddr(r *rand.Rand) netip.Addr {
	var b [16]byte
	switch r.IntN(4) {
	case 0:
		binary.BigEndian.PutUint64(b[:], r.Uint64())
		binary.BigEndian.PutUint64(b[8:], r.Uint64())
	case 1: // near IPv4, on either side
		binary.BigEndian.PutUint64(b[8:], 0xfffe_ffff_ffff+r.Uint64N(1<<33))
	default:
		b[10], b[11] = 0xff, 0xff
		binary.BigEndian.PutUint32(b[12:], r.Uint32())
	}
	return netip.AddrFrom16(b)
}

func randomTable(r *rand.Rand, s shape) *policy.Table {
	t := &policy.Table{}
	profiles := make([]policy.Profile, 1+r.IntN(8))
	for i := range profiles {
		profiles[i] = randomProfile(r, s.entries)
	}
	pick := func() policy.Profile { return profiles[r.IntN(len(profiles))] }
	for c := range t.Defaults {
		t.Defaults[c] = pick()
	}
	ids := make([]identity.ID, r.IntN(s.identities+1))
	for i := range ids {
		ids[i] = identity.ID(r.Uint32() >> (r.IntN(4) * 8))
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		t.Identities = append(t.Identities, policy.IdentityProfile{ID: id, Profile: pick()})
	}
	ends := make([]netip.Addr, 2*r.IntN(s.cidrs+1))
	for i := range ends {
		ends[i] = randomAddr(r)
	}
	slices.SortFunc(ends, netip.Addr.Compare)
	ends = slices.Compact(ends)
	for i := 0; i+1 < len(ends); i += 2 {
		last := ends[i+1]
		if r.IntN(3) == 0 && i+2 < len(ends) { // touch the next range
			last = ends[i+2].Prev()
		}
		t.CIDRs = append(t.CIDRs, policy.RangeProfile{First: ends[i], Last: last, Profile: pick()})
	}
	return t
}

// randomQuestion aims at the edges of what the table names.
func randomQuestion(r *rand.Rand, t *policy.Table) question {
	q := question{identity: identity.ID(r.Uint32()), class: policy.Class(r.IntN(int(policy.Classes))),
		key: r.Uint32() >> 8, addr: randomAddr(r)}
	if n := len(t.Identities); n > 0 && r.IntN(2) == 0 {
		q.identity = t.Identities[r.IntN(n)].ID + identity.ID(r.IntN(3)) - 1
	}
	if n := len(t.CIDRs); n > 0 && r.IntN(4) > 0 {
		e := t.CIDRs[r.IntN(n)]
		for _, a := range [][]netip.Addr{{e.First, e.First.Prev()}, {e.Last, e.Last.Next()}}[r.IntN(2)] {
			if a.IsValid() && r.IntN(2) == 0 {
				q.addr = a
			}
		}
	}
	p := t.Defaults[r.IntN(len(t.Defaults))]
	if n := len(t.Identities); n > 0 && r.IntN(2) == 0 {
		p = t.Identities[r.IntN(n)].Profile
	}
	if len(p) > 0 && r.IntN(2) == 0 {
		q.key = p[r.IntN(len(p))].From + uint32(r.IntN(3)) - 1
	}
	return q
}
