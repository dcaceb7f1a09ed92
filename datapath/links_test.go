package datapath

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"
	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/internal/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Isolated(m.Run)) }

// testDoors are doors like the real ones: a tail call into an array, and a drop where the slot is empty.
type testDoors struct{ egress, ingress *ebpf.Map }

func newTestDoors(t *testing.T) testDoors {
	t.Helper()
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	array := func() *ebpf.Map {
		m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 4096})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		return m
	}
	return testDoors{array(), array()}
}

func (d testDoors) Doors(slot uint32) (from, to *ebpf.Program, err error) {
	if from, err = door(d.egress, slot); err != nil {
		return nil, nil, err
	}
	if to, err = door(d.ingress, slot); err != nil {
		from.Close()
		return nil, nil, err
	}
	return from, to, nil
}

func door(array *ebpf.Map, slot uint32) (*ebpf.Program, error) {
	return ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMapPtr(asm.R2, array.FD()),
		asm.Mov.Imm(asm.R3, int32(slot)),
		asm.FnTailCall.Call(),
		asm.Mov.Imm(asm.R0, 2), // TC_ACT_SHOT
		asm.Return(),
	}})
}

// openLinks opens Links in a clean pin directory that are closed with the test.
func openLinks(t *testing.T, pool int, clsact bool, inUse ...uint32) *Links {
	t.Helper()
	log := logrus.New()
	log.SetOutput(t.Output())
	l, err := OpenLinks(LinksConfig{Prefix: "slc", PinDir: netns.BPFDir + "/sluice", Pool: pool, Slots: 4096,
		Clsact: clsact, Log: log}, newTestDoors(t), inUse)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestPrivilegedTakeConfigureRelease(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	for _, clsact := range []bool{false, true} {
		l := openLinks(t, 4, clsact)
		start := time.Now()
		v, err := l.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("take: %v: %+v", time.Since(start), v)
		start = time.Now()
		c := LinkConfig{MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, MTU: 1400,
			Addrs:    []netip.Addr{netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("fd09::2")},
			Gateways: []netip.Addr{netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("fd09::1")}}
		if err := l.Configure(v, c); err != nil {
			t.Fatal(err)
		}
		t.Logf("configure: %v", time.Since(start))
		if err := l.Configure(v, c); err != nil {
			t.Fatal(err)
		}
		start = time.Now()
		if err := l.Release(v.Slot); err != nil {
			t.Fatal(err)
		}
		t.Logf("release: %v", time.Since(start))
		if err := l.Gateways(nil); err != nil {
			t.Fatal(err)
		}
		start = time.Now()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		t.Logf("close: %v", time.Since(start))
		if links, _ := net.Interfaces(); len(links) != 1 {
			t.Errorf("left: %v", links)
		}
	}
}
