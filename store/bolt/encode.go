package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"

	"github.com/sluice-net/sluice/store"
)

// header is the length of what stands before a value: revision and checksum, big-endian.
const header = 8 + 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeUint(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func encode(key []byte, revision uint64, value []byte) []byte {
	raw := make([]byte, header, header+len(value))
	binary.BigEndian.PutUint64(raw, revision)
	raw = append(raw, value...)
	binary.BigEndian.PutUint32(raw[8:], checksum(key, raw))
	return raw
}

func checksum(key, raw []byte) uint32 {
	sum := crc32.Update(0, castagnoli, key)
	sum = crc32.Update(sum, castagnoli, raw[:8])
	return crc32.Update(sum, castagnoli, raw[header:])
}

// decode copies an entry out of the file's mapping.
func decode(key, raw []byte) (store.Entry, error) {
	if len(raw) < header || binary.BigEndian.Uint32(raw[8:]) != checksum(key, raw) {
		return store.Entry{}, fmt.Errorf("%w: checksum of %q does not match", store.ErrCorrupt, key)
	}
	return store.Entry{
		Key:      string(key),
		Value:    append([]byte{}, raw[header:]...),
		Revision: binary.BigEndian.Uint64(raw),
	}, nil
}

func revision(b *bbolt.Bucket, key string) (uint64, error) {
	raw := b.Get([]byte(key))
	if raw == nil {
		return 0, nil
	}
	e, err := decode([]byte(key), raw)
	return e.Revision, err
}

func scan(b *bbolt.Bucket, prefix string, visit func(store.Entry)) error {
	c := b.Cursor()
	for k, v := c.Seek([]byte(prefix)); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
		e, err := decode(k, v)
		if err != nil {
			return err
		}
		visit(e)
	}
	return nil
}
