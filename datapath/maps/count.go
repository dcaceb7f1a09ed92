package maps

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/cilium/ebpf"
)

// Countable tells whether a map's entries come and go, so that it can be full.
func Countable(m *ebpf.Map) bool { return m.Type() == ebpf.Hash || m.Type() == ebpf.LRUHash }

// Count returns how many entries a hash has. It visits all of them: 100,000 take some 50 ms.
func Count(m *ebpf.Map) (int, error) {
	if !Countable(m) {
		return 0, fmt.Errorf("count map %s: it is no hash but a %s", name(m), m.Type())
	}
	var cursor ebpf.MapBatchCursor
	size, total := batchSize, 0
	keys, values := octets(m.KeySize(), size), octets(m.ValueSize(), size)
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		switch end := errors.Is(err, ebpf.ErrKeyNotExist); {
		case isFull(err) && size < int(m.MaxEntries())*2:
			size *= 2
			keys, values = octets(m.KeySize(), size), octets(m.ValueSize(), size)
			continue
		case err != nil && !end:
			return total, fmt.Errorf("count map %s: %w", name(m), err)
		default:
			if total += n; end {
				return total, nil
			}
		}
	}
}

// octets returns a slice of arrays of bytes, for entries that nobody looks into.
func octets(size uint32, n int) any {
	element := reflect.ArrayOf(int(size), reflect.TypeFor[byte]())
	return reflect.MakeSlice(reflect.SliceOf(element), n, n).Interface()
}
