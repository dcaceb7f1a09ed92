package compile

import (
	"encoding/binary"
	"math/bits"

	"github.com/cilium/ebpf/asm"

	"github.com/sluice-net/sluice/policy"
)

// The searching form has four sorted arrays in one block of data, each total over what is looked up in it:
//
//	peers   {identity u32, profile u32}
//	world4  {first address u32, profile u32}
//	world6  {first address hi u64, lo u64, profile u64}
//	ports   {profile<<32 | first key u64, answer u64}
//
// A search finds the last element that is not above the question. Its steps have no branches, because the verifier
// would follow both sides of each and so visit every element.

// The searching form's registers beside R1, the question.
const (
	regBase  = asm.R0 // start of the array, then the answer
	regPos   = asm.R2 // offset in the array, bytes
	regAsk   = asm.R3 // what is looked up
	regAskLo = asm.R4 // its lower half, for IPv6
	regA     = asm.R5
	regB     = asm.R6
	regC     = asm.R7
	regD     = asm.R8
	regE     = asm.R9
)

// array is one sorted array within the data.
type array struct {
	offset uint32 // of its first element, bytes
	count  int    // of elements
	size   int    // of an element, bytes
}

func compileSearch(n *normal) (*Function, []byte, error) {
	data, peers, world4, world6, ports := layOut(n)
	a := &assembler{}
	fail, ask := a.newLabel(), a.newLabel()
	a.ifZero(asm.R1, fail)
	if peers.count > 0 {
		unlisted := a.newLabel()
		a.emit(asm.LoadMem(regAsk, asm.R1, offIdentity, asm.Word))
		a.search(peers, asm.Word)
		a.emit(asm.LoadMem(regA, regBase, 0, asm.Word))
		a.ifReg(asm.JNE, regA, regAsk, unlisted)
		a.emit(asm.LoadMem(regA, regBase, 4, asm.Word))
		a.always(ask)
		a.place(unlisted)
	}
	a.searchClasses(n, world4, world6, ask)
	a.place(ask) // regA is the profile
	a.emit(
		asm.LoadMem(regAsk, asm.R1, offProtoPort, asm.Word),
		asm.LSh.Imm(regA, 32),
		asm.Or.Reg(regAsk, regA))
	a.search(ports, asm.DWord)
	a.emit(asm.LoadMem(asm.R0, regBase, 8, asm.Word), asm.Return())
	a.place(fail)
	a.answer(answer(policy.Deny))
	f, err := a.finish()
	return f, data, err
}

// searchClasses leaves the profile of a peer that is not listed in regA.
func (a *assembler) searchClasses(n *normal, world4, world6 array, ask label) {
	a.emit(asm.LoadMem(regAsk, asm.R1, offClass, asm.Word))
	for c := range policy.ClassWorld {
		a.emit(asm.Mov.Imm32(regA, int32(n.defaults[c])))
		a.if32(asm.JEq, regAsk, uint32(c), ask)
	}
	v6 := a.newLabel()
	a.splitFamilies(v6)
	a.emit(asm.Mov.Reg32(regAsk, regLo))
	a.search(world4, asm.Word)
	a.emit(asm.LoadMem(regA, regBase, 4, asm.Word))
	a.always(ask)
	a.place(v6)
	a.emit(asm.Mov.Reg(regAsk, regHi))
	a.search6(world6)
	a.emit(asm.LoadMem(regA, regBase, 16, asm.Word))
}

// search leaves the address of the last element whose first field is at most regAsk in regBase; if there is none, of
// the first element. Fields and regAsk are below 2^63.
func (a *assembler) search(arr array, field asm.Size) {
	a.emit(asm.Mov.Imm32(regPos, 0))
	a.loadData(regBase, arr.offset)
	for _, step := range steps(arr.count) {
		bytes := int32(step * arr.size)
		a.emit(
			asm.Mov.Reg(regA, regBase),
			asm.Add.Reg(regA, regPos),
			asm.Add.Imm(regA, bytes),
			asm.LoadMem(regA, regA, 0, field),
			asm.Mov.Reg(regB, regAsk),
			asm.Sub.Reg(regB, regA), // negative: the element is above
			asm.ArSh.Imm(regB, 63),
			asm.Xor.Imm(regB, -1),
			asm.And.Imm(regB, bytes),
			asm.Add.Reg(regPos, regB))
	}
	a.emit(asm.Add.Reg(regBase, regPos))
}

// search6 is search for the numbers of 128 bits regAsk, regAskLo: an element is above when the subtraction borrows.
func (a *assembler) search6(arr array) {
	a.emit(asm.Mov.Imm32(regPos, 0))
	a.loadData(regBase, arr.offset)
	for _, step := range steps(arr.count) {
		bytes := int32(step * arr.size)
		a.emit(
			asm.Mov.Reg(regC, regBase),
			asm.Add.Reg(regC, regPos),
			asm.Add.Imm(regC, bytes),
			asm.LoadMem(regA, regC, 8, asm.DWord))
		a.emit(asm.Mov.Imm32(regB, 0))
		a.borrow(regAskLo, regA)
		a.emit(asm.LoadMem(regC, regC, 0, asm.DWord))
		a.borrow(regAsk, regC)
		a.emit(
			asm.Sub.Imm(regB, 1), // 0 if above, else all ones
			asm.And.Imm(regB, bytes),
			asm.Add.Reg(regPos, regB))
	}
	a.emit(asm.Add.Reg(regBase, regPos))
}

// borrow sets regB to the borrow (0 or 1) of x - y - regB, numbers of 64 bits.
func (a *assembler) borrow(x, y asm.Register) {
	a.emit(
		asm.Mov.Reg(regD, x),
		asm.Sub.Reg(regD, y),
		asm.Sub.Reg(regD, regB), // the difference
		asm.Mov.Reg(regE, x),
		asm.Xor.Imm(regE, -1),
		asm.Mov.Reg(regB, regE),
		asm.Or.Reg(regB, y),
		asm.And.Reg(regB, regD),
		asm.And.Reg(regE, y),
		asm.Or.Reg(regB, regE),
		asm.RSh.Imm(regB, 63))
}

// steps are the strides of a search among count elements: together count-1, so that it never leaves the array.
func steps(count int) []int {
	if count < 2 {
		return nil
	}
	power := 1 << (bits.Len(uint(count)) - 1)
	var out []int
	if rest := count - power; rest > 0 {
		out = append(out, rest)
	}
	for s := power / 2; s > 0; s /= 2 {
		out = append(out, s)
	}
	return out
}

// layOut writes the arrays one after the other.
func layOut(n *normal) (data []byte, peers, world4, world6, ports array) {
	put32, put64 := binary.NativeEndian.AppendUint32, binary.NativeEndian.AppendUint64
	world6 = array{uint32(len(data)), len(n.world6), 24}
	for _, s := range n.world6 {
		data = put64(put64(put64(data, s.from.hi), s.from.lo), uint64(s.profile))
	}
	ports = array{offset: uint32(len(data)), size: 16}
	for i, p := range n.profiles {
		for _, iv := range p {
			data = put64(put64(data, uint64(i)<<32|uint64(iv.from)), uint64(iv.answer))
			ports.count++
		}
	}
	peers = array{uint32(len(data)), len(n.peers), 8}
	for _, p := range n.peers {
		data = put32(put32(data, p.id), uint32(p.profile))
	}
	world4 = array{uint32(len(data)), len(n.world4), 8}
	for _, s := range n.world4 {
		data = put32(put32(data, s.from), uint32(s.profile))
	}
	return data, peers, world4, world6, ports
}
