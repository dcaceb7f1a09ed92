package compile

import (
	"github.com/cilium/ebpf/asm"

	"github.com/sluice-net/sluice/policy"
)

// Offsets in struct policy_input (bpf/abi/policy.h).
const (
	offIdentity  = 0
	offClass     = 4
	offProtoPort = 8
	offAddrHi    = 16
	offAddrLo    = 24
)

// The tree's registers beside R1, the question.
const (
	regIdentity = asm.R2 // then the class
	regKey      = asm.R3 // protocol<<16 | port
	regLo       = asm.R4 // of the peer's address, or IPv4 address
	regHi       = asm.R5
	regConst    = asm.R0 // constants of 64 bits
)

// treeSize bounds the number of instruction slots that compileTree emits for n.
func (n *normal) treeSize() int {
	size := 16 + 3*len(n.peers) + 2*len(n.world4) + 8*len(n.world6)
	for _, p := range n.profiles {
		size += 3 * len(p)
	}
	return size
}

// compileTree emits comparisons only. Whatever names a profile jumps to the one place where its tree stands.
func compileTree(n *normal) (*Function, error) {
	a := &assembler{}
	fail := a.newLabel()
	profiles := make([]label, len(n.profiles))
	for i := range profiles {
		profiles[i] = a.newLabel()
	}
	a.ifZero(asm.R1, fail) // the verifier checks the function for any caller
	a.emit(
		asm.LoadMem(regIdentity, asm.R1, offIdentity, asm.Word),
		asm.LoadMem(regKey, asm.R1, offProtoPort, asm.Word))
	if len(n.peers) > 0 {
		unlisted := a.newLabel()
		a.peers(n.peers, profiles, unlisted)
		a.place(unlisted)
	}
	a.classes(n, profiles)
	used := n.used()
	for i, p := range n.profiles {
		if used[i] { // the kernel refuses what nothing jumps to
			a.place(profiles[i])
			a.profile(p)
		}
	}
	a.place(fail)
	a.answer(answer(policy.Deny))
	return a.finish()
}

// used are the profiles that some peer has. The world's default has none if the ranges cover every address.
func (n *normal) used() map[int]bool {
	used := map[int]bool{}
	for c := range policy.ClassWorld {
		used[n.defaults[c]] = true
	}
	for _, p := range n.peers {
		used[p.profile] = true
	}
	for _, s := range n.world4 {
		used[s.profile] = true
	}
	for _, s := range n.world6 {
		used[s.profile] = true
	}
	return used
}

// peers emits the tree over the identities: halving, then one test for equality.
func (a *assembler) peers(ps []peer, profiles []label, unlisted label) {
	if len(ps) == 1 {
		a.if32(asm.JEq, regIdentity, ps[0].id, profiles[ps[0].profile])
		a.always(unlisted)
		return
	}
	mid, upper := len(ps)/2, a.newLabel()
	a.if32(asm.JGE, regIdentity, ps[mid].id, upper)
	a.peers(ps[:mid], profiles, unlisted)
	a.place(upper)
	a.peers(ps[mid:], profiles, unlisted)
}

// classes emits what holds for peers that are not listed.
func (a *assembler) classes(n *normal, profiles []label) {
	a.emit(asm.LoadMem(regIdentity, asm.R1, offClass, asm.Word))
	for c := range policy.ClassWorld {
		a.if32(asm.JEq, regIdentity, uint32(c), profiles[n.defaults[c]])
	}
	if len(n.world4) == 1 && len(n.world6) == 1 && n.world4[0].profile == n.world6[0].profile {
		a.always(profiles[n.world4[0].profile])
		return
	}
	v6 := a.newLabel()
	a.splitFamilies(v6)
	a.spans4(n.world4, profiles)
	a.place(v6)
	a.spans6(n.world6, profiles)
}

// splitFamilies loads the address and jumps to v6 unless it is IPv4; then the lower half of regLo is the address.
func (a *assembler) splitFamilies(v6 label) {
	a.emit(
		asm.LoadMem(regLo, asm.R1, offAddrLo, asm.DWord),
		asm.LoadMem(regHi, asm.R1, offAddrHi, asm.DWord))
	a.jump(asm.Instruction{OpCode: asm.JNE.Op(asm.ImmSource), Dst: regHi}, v6)
	a.emit(asm.Mov.Reg(regConst, regLo), asm.RSh.Imm(regConst, 32))
	a.jump(asm.Instruction{OpCode: asm.JNE.Op(asm.ImmSource), Dst: regConst, Constant: 0xffff}, v6)
}

func (a *assembler) spans4(ss []span4, profiles []label) {
	if len(ss) == 1 {
		a.always(profiles[ss[0].profile])
		return
	}
	mid := len(ss) / 2
	if len(ss)-mid == 1 { // the upper half is one span: jump there at once
		a.if32(asm.JGE, regLo, ss[mid].from, profiles[ss[mid].profile])
		a.spans4(ss[:mid], profiles)
		return
	}
	upper := a.newLabel()
	a.if32(asm.JGE, regLo, ss[mid].from, upper)
	a.spans4(ss[:mid], profiles)
	a.place(upper)
	a.spans4(ss[mid:], profiles)
}

func (a *assembler) spans6(ss []span6, profiles []label) {
	if len(ss) == 1 {
		a.always(profiles[ss[0].profile])
		return
	}
	mid, lower, upper := len(ss)/2, a.newLabel(), a.newLabel()
	from := ss[mid].from
	a.emit(asm.LoadImm(regConst, int64(from.hi), asm.DWord))
	a.ifReg(asm.JGT, regHi, regConst, upper)
	if from.lo == 0 {
		a.ifReg(asm.JEq, regHi, regConst, upper)
	} else {
		a.ifReg(asm.JNE, regHi, regConst, lower)
		a.emit(asm.LoadImm(regConst, int64(from.lo), asm.DWord))
		a.ifReg(asm.JGE, regLo, regConst, upper)
	}
	a.place(lower)
	a.spans6(ss[:mid], profiles)
	a.place(upper)
	a.spans6(ss[mid:], profiles)
}

// profile emits the tree over protocol and port.
func (a *assembler) profile(ivs []interval) {
	if len(ivs) == 1 {
		a.answer(ivs[0].answer)
		return
	}
	mid, upper := len(ivs)/2, a.newLabel()
	a.if32(asm.JGE, regKey, ivs[mid].from, upper)
	a.profile(ivs[:mid])
	a.place(upper)
	a.profile(ivs[mid:])
}
