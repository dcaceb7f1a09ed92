package datapath

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	ebpflink "github.com/cilium/ebpf/link"

	"github.com/sluice-net/sluice/internal/netns"
	"github.com/sluice-net/sluice/internal/testutil"
)

// testSockets are programs that allow everything.
type testSockets struct {
	t     *testing.T
	names []string
}

func (s testSockets) Sockets(cookie uint64) (map[string]*ebpf.Program, error) {
	if cookie == 0 {
		s.t.Error("the cookie of the network namespace is 0")
	}
	loaded := map[string]*ebpf.Program{}
	for _, name := range s.names {
		kind := ebpf.CGroupSockAddr
		if socketHooks[name] == ebpf.AttachCGroupSockOps {
			kind = ebpf.SockOps
		}
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: kind, AttachType: socketHooks[name], License: "GPL",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}})
		if err != nil {
			return nil, err
		}
		loaded[name] = p
	}
	return loaded, nil
}

// testCgroup makes a control group of the test's own.
func testCgroup(t *testing.T) string {
	t.Helper()
	root, err := CgroupRoot(filepath.Join(t.TempDir(), "cgroup2"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(root, "sluice-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	return dir
}

// socketLinks returns the ids of link and program behind every pin.
func socketLinks(t *testing.T) map[string][2]uint32 {
	t.Helper()
	pins, err := os.ReadDir(filepath.Join(testPins, "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string][2]uint32{}
	for _, pin := range pins {
		l, err := ebpflink.LoadPinnedLink(filepath.Join(testPins, "cgroup", pin.Name()), nil)
		if err != nil {
			t.Fatal(err)
		}
		info, err := l.Info()
		l.Close()
		if err != nil {
			t.Fatal(err)
		}
		ids[pin.Name()] = [2]uint32{uint32(info.ID), uint32(info.Program)}
	}
	return ids
}

func TestPrivilegedAttachSockets(t *testing.T) {
	testutil.Privileged(t)
	netns.Unchanged(t, netns.BPFDir)
	t.Cleanup(func() {
		if err := os.RemoveAll(testPins); err != nil {
			t.Error(err)
		}
	})
	group := testCgroup(t)
	attach := func(names ...string) map[string][2]uint32 {
		t.Helper()
		if err := AttachSockets(group, testPins, testSockets{t, names}); err != nil {
			t.Fatal(err)
		}
		return socketLinks(t)
	}
	attached := func(name string) int {
		t.Helper()
		dir, err := os.Open(group)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		r, err := ebpflink.QueryPrograms(ebpflink.QueryOptions{Target: int(dir.Fd()), Attach: socketHooks[name]})
		if err != nil {
			t.Fatal(err)
		}
		return len(r.Programs)
	}
	var all []string
	for name := range socketHooks {
		all = append(all, name)
	}
	before := attach(all...)
	if len(before) != len(socketHooks) {
		t.Errorf("pins %v, want one for each of %v", before, all)
	}
	after := attach(all...)
	for name := range socketHooks {
		if after[name][0] != before[name][0] || after[name][1] == before[name][1] {
			t.Errorf("%s: link and program %v, were %v: want the same link with another program", name, after[name], before[name])
		}
		if n := attached(name); n != 1 {
			t.Errorf("%s: %d programs attached", name, n)
		}
	}

	if after = attach("connect4"); len(after) != 1 {
		t.Errorf("hooks that there are no more: pins %v", after)
	}
	eventually(t, "connect6 is detached", func() bool { return attached("connect6") == 0 }) // the kernel does it later

	// The group goes, and another one comes in its place.
	if err := os.Remove(group); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	if again := attach("connect4"); again["connect4"][0] == after["connect4"][0] || attached("connect4") != 1 {
		t.Errorf("the new group has %d programs", attached("connect4"))
	}

	err := AttachSockets(filepath.Join(group, "missing"), filepath.Join(testPins, "other"), testSockets{t, []string{"connect4"}})
	if err == nil || !strings.HasPrefix(err.Error(), "attach socket programs: attach connect4 to control group") {
		t.Errorf("attach to a missing group: %v", err)
	}
}

func TestPrivilegedNetnsCookie(t *testing.T) {
	testutil.Privileged(t)
	here, err := NetnsCookie()
	if err != nil {
		t.Fatal(err)
	}
	var there uint64
	if err := netns.Temp(t, "").Do(func() error { there, err = NetnsCookie(); return err }); err != nil {
		t.Fatal(err)
	}
	if again, _ := NetnsCookie(); here == 0 || here == there || again != here {
		t.Errorf("cookies: here %d, then %d, elsewhere %d", here, again, there)
	}
}
