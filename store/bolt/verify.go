package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/sluice-net/sluice/store"
)

// guard runs f and turns what a damaged file provokes into ErrCorrupt: bbolt's panics, and faults from reading the
// mapping past the end of the file.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", store.ErrCorrupt, r)
		}
	}()
	return f()
}

// file is an open bbolt database with its descriptor.
type file struct {
	*bbolt.DB
	fd *os.File
}

// openFile opens a bbolt file; when bbolt panics on the way, the descriptor with its lock is not left behind.
func openFile(path string, o *bbolt.Options) (f file, err error) {
	o.OpenFile = func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
		f.fd, err = os.OpenFile(name, flag, mode)
		return f.fd, err
	}
	err = guard(func() (err error) {
		f.DB, err = bbolt.Open(path, 0o600, o)
		return err
	})
	if err == nil {
		return f, nil
	}
	if errors.Is(err, store.ErrCorrupt) && f.fd != nil {
		f.fd.Close()
	}
	for _, damage := range []error{berrors.ErrInvalid, berrors.ErrChecksum, berrors.ErrVersionMismatch, io.EOF,
		io.ErrUnexpectedEOF, berrors.ErrInvalidMapping} {
		if errors.Is(err, damage) {
			return file{}, fmt.Errorf("%w: %v", store.ErrCorrupt, err)
		}
	}
	return file{}, err
}

// verify reads the whole file without being able to change it.
func verify(path string, timeout time.Duration) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	if info.Size() < int64(2*os.Getpagesize()) {
		return fmt.Errorf("%w: truncated to %d bytes", store.ErrCorrupt, info.Size())
	}
	db, err := openFile(path, &bbolt.Options{Timeout: timeout, ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		return err
	}
	defer db.Close()
	return guard(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			// Its size may have grown between Stat and the lock; only a file that is too short matters.
			if info, err := os.Stat(path); err != nil {
				return err
			} else if tx.Size() > info.Size() {
				return fmt.Errorf("%w: truncated: %d of %d bytes", store.ErrCorrupt, info.Size(), tx.Size())
			}
			for _, check := range []func(*bbolt.Tx) error{verifyPages, verifyBuckets, verifyTree} {
				if err := check(tx); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// verifyPages makes sure that no page claims to go on behind the end, which the later checks rely on.
func verifyPages(tx *bbolt.Tx) error {
	for id := 0; ; id++ {
		page, err := tx.Page(id)
		if err != nil {
			return err
		}
		if page == nil {
			return nil
		}
		if page.Type == "free" {
			continue
		}
		id += page.OverflowCount
		if last, err := tx.Page(id); err != nil || last == nil {
			return fmt.Errorf("%w: page %d ends behind the last one", store.ErrCorrupt, page.ID)
		}
	}
}

// verifyTree compares the tree of pages with the list of free ones. It reads in a goroutine of bbolt's that guard does
// not protect, and so only after verifyPages and verifyBuckets have read the same.
func verifyTree(tx *bbolt.Tx) error {
	var first error
	for err := range tx.Check() {
		if first == nil {
			first = fmt.Errorf("%w: %v", store.ErrCorrupt, err)
		}
	}
	return first
}

func verifyBuckets(tx *bbolt.Tx) error {
	meta, data := tx.Bucket(bucketMeta), tx.Bucket(bucketData)
	if meta == nil || data == nil {
		return fmt.Errorf("%w: not a file of Sluice", store.ErrCorrupt)
	}
	raw := meta.Get(keySchema)
	if len(raw) != 8 {
		return fmt.Errorf("%w: it has no schema version", store.ErrCorrupt)
	}
	if version := binary.BigEndian.Uint64(raw); version > Schema {
		return fmt.Errorf("%w: it has version %d and this Sluice knows %d: install the version that wrote it",
			store.ErrSchema, version, Schema)
	}
	return scan(data, "", func(store.Entry) {})
}
