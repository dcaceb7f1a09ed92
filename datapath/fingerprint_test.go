package datapath

import (
	"testing"

	"github.com/sluice-net/sluice/policy"
)

func TestFingerprint(t *testing.T) {
	base := sample(1)
	if base.Fingerprint() != sample(1).Fingerprint() {
		t.Fatal("equal programs have different fingerprints")
	}
	seen := map[string]string{base.Fingerprint(): "the base"}
	changes := map[string]func(*Program){
		"slot":       func(p *Program) { p.Slot++ },
		"identity":   func(p *Program) { p.Identity++ },
		"network":    func(p *Program) { p.Network++ },
		"revision":   func(p *Program) { p.Revision++ },
		"ifindex":    func(p *Program) { p.HostIfindex++ },
		"MAC":        func(p *Program) { p.MAC = []byte{2, 0, 0, 0, 0, 3} },
		"host MAC":   func(p *Program) { p.HostMAC = []byte{2, 0, 0, 0, 0, 3} },
		"IPv4":       func(p *Program) { p.IPv4 = Program{}.IPv4 },
		"IPv6":       func(p *Program) { p.IPv6 = Program{}.IPv6 },
		"gateway 4":  func(p *Program) { p.Gateway4 = p.Gateway4.Next() },
		"gateway 6":  func(p *Program) { p.Gateway6 = p.Gateway6.Next() },
		"closed":     func(p *Program) { p.Closed = true },
		"internal":   func(p *Program) { p.Internal = true },
		"masquerade": func(p *Program) { p.Masquerade = false },
		"egress":     func(p *Program) { p.Egress = tableOf(1) },
		"egress 0":   func(p *Program) { p.Egress = tableOf(0) },
		"ingress":    func(p *Program) { p.Ingress = tableOf(1) },
		"publish":    func(p *Program) { p.Publish = tableOf(1) },
		"audit":      func(p *Program) { p.Enforcement = policy.Audit },
		"learn":      func(p *Program) { p.Enforcement = policy.Learn },
		"no level":   func(p *Program) { p.Level = policy.LevelNone },
		"drops":      func(p *Program) { p.Level = policy.LevelDrops },
		"packets":    func(p *Program) { p.Level = policy.LevelPackets },
		"capture":    func(p *Program) { p.Capture = 96 },
		"capture+":   func(p *Program) { p.Capture = 1600 },
		"sends":      func(p *Program) { p.EgressRate.BitsPerSecond = 1e6 },
		"send burst": func(p *Program) { p.EgressRate = policy.Rate{BitsPerSecond: 1e6, BurstBytes: 1} },
		"is sent":    func(p *Program) { p.IngressRate.BitsPerSecond = 1e6 },
		"sent burst": func(p *Program) { p.IngressRate = policy.Rate{BitsPerSecond: 1e6, BurstBytes: 1} },
	}
	for name, change := range changes {
		p := sample(1)
		change(&p)
		f := p.Fingerprint()
		if other, ok := seen[f]; ok {
			t.Errorf("%s has the fingerprint of %s", name, other)
		}
		seen[f] = name
	}
	flows := sample(1)
	flows.Level = policy.LevelFlows
	if flows.Fingerprint() != base.Fingerprint() {
		t.Error("what holds where nothing is said of the level differs from its own name")
	}
	if f := base.Fingerprint(); len(f) != 2*fingerprintSize || f == Mixed {
		t.Errorf("fingerprint %q", f)
	}
}
