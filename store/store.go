package store

import (
	"context"
	"errors"
)

// Errors that every backend returns, wrapped with the key.
var (
	ErrNotFound = errors.New("not found")                       // the key does not exist
	ErrConflict = errors.New("changed meanwhile")               // CompareAndSwap: the revision is not the current one
	ErrCorrupt  = errors.New("store is corrupt")                // the backend's data cannot be read; the error names the remedy
	ErrLocked   = errors.New("store is in use")                 // another process holds it
	ErrSchema   = errors.New("store of another schema version") // written by a newer Sluice
)

// Entry is a key with its value. Revision grows with every change of the key.
type Entry struct {
	Key      string
	Value    []byte
	Revision uint64
}

// Op is one write of an Apply. Delete removes the key, else Value is put; a non-nil If must be the key's current
// revision (0: the key must not exist).
type Op struct {
	Key    string
	Value  []byte
	Delete bool
	If     *uint64
}

// Store is a durable map from slash-separated keys to values. Every call that returns nil has reached the disk.
type Store interface {
	Get(ctx context.Context, key string) (Entry, error)
	List(ctx context.Context, prefix string) ([]Entry, error) // sorted by key
	Apply(ctx context.Context, ops ...Op) error               // all or nothing
	Watch(ctx context.Context, prefix string) (<-chan []Entry, error)
	Close() error
}
