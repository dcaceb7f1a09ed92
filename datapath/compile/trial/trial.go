package trial

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
)

// Function is a compiled policy (implemented by compile.Function).
type Function interface {
	// Instructions are those of the function in the place of stub, linked to the map of its data, which may be nil.
	Instructions(stub asm.Instruction, data asm.FDer) (asm.Instructions, error)
}

// Question is struct policy_input of bpf/abi/policy.h.
type Question struct {
	Identity identity.ID
	Class    policy.Class
	Key      uint32 // protocol << 16 | port
	Addr     netip.Addr
}

const inputSize = 32 // of struct policy_input, bytes

// Questions is how many questions Cost mixes: each time the program draws one of them.
const Questions = 64

func (q Question) bytes() []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(q.Identity))
	b = binary.NativeEndian.AppendUint32(b, uint32(q.Class))
	b = binary.NativeEndian.AppendUint32(b, q.Key)
	b = binary.NativeEndian.AppendUint32(b, 0)
	a := q.Addr.As16()
	b = binary.NativeEndian.AppendUint64(b, binary.BigEndian.Uint64(a[:8]))
	return binary.NativeEndian.AppendUint64(b, binary.BigEndian.Uint64(a[8:]))
}

// Program is a loaded function.
type Program struct{ p *ebpf.Program }

// Load loads a classifier that passes one of the questions in its packet to the function and returns the answer. content is the
// function's data, nil if it has none.
func Load(f Function, content []byte) (*Program, error) {
	var data *ebpf.Map
	if content != nil {
		var err error
		if data, err = frozen(content); err != nil {
			return nil, fmt.Errorf("load policy data: %w", err)
		}
		defer data.Close() // the program holds it
	}
	caller, stub := frame()
	spliced, err := f.Instructions(stub, data)
	if err != nil {
		return nil, err
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "ask", Type: ebpf.SchedCLS, License: "GPL", Instructions: append(caller, spliced...)})
	if err != nil {
		return nil, fmt.Errorf("load policy function: %w", err)
	}
	return &Program{p}, nil
}

// frame is the program around the function, and the first instruction of what the function replaces.
func frame() (caller asm.Instructions, stub asm.Instruction) {
	u32 := &btf.Int{Name: "u32", Size: 4}
	input := &btf.Struct{Name: "policy_input", Size: inputSize, Members: []btf.Member{
		{Name: "words", Type: &btf.Array{Index: u32, Type: u32, Nelems: inputSize / 4}}}}
	answer := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	fn := func(name string, arg btf.Type) *btf.Func {
		return &btf.Func{Name: name, Linkage: btf.GlobalFunc, Type: &btf.FuncProto{
			Return: answer, Params: []btf.FuncParam{{Name: "in", Type: &btf.Pointer{Target: arg}}}}}
	}
	caller = asm.Instructions{
		btf.WithFuncMetadata(asm.Mov.Reg(asm.R6, asm.R1), fn("ask", &btf.Struct{Name: "__sk_buff", Size: 192})).
			WithSymbol("ask").WithSource(asm.Comment("ask")),
		asm.FnGetPrandomU32.Call(),
		asm.Mov.Reg(asm.R2, asm.R0),
		asm.And.Imm(asm.R2, Questions-1),
		asm.LSh.Imm(asm.R2, 5), // by inputSize
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Reg(asm.R3, asm.R10),
		asm.Add.Imm(asm.R3, -inputSize),
		asm.Mov.Imm(asm.R4, inputSize),
		asm.FnSkbLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, "out"),
		asm.Mov.Reg(asm.R1, asm.R10),
		asm.Add.Imm(asm.R1, -inputSize),
		asm.Call.Label("policy_egress"),
		asm.Return().WithSymbol("out"),
	}
	stub = btf.WithFuncMetadata(asm.Return(), fn("policy_egress", input)).WithSymbol("policy_egress").WithSource(asm.Comment("policy"))
	return caller, stub
}

func frozen(data []byte) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: uint32(len(data)), MaxEntries: 1,
		Flags: unix.BPF_F_RDONLY_PROG, Contents: []ebpf.MapKV{{Key: uint32(0), Value: data}}})
	if err != nil {
		return nil, err
	}
	if err := m.Freeze(); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Close unloads the program.
func (p *Program) Close() error { return p.p.Close() }

// Ask returns the answer: rule << 8 | verdict.
func (p *Program) Ask(q Question) (uint32, error) {
	return p.p.Run(&ebpf.RunOptions{Data: bytes.Repeat(q.bytes(), Questions)})
}

// Cost asks the questions in an order that no processor foresees, so often in all, and returns what one answer took, the
// program around the function included.
func (p *Program) Cost(questions [Questions]Question, times int) (time.Duration, error) {
	var packet []byte
	for _, q := range questions {
		packet = append(packet, q.bytes()...)
	}
	_, took, err := p.p.Benchmark(packet, times, nil)
	return took, err
}
