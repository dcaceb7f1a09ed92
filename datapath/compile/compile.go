package compile

import (
	"fmt"

	"github.com/cilium/ebpf/asm"

	"github.com/sluice-net/sluice/policy"
)

// DefaultLimit is the number of instructions above which a table is searched in a map rather than compiled to a tree.
// There both forms take the verifier about 0.4 ms: a tree costs it 2 µs an instruction, a search hardly more for 5,000
// entries than for 16. The answer takes a tree up to 10 ns and a search 20 to 40 ns.
const DefaultLimit = 192

// maxTree keeps every jump of a tree within the 16 bits of an instruction's offset.
const maxTree = 1<<15 - 1

// Function is a compiled table. It is immutable and may be used by any number of programs at once.
type Function struct {
	insns asm.Instructions
	// loads are the indices of the instructions that load the address of the data.
	loads []int
}

// Compile compiles t. A table whose tree has more than limit instructions gets the searching form, and data is what it
// searches: the value of a one-element array map; for a tree data is nil. Limit 0 means DefaultLimit, a negative limit
// always searches.
func Compile(t *policy.Table, limit int) (f *Function, data []byte, err error) {
	if limit == 0 {
		limit = DefaultLimit
	}
	n, err := normalise(t)
	if err != nil {
		return nil, nil, err
	}
	if n.treeSize() <= min(limit, maxTree) {
		f, err = compileTree(n)
		return f, nil, err
	}
	return compileSearch(n)
}

// Len is the number of instruction slots of the function (a 64-bit load takes two).
func (f *Function) Len() int { return int(f.insns.Size() / asm.InstructionSize) }

// Instructions returns a copy of the function's instructions under the metadata of stub, the first instruction of the
// function that it replaces: its symbol, its BTF and its source line, which the kernel demands of a function's start.
// data is the map that holds what Compile returned beside the function; a tree does not use it.
func (f *Function) Instructions(stub asm.Instruction, data asm.FDer) (asm.Instructions, error) {
	out := make(asm.Instructions, len(f.insns))
	copy(out, f.insns)
	out[0].Metadata = stub.Metadata
	for _, i := range f.loads {
		if err := out[i].AssociateMap(data); err != nil {
			return nil, fmt.Errorf("link function %s to its map: %w", stub.Symbol(), err)
		}
	}
	return out, nil
}
