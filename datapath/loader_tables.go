package datapath

import (
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/sluice-net/sluice/datapath/compile"
	"github.com/sluice-net/sluice/policy"
)

// table is a compiled policy table, shared by all programs that have it. Its map, if it needs one, is named by its
// content, never changes, and lives as long as a program that was made with it.
type table struct {
	key  string
	once sync.Once
	fn   *compile.Function
	data *ebpf.Map
	err  error
	uses int // guarded by tables.mu
}

// tables are the compiled tables in use, by content.
type tables struct {
	limit int

	mu     sync.Mutex
	byHash map[string]*table
	bySlot map[uint32][]*table
}

func newTables(limit int) *tables {
	return &tables{limit: limit, byHash: map[string]*table{}, bySlot: map[uint32][]*table{}}
}

// take returns the compiled t, which the caller must release or let a slot occupy. Equal tables are compiled once,
// also when asked for at the same time.
func (ts *tables) take(t *policy.Table) (*table, error) {
	key := t.Hash()
	ts.mu.Lock()
	e := ts.byHash[key]
	if e == nil {
		e = &table{key: key}
		ts.byHash[key] = e
	}
	e.uses++
	ts.mu.Unlock()
	e.once.Do(func() { e.compile(t, ts.limit) })
	if e.err != nil {
		ts.release([]*table{e})
		return nil, e.err
	}
	return e, nil
}

func (e *table) compile(t *policy.Table, limit int) {
	var data []byte
	if e.fn, data, e.err = compile.Compile(t, limit); e.err == nil && data != nil {
		e.data, e.err = frozenMap("policy_"+e.key[:8], data)
	}
}

func (e *table) instructions(stub asm.Instruction) (asm.Instructions, error) {
	return e.fn.Instructions(stub, e.data)
}

// release gives back what take returned.
func (ts *tables) release(use []*table) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.drop(use)
}

func (ts *tables) drop(use []*table) {
	for _, e := range use {
		if e.uses--; e.uses > 0 {
			continue
		}
		delete(ts.byHash, e.key)
		if e.data != nil {
			e.data.Close()
		}
	}
}

// occupy notes that the slot's programs use these tables from now on, and no longer those from before.
func (ts *tables) occupy(slot uint32, use []*table) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	old := ts.bySlot[slot]
	if len(use) == 0 {
		delete(ts.bySlot, slot)
	} else {
		ts.bySlot[slot] = use
	}
	ts.drop(old)
}

func (ts *tables) close() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, e := range ts.byHash {
		if e.data != nil {
			e.data.Close()
		}
	}
	ts.byHash, ts.bySlot = map[string]*table{}, map[uint32][]*table{}
}
