package datapath

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/policy"
)

func mustReplace(t testing.TB, l *Loader, p Program) {
	t.Helper()
	if err := l.Replace(context.Background(), p); err != nil {
		t.Fatal(err)
	}
}

func wantLoaded(t testing.TB, l *Loader, want map[uint32]string) {
	t.Helper()
	got, err := l.Loaded()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("loaded (-want +got):\n%s", diff)
	}
}

func TestPrivilegedReplaceAndClear(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	p := sample(7)
	mustReplace(t, l, p)
	wantLoaded(t, l, map[uint32]string{7: p.Fingerprint()})
	before := inSlot(t, l, egressSlots, 7)
	p.Revision++
	p.Ingress = tableOf(3)
	mustReplace(t, l, p)
	if inSlot(t, l, egressSlots, 7) == before {
		t.Error("the egress program was not replaced")
	}
	wantLoaded(t, l, map[uint32]string{7: p.Fingerprint()})
	for range 2 { // clearing an empty slot succeeds
		if err := l.Clear(7); err != nil {
			t.Fatal(err)
		}
		wantLoaded(t, l, map[uint32]string{})
	}
}

func TestPrivilegedSlotsBeyondTheArray(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	if err := l.Replace(context.Background(), sample(l.Slots())); !errors.Is(err, ErrSlot) {
		t.Errorf("replace: %v, want %v", err, ErrSlot)
	}
	if err := l.Clear(l.Slots()); !errors.Is(err, ErrSlot) {
		t.Errorf("clear: %v, want %v", err, ErrSlot)
	}
	if _, _, err := l.Doors(l.Slots()); !errors.Is(err, ErrSlot) {
		t.Errorf("doors: %v, want %v", err, ErrSlot)
	}
}

// TestPrivilegedEveryFeature: programs load under every combination of features and sizes of table.
func TestPrivilegedEveryFeature(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	for bits := range 1 << 5 {
		on := func(n int) bool { return bits>>n&1 == 1 }
		p := sample(1)
		p.Closed, p.Internal, p.Masquerade = on(0), on(1), on(2)
		if on(3) {
			p.IPv4, p.Gateway4 = Program{}.IPv4, Program{}.Gateway4
		}
		if on(4) {
			p.IPv6, p.Gateway6 = Program{}.IPv6, Program{}.Gateway6
		}
		if err := l.Replace(context.Background(), p); err != nil {
			t.Fatalf("closed %t internal %t masquerade %t IPv4 %t IPv6 %t: %v", on(0), on(1), on(2), !on(3), !on(4), err)
		}
	}
	sizes := []int{-1, 0, 1, 40, 5000}
	if testing.Short() {
		sizes = []int{40, 5000}
	}
	for _, entries := range sizes {
		for _, other := range sizes {
			p := sample(1)
			if entries >= 0 {
				p.Egress = tableOf(entries)
			}
			if other >= 0 {
				p.Ingress = tableOf(other)
			}
			if err := l.Replace(context.Background(), p); err != nil {
				t.Fatalf("egress of %d, ingress of %d entries: %v", entries, other, err)
			}
			wantLoaded(t, l, map[uint32]string{1: p.Fingerprint()})
		}
	}
}

// TestPrivilegedAdopt: a loader that opens what another left finds the same maps and programs.
func TestPrivilegedAdopt(t *testing.T) {
	testutil.Privileged(t)
	dir := pinDir(t)
	first := openLoader(t, dir)
	p, q := sample(1), sample(2)
	q.Ingress = tableOf(5000)
	mustReplace(t, first, p)
	mustReplace(t, first, q)
	mapBefore, err := first.Map("endpoints").Info()
	if err != nil {
		t.Fatal(err)
	}
	first.Close() // as the kernel does when a process is killed
	second := openLoader(t, dir)
	wantLoaded(t, second, map[uint32]string{1: p.Fingerprint(), 2: q.Fingerprint()})
	mapAfter, err := second.Map("endpoints").Info()
	if err != nil {
		t.Fatal(err)
	}
	before, _ := mapBefore.ID()
	if after, _ := mapAfter.ID(); before != after {
		t.Errorf("map endpoints was made anew: %d, then %d", before, after)
	}
	if got := policyMaps(t, second, ingressSlots, 2); len(got) != 1 {
		t.Errorf("the adopted program searches maps %v, want one", got)
	}
	p.Revision = 9
	mustReplace(t, second, p)
	wantLoaded(t, second, map[uint32]string{1: p.Fingerprint(), 2: q.Fingerprint()})
}

// TestPrivilegedCutShort: a loader that died between its two writes leaves a slot that is nobody's.
func TestPrivilegedCutShort(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	old, young := sample(1), sample(1)
	young.Revision = 2
	mustReplace(t, l, old)
	egress, ingress, use, err := l.load(context.Background(), young)
	if err != nil {
		t.Fatal(err)
	}
	defer l.tables.release(use)
	defer egress.Close()
	defer ingress.Close()
	if err := l.Map(ingressSlots).Put(uint32(1), uint32(ingress.FD())); err != nil {
		t.Fatal(err)
	}
	wantLoaded(t, l, map[uint32]string{1: Mixed})
	mustReplace(t, l, young)
	wantLoaded(t, l, map[uint32]string{1: young.Fingerprint()})
	if err := l.Map(egressSlots).Delete(uint32(1)); err != nil {
		t.Fatal(err)
	}
	wantLoaded(t, l, map[uint32]string{1: Mixed})
}

// TestPrivilegedRefusedProgram: what the verifier refuses changes nothing, and the error says why.
func TestPrivilegedRefusedProgram(t *testing.T) {
	testutil.Privileged(t)
	for _, broken := range []string{"egress", "ingress"} {
		t.Run(broken, func(t *testing.T) {
			l := openLoader(t, pinDir(t))
			p := sample(3)
			p.Egress = tableOf(5000)
			mustReplace(t, l, p)
			egress, ingress := inSlot(t, l, egressSlots, 3), inSlot(t, l, ingressSlots, 3)
			insns := l.container.programs[broken].spec.Instructions
			first := slices.IndexFunc(insns, func(in asm.Instruction) bool { return !in.IsLoadFromMap() && in.Symbol() == "" })
			insns[first] = asm.LoadMem(asm.R5, asm.R1, 30000, asm.Word) // far behind a packet's context
			next := p
			next.Revision++
			next.Egress = tableOf(4000)
			err := l.Replace(context.Background(), next)
			if !errors.Is(err, ErrVerifier) {
				t.Fatalf("error %v, want %v", err, ErrVerifier)
			}
			for _, want := range []string{"slot 3", "program " + broken, "30000"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not mention %q:\n%v", want, err)
				}
			}
			if inSlot(t, l, egressSlots, 3) != egress || inSlot(t, l, ingressSlots, 3) != ingress {
				t.Error("a slot changed")
			}
			wantLoaded(t, l, map[uint32]string{3: p.Fingerprint()})
			if n := len(l.tables.byHash); n != 1 {
				t.Errorf("%d compiled tables are kept, want the one in use", n)
			}
		})
	}
}

// Flows have no room for any revision.
func TestPrivilegedRevisionRange(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	for _, revision := range []uint32{0, abi.RevisionAudited, 1 << 31} {
		p := sample(1)
		p.Revision = revision
		if err := l.Replace(context.Background(), p); !errors.Is(err, ErrRevision) {
			t.Errorf("revision %d: error %v, want %v", revision, err, ErrRevision)
		}
	}
	p := sample(1)
	p.Revision, p.Publish, p.Enforcement = abi.RevisionAudited-1, tableOf(3), policy.Learn
	mustReplace(t, l, p)
}

func TestPrivilegedCancelled(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Replace(ctx, sample(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	wantLoaded(t, l, map[uint32]string{})
}

// TestPrivilegedSharedTables: equal tables are compiled once and share one map, which goes with its last program.
func TestPrivilegedSharedTables(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	p, q := sample(1), sample(2)
	p.Ingress, q.Ingress = tableOf(5000), tableOf(5000)
	mustReplace(t, l, p)
	mustReplace(t, l, q)
	a, b := policyMaps(t, l, ingressSlots, 1), policyMaps(t, l, ingressSlots, 2)
	if len(a) != 1 || !slices.Equal(a, b) {
		t.Fatalf("maps %v and %v, want the same one", a, b)
	}
	m, err := ebpf.NewMapFromID(a[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Put(uint32(0), make([]byte, m.ValueSize())); err == nil {
		t.Error("the map can be written")
	}
	m.Close()
	p.Ingress = nil
	mustReplace(t, l, p)
	if b := policyMaps(t, l, ingressSlots, 2); !slices.Equal(a, b) {
		t.Errorf("slot 2 searches maps %v, want %v", b, a)
	}
	if err := l.Clear(2); err != nil {
		t.Fatal(err)
	}
	if n := len(l.tables.byHash); n != 0 {
		t.Errorf("%d compiled tables are kept, want none", n)
	}
}

func TestPrivilegedConcurrent(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	want := map[uint32]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for worker := range uint32(4) {
		wg.Go(func() {
			for i := range uint32(6) {
				p := sample(i % 3)
				p.Revision = 100*worker + i + 1
				p.Egress, p.Ingress = tableOf(int(i)*300), tableOf(5000)
				if err := l.Replace(context.Background(), p); err != nil {
					t.Error(err)
					return
				}
				own := sample(10 + worker)
				own.Revision = i + 1
				if err := l.Replace(context.Background(), own); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				want[own.Slot] = own.Fingerprint()
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	got, err := l.Loaded()
	if err != nil {
		t.Fatal(err)
	}
	for slot, fingerprint := range want {
		if got[slot] != fingerprint {
			t.Errorf("slot %d has %s, want %s", slot, got[slot], fingerprint)
		}
	}
	for slot := range uint32(3) { // of whoever came last, but of one
		if got[slot] == "" || got[slot] == Mixed {
			t.Errorf("slot %d has %q", slot, got[slot])
		}
	}
}

func TestPrivilegedPrune(t *testing.T) {
	testutil.Privileged(t)
	dir := pinDir(t)
	l := openLoader(t, dir)
	for slot := range uint32(4) {
		mustReplace(t, l, sample(slot))
	}
	stale := filepath.Join(dir, "maps", "policy_v0")
	m, err := frozenMap("policy_v0", []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Pin(stale); err != nil {
		t.Fatal(err)
	}
	m.Close()
	if err := l.Prune(func(slot uint32) bool { return slot == 2 }); err != nil {
		t.Fatal(err)
	}
	wantLoaded(t, l, map[uint32]string{2: sample(2).Fingerprint()})
	if _, err := os.Stat(stale); err == nil {
		t.Error("the pin of a map that nothing uses is still there")
	}
	if _, err := os.Stat(filepath.Join(dir, "maps", "endpoints")); err != nil {
		t.Error(err)
	}
}

// TestPrivilegedOtherLayout: state that may be lost is made anew, what the doors point at is not.
func TestPrivilegedOtherLayout(t *testing.T) {
	testutil.Privileged(t)
	dir := pinDir(t)
	openLoader(t, dir).Close()
	opts := loaderOptions(t, dir)
	opts.MapSizes = map[string]uint32{"flows_tcp": 2048, "flows_any": 1024, "nat": 1024}
	l, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	if n := l.Map("flows_tcp").MaxEntries(); n != 2048 {
		t.Errorf("map flows_tcp has %d entries, want 2048", n)
	}
	mustReplace(t, l, sample(1))
	l.Close()
	opts.MapSizes[egressSlots] = 64
	if _, err = Open(opts); !errors.Is(err, ErrMapLayout) {
		t.Fatalf("error %v, want %v", err, ErrMapLayout)
	}
	if path := filepath.Join(dir, "maps", egressSlots); !strings.Contains(err.Error(), path) {
		t.Errorf("the error does not say what to remove, %s: %v", path, err)
	}
	delete(opts.MapSizes, egressSlots)
	again, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	wantLoaded(t, again, map[uint32]string{1: sample(1).Fingerprint()})
}

func TestPrivilegedNoBPFFileSystem(t *testing.T) {
	testutil.Privileged(t)
	dir := t.TempDir()
	_, err := Open(loaderOptions(t, dir))
	if err == nil || !strings.Contains(err.Error(), "BPF file system") {
		t.Errorf("error %v, want one that says what is missing", err)
	}
}

// TestPrivilegedDoorPrograms: a door leads to its slot, and drops while that is empty.
func TestPrivilegedDoorPrograms(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	from, to, err := l.Doors(5)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	defer to.Close()
	for i, d := range []struct {
		door  *ebpf.Program
		array string
	}{{from, egressSlots}, {to, ingressSlots}} {
		run := func() uint32 {
			got, err := d.door.Run(&ebpf.RunOptions{Data: make([]byte, 64)})
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if got := run(); got != 2 { // TC_ACT_SHOT
			t.Errorf("door %d of an empty slot answers %d, want a drop", i, got)
		}
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R0, int32(40+i)), asm.Return()}})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if err := l.Map(d.array).Put(uint32(5), uint32(p.FD())); err != nil {
			t.Fatal(err)
		}
		if got := run(); got != uint32(40+i) {
			t.Errorf("door %d answers %d, want %d of its slot's program", i, got, 40+i)
		}
	}
}

func TestPrivilegedHooks(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	uplink, err := l.Uplink()
	if err != nil {
		t.Fatal(err)
	}
	uplink.Close()
	sockets, err := l.Sockets(1)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"connect4", "connect6", "sendmsg4", "sendmsg6", "recvmsg4", "recvmsg6", "getpeername4", "getpeername6"} {
		if sockets[name] == nil {
			t.Errorf("no socket program %s", name)
		}
		sockets[name].Close()
	}
}

// Package policy does not know the kernel, so its numbers are compared here.
func TestEnforcementNumbers(t *testing.T) {
	for e, want := range map[policy.Enforcement]uint32{policy.Enforce: abi.Enforce, policy.Audit: abi.Audit, policy.Learn: abi.Learn} {
		if uint32(e) != want {
			t.Errorf("%s is %d, in the programs %d", e, e, want)
		}
	}
}

func TestSpliceOrder(t *testing.T) {
	b := &blueprint{functions: map[string]span{"b": {4, 6}, "a": {8, 9}}}
	got := b.byPosition(map[string]*table{"a": nil, "b": nil, "not called": nil})
	if want := []string{"b", "a"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

func TestPrivilegedSettle(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	mustReplace(t, l, sample(1))
	if err := l.Settle(); err != nil {
		t.Fatal(err)
	}
}

// TestPrivilegedLeavesNothing: programs and maps end with their slot.
func TestPrivilegedLeavesNothing(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, pinDir(t))
	p := sample(1)
	p.Egress, p.Ingress = tableOf(5000), tableOf(40)
	mustReplace(t, l, p)
	ids := []ebpf.ProgramID{ebpf.ProgramID(inSlot(t, l, egressSlots, 1)), ebpf.ProgramID(inSlot(t, l, ingressSlots, 1))}
	tables := policyMaps(t, l, egressSlots, 1)
	if err := l.Clear(1); err != nil {
		t.Fatal(err)
	}
	gone := func() bool { // the kernel frees them after a grace period
		for _, id := range ids {
			if p, err := ebpf.NewProgramFromID(id); err == nil {
				p.Close()
				return false
			}
		}
		for _, id := range tables {
			if m, err := ebpf.NewMapFromID(id); err == nil {
				m.Close()
				return false
			}
		}
		return true
	}
	for deadline := time.Now().Add(10 * time.Second); !gone(); {
		if time.Now().After(deadline) {
			t.Fatalf("programs %v or maps %v are still there", ids, tables)
		}
		if err := l.Settle(); err != nil {
			t.Fatal(err)
		}
	}
}
