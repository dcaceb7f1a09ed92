package netns

import (
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/testutil"
)

func TestMain(m *testing.M) { os.Exit(Isolated(m.Run)) }

func addVeth(t *testing.T, name string) {
	t.Helper()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, TxQLen: -1}, PeerName: name + "p"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}}) })
}

func TestPrivilegedIsolated(t *testing.T) {
	testutil.Privileged(t)
	lines, err := Snapshot(BPFDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if strings.HasPrefix(l, "device ") && !strings.HasPrefix(l, "device lo") || strings.HasPrefix(l, "file ") && !strings.HasSuffix(l, ".debug") {
			t.Errorf("the tests' namespace is not empty: %s", l)
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(BPFDir, &st); err != nil || int64(st.Type) != unix.BPF_FS_MAGIC {
		t.Errorf("%s is no BPF file system: %v", BPFDir, err)
	}
	if _, err := os.ReadDir("/sys/class/net/lo"); err != nil {
		t.Error(err)
	}
}

func TestPrivilegedNamespaces(t *testing.T) {
	testutil.Privileged(t)
	Unchanged(t, namedDir)
	n := Temp(t, "netns-test")
	inside := func() (lines []string) {
		if err := n.Do(func() (err error) { lines, err = Snapshot(); return err }); err != nil {
			t.Fatal(err)
		}
		return lines
	}
	before := inside()
	addVeth(t, "outer")
	if len(inside()) != len(before) {
		t.Error("a device of this namespace shows in the other")
	}
	h, err := n.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if _, err := h.LinkByName("outer"); err == nil {
		t.Error("netlink of the other namespace finds a device of this one")
	}
	named, err := Open(namedDir + "/netns-test")
	if err != nil {
		t.Fatal(err)
	}
	defer named.Close()
	var a, b unix.Stat_t
	if unix.Fstat(named.FD(), &a) != nil || unix.Fstat(n.FD(), &b) != nil || a.Ino != b.Ino {
		t.Error("the name belongs to another namespace")
	}
	if _, err := New("netns-test"); err == nil {
		t.Error("a second namespace took the name of the first")
	}
}

// failures counts what a test would have said.
type failures struct {
	testing.TB
	errors  int
	cleanup func()
}

func (f *failures) Helper()               {}
func (f *failures) Errorf(string, ...any) { f.errors++ }
func (f *failures) Cleanup(c func())      { f.cleanup = c }

func TestPrivilegedUnchanged(t *testing.T) {
	testutil.Privileged(t)
	f := &failures{TB: t}
	Unchanged(f)
	addVeth(t, "left")
	if f.cleanup(); f.errors == 0 {
		t.Error("a device was left, and nothing said so")
	}
}
