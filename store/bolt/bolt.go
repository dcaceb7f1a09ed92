package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/sluice-net/sluice/store"
)

// Schema is the version of the file's layout that this package writes.
const Schema = 1

var (
	bucketMeta = []byte("meta")
	bucketData = []byte("data")
	keySchema  = []byte("schema")
)

// Options changes how a file is opened.
type Options struct {
	// LockTimeout is how long another process may take to let go of the file; 0: one second.
	LockTimeout time.Duration
}

// Store is a store.Store in one file.
type Store struct {
	path string
	db   file
	// broken is set when bbolt panicked: its locks may be held for ever, so nothing is asked of it again.
	broken atomic.Pointer[error]

	// write is held from before a write until its changes are queued, so that watchers see the order of the file.
	write   sync.Mutex
	watches map[*watch]struct{}
	closed  bool
}

var _ store.Store = (*Store)(nil)

// Open opens the file, and makes it and its directory where they do not exist. It returns ErrLocked, ErrCorrupt or
// ErrSchema, each with what to do about it.
func Open(path string, o Options) (*Store, error) {
	if o.LockTimeout == 0 {
		o.LockTimeout = time.Second
	}
	if err := create(path); err != nil {
		return nil, fmt.Errorf("create store %s: %w", path, err)
	}
	if err := verify(path, o.LockTimeout); err != nil {
		return nil, explain(path, err)
	}
	db, err := openFile(path, &bbolt.Options{Timeout: o.LockTimeout})
	if err != nil {
		return nil, explain(path, err)
	}
	return &Store{path: path, db: db, watches: map[*watch]struct{}{}}, nil
}

// create makes a missing file complete in one step, so that an empty or partial file at the path always means damage.
func create(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if err := tmp.Close(); err != nil {
		return err
	}
	db, err := openFile(tmp.Name(), &bbolt.Options{})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucket(bucketMeta)
		if err != nil {
			return err
		}
		if _, err := tx.CreateBucket(bucketData); err != nil {
			return err
		}
		return meta.Put(keySchema, encodeUint(Schema))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	// Not a rename: a daemon that started at the same time may already work in its own file.
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// explain adds to an error of opening what the user can do.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("open store %s: %w by %s: another sluiced uses this state; stop it or pass --state-dir",
			path, store.ErrLocked, holder(path))
	case errors.Is(err, store.ErrCorrupt):
		return fmt.Errorf("open store %s: %w. The file was left as it is, and running containers are not touched. "+
			"Restore it from a backup; or remove the containers and networks of Sluice, move the file away "+
			"(mv %s %s.broken) and create them again", path, err, path, path)
	}
	return fmt.Errorf("open store %s: %w", path, err)
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (e store.Entry, err error) {
	err = s.view(ctx, func(b *bbolt.Bucket) error {
		raw := b.Get([]byte(key))
		if raw == nil {
			return store.ErrNotFound
		}
		e, err = decode([]byte(key), raw)
		return err
	})
	if err != nil {
		return store.Entry{}, fmt.Errorf("read %s: %w", key, err)
	}
	return e, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string) (all []store.Entry, err error) {
	err = s.view(ctx, func(b *bbolt.Bucket) error {
		return scan(b, prefix, func(e store.Entry) { all = append(all, e) })
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	return all, nil
}

func (s *Store) view(ctx context.Context, read func(*bbolt.Bucket) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.guard(func() error {
		return closedError(s.db.View(func(tx *bbolt.Tx) error { return read(tx.Bucket(bucketData)) }))
	})
}

// guard runs f unless an earlier call broke the database.
func (s *Store) guard(f func() error) error {
	if err := s.broken.Load(); err != nil {
		return *err
	}
	finished := false
	err := guard(func() error {
		err := f()
		finished = true
		return err
	})
	if !finished {
		s.broken.Store(&err)
	}
	return err
}

func closedError(err error) error {
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return err
}

// Apply implements store.Store.
func (s *Store) Apply(ctx context.Context, ops ...store.Op) error {
	if err := store.Check(ops); err != nil || len(ops) == 0 {
		return err
	}
	s.write.Lock()
	defer s.write.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write %s: %w", ops[0].Key, err)
	}
	var changes []store.Change
	err := s.guard(func() error {
		return closedError(s.db.Update(func(tx *bbolt.Tx) (err error) {
			changes, err = apply(tx.Bucket(bucketData), ops)
			return err
		}))
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", s.path, err)
	}
	for w := range s.watches {
		w.deliver(changes)
	}
	return nil
}

// apply checks every condition before the first write.
func apply(b *bbolt.Bucket, ops []store.Op) ([]store.Change, error) {
	for _, op := range ops {
		if op.If == nil {
			continue
		}
		current, err := revision(b, op.Key)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op.Key, err)
		}
		if current != *op.If {
			return nil, fmt.Errorf("%s: %w: it is at revision %d, not %d", op.Key, store.ErrConflict, current, *op.If)
		}
	}
	rev, err := b.NextSequence()
	if err != nil {
		return nil, err
	}
	changes := make([]store.Change, 0, len(ops))
	for _, op := range ops {
		key := []byte(op.Key)
		if op.Delete {
			if b.Get(key) == nil {
				continue
			}
			if err := b.Delete(key); err != nil {
				return nil, fmt.Errorf("%s: %w", op.Key, err)
			}
			changes = append(changes, store.Change{Entry: store.Entry{Key: op.Key}, Deleted: true})
			continue
		}
		raw := encode(key, rev, op.Value)
		if err := b.Put(key, raw); err != nil {
			return nil, fmt.Errorf("%s: %w", op.Key, err)
		}
		changes = append(changes, store.Change{Entry: store.Entry{Key: op.Key, Value: raw[header:], Revision: rev}})
	}
	return changes, nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	for w := range s.watches {
		close(w.closed)
	}
	end := s.db.Close
	if s.broken.Load() != nil {
		end = s.db.fd.Close
	}
	if err := end(); err != nil {
		return fmt.Errorf("close store %s: %w", s.path, err)
	}
	return nil
}
