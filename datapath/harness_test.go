package datapath

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/testutil"
)

// bpffs mounts a BPF file system of the test's own and returns its directory.
func bpffs(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatalf("mount bpffs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount bpffs: %v", err)
		}
	})
	return dir
}

// smallMaps keeps tests from taking 60 MB of kernel memory each.
var smallMaps = map[string]uint32{"flows_tcp": 1024, "flows_any": 1024, "nat": 1024}

func openLoader(t testing.TB, dir string) *Loader {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	l, err := Open(Options{PinDir: dir, MapSizes: smallMaps, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// sample is a program of an open container with both families.
func sample(slot uint32) Program {
	return Program{
		Slot: slot, Identity: 256 + slot, Network: 1, Revision: 1, HostIfindex: 1,
		HostMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 2},
		IPv4: netip.MustParsePrefix("10.1.0.2/16"), IPv6: netip.MustParsePrefix("fd00::2/64"),
		Gateway4: netip.MustParseAddr("10.1.0.1"), Gateway6: netip.MustParseAddr("fd00::1"), Masquerade: true,
	}
}

func TestPrivilegedReplace(t *testing.T) {
	testutil.Privileged(t)
	l := openLoader(t, bpffs(t))
	p := sample(7)
	if err := l.Replace(context.Background(), p); err != nil {
		t.Fatalf("%+v", err)
	}
	got, err := l.Loaded()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[7] != p.Fingerprint() {
		t.Fatalf("loaded %v, want %s in slot 7", got, p.Fingerprint())
	}
}

func BenchmarkPrivilegedReplace(b *testing.B) {
	testutil.Privileged(b)
	l := openLoader(b, bpffs(b))
	for b.Loop() {
		if err := l.Replace(context.Background(), sample(7)); err != nil {
			b.Fatal(err)
		}
	}
}
