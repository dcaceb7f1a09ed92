package maps

import (
	"errors"
	"fmt"
	"iter"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// batchSize is how many entries one system call reads. It must hold the fullest bucket of a hash; each pass that finds
// one fuller doubles it.
const batchSize = 1024

// batches yields the entries of a hash, many at a time: it visits every bucket once, so that entries which come and go
// meanwhile disturb nothing. The slices are reused. An error is the last thing that it yields.
func batches[K, V any](m *ebpf.Map) iter.Seq2[batch[K, V], error] {
	return func(yield func(batch[K, V], error) bool) {
		var cursor ebpf.MapBatchCursor
		b := batch[K, V]{make([]K, batchSize), make([]V, batchSize)}
		for {
			n, err := m.BatchLookup(&cursor, b.keys, b.values, nil)
			switch end := errors.Is(err, ebpf.ErrKeyNotExist); {
			case isFull(err) && len(b.keys) < int(m.MaxEntries())*2:
				b = batch[K, V]{make([]K, 2*len(b.keys)), make([]V, 2*len(b.keys))}
				continue
			case err != nil && !end:
				yield(batch[K, V]{}, err)
				return
			case n > 0 && !yield(batch[K, V]{b.keys[:n], b.values[:n]}, nil), end:
				return
			}
		}
	}
}

type batch[K, V any] struct {
	keys   []K
	values []V
}

// remove deletes the key; one that is gone succeeds.
func remove(m *ebpf.Map, key any, what fmt.Stringer) error {
	if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("delete %s from map %s: %w", what, name(m), err)
	}
	return nil
}

func name(m *ebpf.Map) string {
	if info, err := m.Info(); err == nil {
		return info.Name
	}
	return m.String()
}

// isFull tells whether a batch was too small for a bucket.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) }
