package endpoint

import (
	"maps"
	"testing"

	"github.com/sluice-net/sluice/datapath"
)

// captured is how many bytes programs capture, by container.
func (w *world) captured() map[string]uint32 {
	all := map[string]uint32{}
	for _, e := range w.endpointsAll() {
		if p, ok := w.kernel.program(e.Veth.Slot); ok && p.Capture > 0 {
			all[e.Container.Name] = p.Capture
		}
	}
	return all
}

// Containers capture while somebody wants it, also one that comes back, and not after a restart of the daemon.
func TestCapture(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	a, b := w.run(1, 1), w.run(1, 2)
	want := map[string]uint32{a.Container.Name: 96}
	w.must(w.Capture(t.Context(), want))
	if got := w.captured(); !maps.Equal(got, want) {
		t.Errorf("programs capture %v, want %v", got, want)
	}
	var loaded []uint32
	w.kernel.onReplace = func(p datapath.Program) { loaded = append(loaded, p.Slot) }
	w.must(w.Capture(t.Context(), maps.Clone(want)))
	if len(loaded) > 0 {
		t.Errorf("programs of slots %v were loaded, and nothing changed", loaded)
	}
	w.must(w.Capture(t.Context(), map[string]uint32{a.Container.Name: 96, b.Container.Name: 1500}))
	if len(loaded) != 1 || loaded[0] != b.Veth.Slot {
		t.Errorf("programs of slots %v were loaded, want that of %d", loaded, b.Veth.Slot)
	}
	w.kernel.onReplace = nil
	w.must(w.stop(1, 2))
	again := w.run(1, 2)
	if p, _ := w.kernel.program(again.Veth.Slot); p.Capture != 1500 {
		t.Errorf("the container that came back captures %d bytes", p.Capture)
	}
	w.start() // a daemon after this one knows of no capture
	w.settle()
	if got := w.captured(); len(got) > 0 {
		t.Errorf("after a restart programs capture %v", got)
	}
	w.check()
}

func TestCaptureEnds(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	a := w.run(1, 1)
	before, _ := w.kernel.program(a.Veth.Slot)
	w.must(w.Capture(t.Context(), map[string]uint32{a.Container.Name: 96}))
	w.must(w.Capture(t.Context(), nil))
	if p, _ := w.kernel.program(a.Veth.Slot); p.Fingerprint() != before.Fingerprint() {
		t.Error("the programs are not as before")
	}
}
