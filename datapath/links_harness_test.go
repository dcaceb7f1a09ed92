package datapath

import (
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"
	"github.com/sirupsen/logrus"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/netns"
	"github.com/sluice-net/sluice/internal/testutil"
)

func TestMain(m *testing.M) { os.Exit(netns.Isolated(m.Run)) }

// testSlots is the size of the program arrays in these tests.
const testSlots = 4096

// testPins is the directory of pins, in the BPF file system of these tests.
const testPins = netns.BPFDir + "/sluice"

// testDoors are doors like the real ones: a tail call into an array, and a drop where the slot is empty.
type testDoors struct{ egress, ingress *ebpf.Map }

func newTestDoors(t testing.TB) testDoors {
	t.Helper()
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	array := func() *ebpf.Map {
		m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: testSlots})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		return m
	}
	return testDoors{array(), array()}
}

func (d testDoors) Doors(slot uint32) (from, to *ebpf.Program, err error) {
	if from, err = testDoor(d.egress, slot); err != nil {
		return nil, nil, err
	}
	if to, err = testDoor(d.ingress, slot); err != nil {
		from.Close()
		return nil, nil, err
	}
	return from, to, nil
}

func testDoor(array *ebpf.Map, slot uint32) (*ebpf.Program, error) {
	return ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMapPtr(asm.R2, array.FD()),
		asm.Mov.Imm(asm.R3, int32(slot)),
		asm.FnTailCall.Call(),
		asm.Mov.Imm(asm.R0, 2), // TC_ACT_SHOT
		asm.Return(),
	}})
}

// verdict is a program that answers always the same.
func verdict(t testing.TB, answer int32) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, answer), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func testLog(t testing.TB) logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(t.Output())
	return log
}

// eventually polls until ok, or fails the test.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("still not: " + what)
		}
	}
}

// bothWays runs a test with tcx and with clsact.
func bothWays(t *testing.T, test func(t *testing.T, clsact bool)) {
	testutil.Privileged(t)
	t.Run("tcx", func(t *testing.T) {
		if !haveTCX() {
			testutil.NotSupported(t, "tcx", "6.6", errors.New("query refused"))
		}
		netns.Unchanged(t, netns.BPFDir)
		test(t, false)
	})
	t.Run("clsact", func(t *testing.T) {
		netns.Unchanged(t, netns.BPFDir)
		test(t, true)
	})
}

type testLinks struct {
	*Links
	doors testDoors
}

// openLinks opens Links that are closed, and their pairs removed, with the test.
func openLinks(t testing.TB, cfg LinksConfig, inUse ...uint32) testLinks {
	t.Helper()
	cfg.Prefix, cfg.PinDir, cfg.Log = "slc", testPins, testLog(t)
	if cfg.Slots == 0 {
		cfg.Slots = testSlots
	}
	doors := newTestDoors(t)
	l, err := OpenLinks(cfg, doors, inUse)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if l.front.host == nil {
			return // abandoned
		}
		pairs, err := l.List()
		if err != nil {
			t.Error(err)
		}
		for _, v := range pairs {
			if err := l.Release(v.Slot); err != nil {
				t.Error(err)
			}
		}
		if err := errors.Join(l.Gateways(nil), l.Close(), os.RemoveAll(testPins)); err != nil {
			t.Error(err)
		}
	})
	return testLinks{l, doors}
}

// abandon ends Links as a killed daemon would: what is in the kernel stays as it is.
func (l testLinks) abandon() {
	l.stop()
	<-l.done
	l.closeHosts()
	l.front.host = nil
}

func (l testLinks) take(t testing.TB) Veth {
	t.Helper()
	v, err := l.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (l testLinks) pooled() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ready)
}

func (l testLinks) busy() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.slots)
}

func addrs(s ...string) []netip.Addr {
	var list []netip.Addr
	for _, a := range s {
		list = append(list, netip.MustParseAddr(a))
	}
	return list
}

func netlinkHandle(t testing.TB) *netlink.Handle {
	t.Helper()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}
