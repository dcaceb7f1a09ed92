package observe

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/testutil"
)

// pinned creates the maps of the programs in a BPF file system of the test's own.
func pinned(t testing.TB) (dir string, maps map[string]*ebpf.Map) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatalf("mount bpffs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount bpffs: %v", err)
		}
	})
	maps = map[string]*ebpf.Map{}
	for _, spec := range []*ebpf.MapSpec{
		{Name: "events", Type: ebpf.RingBuf, MaxEntries: 2 << 20},
		{Name: "event_budget", Type: ebpf.Array, KeySize: 4, ValueSize: uint32(budgetSize), MaxEntries: 100 * abi.EventsClasses,
			Flags: unix.BPF_F_MMAPABLE},
		{Name: "event_limits", Type: ebpf.Array, KeySize: 4, ValueSize: 16, MaxEntries: abi.EventsClasses},
	} {
		m, err := ebpf.NewMap(spec)
		if err != nil {
			t.Fatalf("create map %s: %v", spec.Name, err)
		}
		t.Cleanup(func() { _ = m.Close() })
		if err := m.Pin(filepath.Join(dir, spec.Name)); err != nil {
			t.Fatalf("pin map %s: %v", spec.Name, err)
		}
		maps[spec.Name] = m
	}
	return dir, maps
}

// writer returns a program that writes the packet which it is given into the ring, and wakes nobody.
func writer(t testing.TB, ring *ebpf.Map) *ebpf.Program {
	t.Helper()
	aligned := int16((recordSize + 7) &^ 7)
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "writer", Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
		asm.Mov.Imm(asm.R2, 0), // bpf_skb_load_bytes(skb, 0, stack, size)
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, int32(-aligned)),
		asm.Mov.Imm(asm.R4, int32(recordSize)),
		asm.FnSkbLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, "exit"),
		asm.LoadMapPtr(asm.R1, ring.FD()), // bpf_ringbuf_output(ring, stack, size, BPF_RB_NO_WAKEUP)
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, int32(-aligned)),
		asm.Mov.Imm(asm.R3, int32(recordSize)),
		asm.Mov.Imm(asm.R4, 1),
		asm.FnRingbufOutput.Call(),
		asm.Return().WithSymbol("exit"),
	}})
	if err != nil {
		t.Fatalf("load writer: %v", err)
	}
	t.Cleanup(func() { _ = prog.Close() })
	return prog
}

func TestPrivilegedKernel(t *testing.T) {
	testutil.Privileged(t)
	dir, maps := pinned(t)
	prog := writer(t, maps["events"])
	kernel, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	o := New(Options{Ring: kernel, Names: testNames{}, Log: log})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	events, err := o.Subscribe(ctx, api.EventFilter{Types: []string{api.EventDrop, api.EventVerdict}, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	written := denied()
	_, now := kernelClock()
	written.Time = now
	if ret, err := prog.Run(&ebpf.RunOptions{Data: record(written)}); ret != 0 || err != nil {
		t.Fatalf("write: %d, %v", int32(ret), err)
	}
	e := next(t, events)
	if e.Reason != api.ReasonPolicyDenied || e.Rule != "egress[0]" || time.Since(e.Time).Abs() > time.Minute {
		t.Errorf("got %+v", e)
	}
	if err := maps["event_budget"].Put(budgetKey(3, abi.EventsFlows), abi.EventBudget{Written: 1, Lost: 5}); err != nil {
		t.Fatal(err)
	}
	if e := next(t, events); e.Lost == nil || e.Lost.Count != 5 || e.Endpoint.Container != "web" {
		t.Errorf("after the programs lost events: %+v", e)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestOpenNamesWhatIsMissing(t *testing.T) {
	_, err := Open(t.TempDir())
	if err == nil || !strings.HasPrefix(err.Error(), "open map events: ") {
		t.Errorf("error %v", err)
	}
}
