package store

import (
	"context"
	"errors"
	"fmt"
)

// Errors that every backend returns, wrapped with the key.
var (
	ErrNotFound = errors.New("not found")                       // the key does not exist
	ErrConflict = errors.New("changed meanwhile")               // an If of Apply is not the key's current revision
	ErrCorrupt  = errors.New("store is corrupt")                // the backend's data cannot be read; the error names the remedy
	ErrLocked   = errors.New("store is in use")                 // another process holds it
	ErrSchema   = errors.New("store of another schema version") // written by a newer Sluice
	ErrClosed   = errors.New("store is closed")
	ErrInvalid  = errors.New("invalid key") // empty, too long, or twice in one Apply
)

// MaxKey is the longest key, in bytes.
const MaxKey = 1024

// Entry is a key with its value. Revision grows with every change of the key; all keys of one Apply share theirs. The
// value is the caller's to keep and change.
type Entry struct {
	Key      string
	Value    []byte
	Revision uint64
}

// Change is the new state of a key: an Entry, or Deleted with neither Value nor a meaningful Revision.
type Change struct {
	Entry
	Deleted bool
}

// Op is one write of an Apply. Delete removes the key (one that does not exist succeeds), else Value is put; a non-nil
// If must be the key's current revision (0: the key must not exist).
type Op struct {
	Key    string
	Value  []byte
	Delete bool
	If     *uint64
}

// Put returns the Op that writes a value whatever was there.
func Put(key string, value []byte) Op { return Op{Key: key, Value: value} }

// Remove returns the Op that deletes a key.
func Remove(key string) Op { return Op{Key: key, Delete: true} }

// When returns the Op with the condition that the key's revision is the given one (0: it must not exist).
func (o Op) When(revision uint64) Op {
	o.If = &revision
	return o
}

// Store is a durable map from slash-separated keys to values. Every call that returns nil has reached the disk.
// All methods may be called concurrently.
type Store interface {
	// Get returns ErrNotFound for a key that does not exist.
	Get(ctx context.Context, key string) (Entry, error)
	// List returns the entries whose keys begin with the prefix, sorted by key; "" lists everything.
	List(ctx context.Context, prefix string) ([]Entry, error)
	// Apply writes all or nothing. On ErrConflict, and on every other error that it returns, nothing was written.
	Apply(ctx context.Context, ops ...Op) error
	// Watch delivers every change under the prefix after its return, in order, one batch for each Apply, until the
	// context ends or the store is closed; then it closes the channel. To see everything call Watch, then List. A slow
	// reader delays nobody.
	Watch(ctx context.Context, prefix string) (<-chan []Change, error)
	// Close ends all watches. Closing twice succeeds.
	Close() error
}

// Check returns ErrInvalid if a backend must refuse the writes whatever it holds.
func Check(ops []Op) error {
	seen := make(map[string]bool, len(ops))
	for _, op := range ops {
		switch {
		case op.Key == "":
			return fmt.Errorf("write: %w: it is empty", ErrInvalid)
		case len(op.Key) > MaxKey:
			return fmt.Errorf("write %.40s…: %w: %d bytes, %d are allowed", op.Key, ErrInvalid, len(op.Key), MaxKey)
		case seen[op.Key]:
			return fmt.Errorf("write %s: %w: twice in one Apply", op.Key, ErrInvalid)
		}
		seen[op.Key] = true
	}
	return nil
}
