package datapath

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cilium/ebpf"
)

// instructionSize is that of one BPF instruction in the kernel, bytes.
const instructionSize = 8

// Instructions returns how many instructions the two programs in a slot have, as the kernel runs them: without what the
// verifier removed. It is 0 for an empty slot.
func (l *Loader) Instructions(slot uint32) (int, error) {
	if err := l.checkSlot(slot); err != nil {
		return 0, err
	}
	total := 0
	for _, array := range []string{egressSlots, ingressSlots} {
		var id uint32
		err := l.maps.get(array).Lookup(slot, &id)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			continue
		}
		var size int
		if err == nil {
			size, err = programSize(ebpf.ProgramID(id))
		}
		if err != nil {
			return 0, fmt.Errorf("measure program in slot %d of %s: %w", slot, array, err)
		}
		total += size / instructionSize
	}
	return total, nil
}

func programSize(id ebpf.ProgramID) (int, error) {
	p, err := ebpf.NewProgramFromID(id)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // replaced meanwhile
	}
	if err != nil {
		return 0, err
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return 0, err
	}
	return info.TranslatedSize()
}
