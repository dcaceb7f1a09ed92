package datapath

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/testutil"
)

// sharedPins are the names of the pinned arrays of shared programs.
func sharedPins(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "maps", sharedSlots+"_*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range paths {
		paths[i] = filepath.Base(paths[i])
	}
	return paths
}

// sharedIDs are the ids of the loader's shared programs, by slot.
func sharedIDs(t *testing.T, l *Loader) map[uint32]uint32 {
	t.Helper()
	ids := map[uint32]uint32{}
	for slot, name := range abi.SharedPrograms {
		if ids[slot] = inSlot(t, l, sharedSlots, slot); ids[slot] == 0 {
			t.Errorf("%s is missing", name)
		}
	}
	return ids
}

// uses tells whether both programs of a slot lead to the loader's shared programs.
func uses(t *testing.T, l *Loader, shared *Loader, slot uint32) bool {
	t.Helper()
	info, err := shared.Map(sharedSlots).Info()
	if err != nil {
		t.Fatal(err)
	}
	want, _ := info.ID()
	for _, array := range []string{egressSlots, ingressSlots} {
		ids, err := mapsOf(ebpf.ProgramID(inSlot(t, l, array, slot)))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, id := range ids {
			found = found || id == want
		}
		if !found {
			return false
		}
	}
	return true
}

// Shared programs outlive their loader, are adopted by the next one of their version, and stay as long as a container's
// program of their version is in a slot.
func TestPrivilegedSharedVersions(t *testing.T) {
	testutil.Privileged(t)
	all := func(uint32) bool { return true }
	dir := pinDir(t)
	first := openLoader(t, dir)
	ids := sharedIDs(t, first)
	mustReplace(t, first, sample(1))
	closed := sample(2)
	closed.Closed = true
	mustReplace(t, first, closed)
	for slot := range uint32(2) {
		if !uses(t, first, first, slot+1) {
			t.Errorf("slot %d does not use the shared programs", slot+1)
		}
	}
	first.Close()

	same := openLoader(t, dir)
	for slot, id := range sharedIDs(t, same) {
		if id != ids[slot] {
			t.Errorf("%s was loaded again", abi.SharedPrograms[slot])
		}
	}

	opts := loaderOptions(t, dir)
	opts.MasqueradePorts = [2]uint16{40000, 50000} // which are constants of the shared programs
	next, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if pins := sharedPins(t, dir); len(pins) != 2 {
		t.Fatalf("pinned: %v, want two versions", pins)
	}
	wantLoaded(t, same, map[uint32]string{1: sample(1).Fingerprint(), 2: closed.Fingerprint()})
	wantLoaded(t, next, map[uint32]string{1: Mixed, 2: Mixed}) // so that no daemon adopts them
	for i, slot := range []uint32{1, 2} {
		if err := next.Prune(all); err != nil {
			t.Fatal(err)
		}
		if pins := sharedPins(t, dir); len(pins) != 2 {
			t.Fatalf("pinned after %d replacements: %v, want two versions", i, pins)
		}
		if !uses(t, next, same, slot) {
			t.Errorf("slot %d does not use the programs that it was made with", slot)
		}
		mustReplace(t, next, sample(slot))
		if !uses(t, next, next, slot) {
			t.Errorf("slot %d, replaced, does not use the new shared programs", slot)
		}
	}
	if err := next.Prune(all); err != nil {
		t.Fatal(err)
	}
	if pins := sharedPins(t, dir); len(pins) != 1 || !strings.HasSuffix(pins[0], next.maps.version) {
		t.Errorf("pinned: %v, want the version %s alone", pins, next.maps.version)
	}
	wantLoaded(t, next, map[uint32]string{1: sample(1).Fingerprint(), 2: sample(2).Fingerprint()})
	sharedIDs(t, next)
}
