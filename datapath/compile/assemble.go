package compile

import (
	"fmt"
	"math"

	"github.com/cilium/ebpf/asm"
)

// label is a place in the function that jumps lead to.
type label int

// assembler collects instructions and resolves jumps by number: the symbols of the whole program stay untouched, and
// thousands of jumps need no names.
type assembler struct {
	insns  asm.Instructions
	slots  []int  // slots[i] is the slot of instruction i
	next   int    // the next free slot
	target []int  // label → slot, -1: not placed
	jumps  []jump // to resolve
	loads  []int  // instructions that load the map's address
}

type jump struct {
	insn int
	to   label
}

func (a *assembler) newLabel() label {
	a.target = append(a.target, -1)
	return label(len(a.target) - 1)
}

// place makes l the address of the next instruction.
func (a *assembler) place(l label) { a.target[l] = a.next }

func (a *assembler) emit(insns ...asm.Instruction) {
	for _, in := range insns {
		a.insns = append(a.insns, in)
		a.slots = append(a.slots, a.next)
		a.next += int(in.Size() / asm.InstructionSize)
	}
}

// jump emits a jump instruction to l.
func (a *assembler) jump(in asm.Instruction, l label) {
	a.jumps = append(a.jumps, jump{len(a.insns), l})
	a.emit(in)
}

func (a *assembler) always(l label) { a.jump(asm.Instruction{OpCode: asm.Ja.Op(asm.ImmSource)}, l) }

// if32 jumps to l if the lower half of reg compares with value.
func (a *assembler) if32(op asm.JumpOp, reg asm.Register, value uint32, l label) {
	code := asm.OpCode(asm.Jump32Class).SetJumpOp(op).SetSource(asm.ImmSource)
	a.jump(asm.Instruction{OpCode: code, Dst: reg, Constant: int64(int32(value))}, l)
}

// ifZero jumps to l if all of reg is zero.
func (a *assembler) ifZero(reg asm.Register, l label) {
	a.jump(asm.Instruction{OpCode: asm.JEq.Op(asm.ImmSource), Dst: reg}, l)
}

// ifReg jumps to l if dst compares with src.
func (a *assembler) ifReg(op asm.JumpOp, dst, src asm.Register, l label) {
	a.jump(asm.Instruction{OpCode: op.Op(asm.RegSource), Dst: dst, Src: src}, l)
}

// answer emits the end of the function.
func (a *assembler) answer(v answer) {
	a.emit(asm.Mov.Imm32(asm.R0, int32(v)), asm.Return())
}

// loadData emits the load of the address of the map's value at offset.
func (a *assembler) loadData(dst asm.Register, offset uint32) {
	a.loads = append(a.loads, len(a.insns))
	a.emit(asm.LoadMapValue(dst, 0, offset))
}

// finish resolves the jumps.
func (a *assembler) finish() (*Function, error) {
	for _, j := range a.jumps {
		to := a.target[j.to]
		if to < 0 {
			return nil, fmt.Errorf("compile policy: jump at %d leads nowhere", j.insn)
		}
		offset := to - a.slots[j.insn] - 1
		if offset > math.MaxInt16 || offset < math.MinInt16 {
			return nil, fmt.Errorf("compile policy: jump over %d instructions", offset)
		}
		a.insns[j.insn].Offset = int16(offset)
	}
	return &Function{insns: a.insns, loads: a.loads}, nil
}
