package maps

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/sluice-net/sluice/datapath/obj"
	"github.com/sluice-net/sluice/internal/testutil"
)

// newMap makes a map as the compiled objects declare it, so that keys and values are those of the programs.
func newMap(t testing.TB, name string) *ebpf.Map {
	t.Helper()
	testutil.Privileged(t)
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	for _, object := range [][]byte{obj.Container(), obj.Uplink(), obj.Shared(), obj.Socket()} {
		spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
		if err != nil {
			t.Fatal(err)
		}
		s := spec.Maps[name]
		if s == nil {
			continue
		}
		if s.Type == ebpf.LRUHash {
			s.MaxEntries = 16384
		}
		m, err := ebpf.NewMap(s)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		return m
	}
	t.Fatalf("no object has a map %s", name)
	return nil
}

func addr(s string) netip.Addr         { return netip.MustParseAddr(s) }
func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
