package datapath

import (
	"testing"

	"github.com/sluice-net/sluice/policy"
)

// Whatever programs are made from makes another fingerprint.
func TestFingerprint(t *testing.T) {
	seen := map[string]string{}
	for name, change := range map[string]func(*Program){
		"nothing":   func(*Program) {},
		"revision":  func(p *Program) { p.Revision++ },
		"closed":    func(p *Program) { p.Closed = true },
		"egress":    func(p *Program) { p.Egress = tableOf(1) },
		"ingress":   func(p *Program) { p.Ingress = tableOf(1) },
		"publish":   func(p *Program) { p.Publish = tableOf(1) },
		"published": func(p *Program) { p.Publish = &policy.Table{} },
		"audit":     func(p *Program) { p.Enforcement = Audit },
		"learn":     func(p *Program) { p.Enforcement = Learn },
	} {
		p := sample(1)
		change(&p)
		sum := p.Fingerprint()
		if other, ok := seen[sum]; ok {
			t.Errorf("%s and %s have one fingerprint", name, other)
		}
		seen[sum] = name
		if again := p; again.Fingerprint() != sum {
			t.Errorf("%s has two fingerprints", name)
		}
	}
}
