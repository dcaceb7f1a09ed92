package datapath

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/testutil"
)

func TestParseMounts(t *testing.T) {
	const text = `24 30 0:22 / /proc rw,nosuid - proc proc rw
35 24 0:30 / /sys/fs/cgroup/unified rw shared:9 master:2 - cgroup2 cgroup2 rw
36 24 0:30 /../.. /mnt/with\040space rw - cgroup2 none rw`
	got, err := parseMounts(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []mountPoint{
		{root: "/", path: "/proc", kind: "proc"},
		{root: "/", path: "/sys/fs/cgroup/unified", kind: "cgroup2"},
		{root: "/../..", path: "/mnt/with space", kind: "cgroup2"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(mountPoint{})); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"nonsense", "1 2 3 - cgroup2", "1 2 3 / /x rw cgroup2"} {
		if got, err := parseMounts(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was understood: %v", bad, got)
		}
	}
}

func TestAbove(t *testing.T) {
	for root, want := range map[string]int{"/": 0, "/..": 1, "/../..": 2, "/docker/x": -1, "/../docker": -1, "/..a": -1, "": -1} {
		if got := above(root); got != want {
			t.Errorf("above(%q) = %d, want %d", root, got, want)
		}
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{`a\040b`: "a b", `\011`: "\t", `a\`: `a\`, `\9`: `\9`, `\999x`: `\999x`, `\134`: `\`} {
		if got := unescape(in); got != want {
			t.Errorf("unescape(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add(`36 24 0:30 /../.. /mnt/with\040space rw - cgroup2 none rw`)
	f.Fuzz(func(t *testing.T, text string) {
		points, err := parseMounts(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, p := range points {
			if p.path == "" || p.root == "" {
				t.Errorf("%q gave %+v", text, p)
			}
		}
	})
}

func TestPrivilegedCgroupRoot(t *testing.T) {
	testutil.Privileged(t)
	root, err := CgroupRoot("/nonexistent")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
		t.Errorf("%s is not the root of control groups: %v", root, err)
	}

	// Where it is mounted nowhere, it is mounted.
	if err := unix.Mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH)
	own := filepath.Join(t.TempDir(), "made", "cgroup2")
	root, err = CgroupRoot(own)
	if err != nil {
		t.Fatal(err)
	}
	if root != own {
		testutil.NotSupported(t, "a host without control groups", "", errors.New("another mount is there: "+root))
	}
	defer unix.Unmount(own, unix.MNT_DETACH)
	if _, err := os.Stat(filepath.Join(own, "cgroup.procs")); err != nil {
		t.Error(err)
	}
	if again, err := CgroupRoot(own); err != nil || again != own {
		t.Errorf("the second time: %q, %v", again, err)
	}
}

func TestPrivilegedMountBPF(t *testing.T) {
	testutil.Privileged(t)
	usual := filepath.Join(testPins, "mount-test", "deep")
	defer os.RemoveAll(testPins)
	own := filepath.Join(t.TempDir(), "pins")
	defer unix.Unmount(own, unix.MNT_DETACH)
	for _, dir := range []string{usual, own, own, filepath.Join(own, "deeper")} {
		if err := MountBPF(dir); err != nil {
			t.Fatal(err)
		}
		if !isMounted(dir, unix.BPF_FS_MAGIC) {
			t.Errorf("%s is on no BPF file system", dir)
		}
	}
	points, err := mounts()
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, m := range points {
		if m.kind == "bpf" && strings.HasPrefix(m.path, own) {
			count++
		}
	}
	if count != 1 {
		t.Errorf("%d BPF file systems under %s", count, own)
	}
	if err := MountBPF("/proc/self/nothing"); err == nil {
		t.Error("pins in /proc were accepted")
	}
}
