package identity

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Errors of the Allocator.
var (
	ErrExhausted  = errors.New("all identities are in use")
	ErrNotHeld    = errors.New("identity is not held")
	ErrBadRecords = errors.New("identity records contradict each other")
)

// Record is an identity as the store keeps it.
type Record struct {
	ID     ID     `json:"id"`
	Labels Labels `json:"labels"`
}

// Allocator gives sets of labels their numbers and counts who uses them. A set keeps its number while it is held at
// least once. Numbers are handed out in ascending order and start again at First only after Last, so that a number
// that was just freed, which flows in the kernel may still mention, comes back as late as possible. Given the same
// calls it gives the same numbers. It may be used from several goroutines.
type Allocator struct {
	mu       sync.Mutex
	byID     map[ID]*holding
	byLabels map[string]*holding
	next     ID
}

type holding struct {
	id     ID
	labels Labels
	key    string
	count  int
}

// NewAllocator makes an allocator that holds nothing.
func NewAllocator() *Allocator {
	return &Allocator{byID: map[ID]*holding{}, byLabels: map[string]*holding{}, next: First}
}

// Acquire holds the identity of the labels once more. It reports whether the set had no number before, in which case
// the caller stores a record. Errors wrap those of Labels.Validate and ErrExhausted.
func (a *Allocator) Acquire(l Labels) (id ID, created bool, err error) {
	if err := l.Validate(); err != nil {
		return Unknown, false, err
	}
	key := l.String()
	a.mu.Lock()
	defer a.mu.Unlock()
	if h, ok := a.byLabels[key]; ok {
		h.count++
		return h.id, false, nil
	}
	id, err = a.free()
	if err != nil {
		return Unknown, false, fmt.Errorf("allocate identity for %s: %w", abbreviate(key), err)
	}
	h := &holding{id: id, labels: l.Clone(), key: key, count: 1}
	a.byID[id], a.byLabels[key] = h, h
	a.next = after(id)
	return id, true, nil
}

// free finds the first number from next on that nobody holds.
func (a *Allocator) free() (ID, error) {
	if len(a.byID) > int(Last-First) {
		return Unknown, ErrExhausted
	}
	id := a.next
	for a.byID[id] != nil {
		id = after(id)
	}
	return id, nil
}

func after(id ID) ID {
	if id >= Last {
		return First
	}
	return id + 1
}

// Release undoes one Acquire. It reports whether that was the last one: the number is free and the caller deletes
// the record. The error wraps ErrNotHeld.
func (a *Allocator) Release(id ID) (freed bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h, ok := a.byID[id]
	if !ok || h.count == 0 {
		return false, fmt.Errorf("release identity %s: %w", id, ErrNotHeld)
	}
	if h.count--; h.count > 0 {
		return false, nil
	}
	a.drop(h)
	return true, nil
}

func (a *Allocator) drop(h *holding) {
	delete(a.byID, h.id)
	delete(a.byLabels, h.key)
}

// Restore enters the records of the store, each with no holder yet: the endpoints that are restored Acquire theirs
// and get the same number as before; Prune then drops the rest. next is what Next returned before the restart, so
// that freed numbers are not reused early; 0 continues after the greatest record. On an error nothing is entered.
func (a *Allocator) Restore(records []Record, next ID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	entered := make([]*holding, 0, len(records))
	undo := func() {
		for _, h := range entered {
			a.drop(h)
		}
	}
	greatest := First - 1
	for _, r := range records {
		h, err := a.enter(r)
		if err != nil {
			undo()
			return fmt.Errorf("restore identity %s: %w", r.ID, err)
		}
		if h != nil {
			entered = append(entered, h)
		}
		greatest = max(greatest, r.ID)
	}
	if next < First || next > Last {
		next = after(greatest)
	}
	a.next = next
	return nil
}

// enter adds a record without a holder; nil when it is there already.
func (a *Allocator) enter(r Record) (*holding, error) {
	if r.ID.Reserved() || r.ID > Last {
		return nil, fmt.Errorf("%w: the number is not one of labels", ErrBadRecords)
	}
	if err := r.Labels.Validate(); err != nil {
		return nil, err
	}
	key := r.Labels.String()
	if h, ok := a.byID[r.ID]; ok && h.key == key {
		return nil, nil
	} else if ok {
		return nil, fmt.Errorf("%w: the number stands for %s and %s", ErrBadRecords, abbreviate(h.key), abbreviate(key))
	}
	if h, ok := a.byLabels[key]; ok {
		return nil, fmt.Errorf("%w: %s has number %s too", ErrBadRecords, abbreviate(key), h.id)
	}
	h := &holding{id: r.ID, labels: r.Labels.Clone(), key: key}
	a.byID[r.ID], a.byLabels[key] = h, h
	return h, nil
}

// Prune drops the restored identities that nobody acquired and returns their numbers in ascending order.
func (a *Allocator) Prune() []ID {
	a.mu.Lock()
	defer a.mu.Unlock()
	var dropped []ID
	for id, h := range a.byID {
		if h.count == 0 {
			a.drop(h)
			dropped = append(dropped, id)
		}
	}
	slices.Sort(dropped)
	return dropped
}

// Next is where the search for the next new number starts; store it and hand it to Restore.
func (a *Allocator) Next() ID {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.next
}

// Labels returns the labels that a number stands for.
func (a *Allocator) Labels(id ID) (Labels, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h, ok := a.byID[id]
	if !ok {
		return nil, false
	}
	return h.labels.Clone(), true
}

// Find returns the number of a set of labels, if it has one.
func (a *Allocator) Find(l Labels) (ID, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h, ok := a.byLabels[l.String()]
	if !ok {
		return Unknown, false
	}
	return h.id, true
}

// Holders is how often the identity is held.
func (a *Allocator) Holders(id ID) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if h, ok := a.byID[id]; ok {
		return h.count
	}
	return 0
}

// List returns all identities of labels, sorted by number.
func (a *Allocator) List() []Record {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]Record, 0, len(a.byID))
	for _, h := range a.byID {
		list = append(list, Record{ID: h.id, Labels: h.labels.Clone()})
	}
	slices.SortFunc(list, func(x, y Record) int { return cmp.Compare(x.ID, y.ID) })
	return list
}
