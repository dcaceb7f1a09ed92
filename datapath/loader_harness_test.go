package datapath

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/internal/netns"
	"github.com/sluice-net/sluice/policy"
)

// pinDir is a directory of the test's own on the BPF file system.
func pinDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(netns.BPFDir, "loader")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// smallMaps keeps tests from taking 60 MB of kernel memory each.
var smallMaps = map[string]uint32{"flows_tcp": 1024, "flows_any": 1024, "nat": 1024}

func openLoader(t testing.TB, dir string) *Loader {
	t.Helper()
	l, err := Open(loaderOptions(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func loaderOptions(t testing.TB, dir string) Options {
	t.Helper()
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(t.Output())
	return Options{PinDir: dir, MapSizes: smallMaps, Log: log}
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

// tableOf is a table with so many entries: peers that may each reach a port of their own.
func tableOf(entries int) *policy.Table {
	t := &policy.Table{Rules: []policy.RuleRef{{Policy: "test", Rule: "ingress[0]"}}}
	deny := policy.Profile{{}}
	for c := range t.Defaults {
		t.Defaults[c] = deny
	}
	for i := range entries {
		key := 6<<16 | uint32(i%64*100+80)
		t.Identities = append(t.Identities, policy.IdentityProfile{ID: identity.First + identity.ID(i)*3,
			Profile: policy.Profile{{}, {From: key, Verdict: policy.Allow, Rule: 1}, {From: key + 1}}})
	}
	return t
}

// inSlot is the id of a slot's program, 0 if it is empty.
func inSlot(t testing.TB, l *Loader, array string, slot uint32) uint32 {
	t.Helper()
	var id uint32
	if err := l.Map(array).Lookup(slot, &id); err != nil {
		return 0
	}
	return id
}

// policyMaps are the maps of tables that the program in the slot searches.
func policyMaps(t testing.TB, l *Loader, array string, slot uint32) []ebpf.MapID {
	t.Helper()
	p, err := ebpf.NewProgramFromID(ebpf.ProgramID(inSlot(t, l, array, slot)))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		t.Fatal(err)
	}
	ids, _ := info.MapIDs()
	var out []ebpf.MapID
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			t.Fatal(err)
		}
		info, err := m.Info()
		m.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Name) > 7 && info.Name[:7] == "policy_" {
			out = append(out, id)
		}
	}
	return out
}
