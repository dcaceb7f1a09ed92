package datapath

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
)

// Mixed is what Loaded says of a slot whose programs must be made anew: the two were made from different Programs, since
// a replacement was cut short, or by something else, or they lead to shared programs of another version, such as those
// for another range of masquerade ports. It is no Program's fingerprint.
const Mixed = "mixed"

// Loaded returns the fingerprint of what runs in every slot that is not empty. It reads the kernel: the constants of the
// very programs that packets meet.
func (l *Loader) Loaded() (map[uint32]string, error) {
	out := map[uint32]string{}
	for slot := range l.Slots() {
		egress, err := l.fingerprintIn(egressSlots, slot)
		if err != nil {
			return nil, err
		}
		ingress, err := l.fingerprintIn(ingressSlots, slot)
		if err != nil {
			return nil, err
		}
		switch {
		case egress == "" && ingress == "":
		case egress == ingress:
			out[slot] = egress
		default:
			out[slot] = Mixed
		}
	}
	return out, nil
}

// fingerprintIn is empty for an empty slot.
func (l *Loader) fingerprintIn(array string, slot uint32) (string, error) {
	var id uint32
	err := l.maps.get(array).Lookup(slot, &id)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read slot %d of %s: %w", slot, array, err)
	}
	constants, err := constantsOf(ebpf.ProgramID(id))
	if err != nil {
		return "", fmt.Errorf("read program in slot %d of %s: %w", slot, array, err)
	}
	print, version := l.container.read("FINGERPRINT", constants), l.container.read("VERSION", constants)
	if bytes.Count(print, []byte{0}) == len(print) || !bytes.Equal(version, u32(l.version)) {
		return Mixed, nil
	}
	return hex.EncodeToString(print), nil
}

// read returns the value of a constant; nil if constants are those of an object that lacks it.
func (t *template) read(name string, constants []byte) []byte {
	v, ok := t.vars[name]
	if !ok || int(v.offset+v.size) > len(constants) {
		return nil
	}
	return constants[v.offset : v.offset+v.size]
}

// constantsOf reads the constants of a loaded program; nil if it has none.
func constantsOf(id ebpf.ProgramID) ([]byte, error) {
	ids, err := mapsOf(id)
	if err != nil {
		return nil, err
	}
	for _, mapID := range ids {
		m, err := ebpf.NewMapFromID(mapID)
		if err != nil {
			return nil, err
		}
		data, found, err := readConstants(m)
		m.Close()
		if found || err != nil {
			return data, err
		}
	}
	return nil, nil
}

func readConstants(m *ebpf.Map) (data []byte, found bool, err error) {
	info, err := m.Info()
	if err != nil || info.Name != constantsMap {
		return nil, false, err
	}
	data, err = m.LookupBytes(uint32(0))
	return data, true, err
}

// Prune empties the slots that owned refuses and removes the pins of maps that no object has any more, and of shared
// programs of other versions that no slot's program uses any more.
func (l *Loader) Prune(owned func(slot uint32) bool) error {
	var errs []error
	for slot := range l.Slots() {
		if owned(slot) {
			continue
		}
		if err := l.Clear(slot); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, l.maps.prune(sync.OnceValues(l.mapsInSlots)))...)
}

// mapsInSlots are the maps that the programs in the slots use, and no packet is in a program any more that used others.
func (l *Loader) mapsInSlots() (map[ebpf.MapID]bool, error) {
	used := map[ebpf.MapID]bool{}
	for _, array := range []string{egressSlots, ingressSlots} {
		var slot, id uint32
		for entries := l.maps.get(array).Iterate(); entries.Next(&slot, &id); {
			ids, err := mapsOf(ebpf.ProgramID(id))
			if err != nil {
				return nil, fmt.Errorf("read program in slot %d of %s: %w", slot, array, err)
			}
			for _, m := range ids {
				used[m] = true
			}
		}
	}
	return used, l.Settle()
}

func mapsOf(id ebpf.ProgramID) ([]ebpf.MapID, error) {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return nil, err
	}
	ids, _ := info.MapIDs()
	return ids, nil
}
