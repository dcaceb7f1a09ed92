package packettest

import (
	"testing"

	"github.com/cilium/ebpf"
)

// switches are all features of bpf/abi/config.h.
var switches = []string{"IPV4", "IPV6", "INTERNAL", "MASQUERADE", "SERVICES", "POLICY_EGRESS", "POLICY_INGRESS"}

// insnsMax is how long a container's program may be, in instructions as the kernel runs them, with everything on.
const insnsMax = 5500

// Every combination of features loads.
func TestPrivilegedFeatureCombinations(t *testing.T) {
	k := newKernel(t)
	for bits := range 1 << len(switches) {
		f := features{}
		for i, name := range switches {
			f[name] = bits>>i&1 == 1
		}
		p, err := k.tryLoad(alice, options{features: f})
		if err != nil {
			t.Fatalf("%v: %+v", f, err)
		}
		p.egress.Close()
		p.ingress.Close()
	}
}

// Programs stay small: their size is what a change of policy waits for.
func TestPrivilegedProgramSize(t *testing.T) {
	k := newKernel(t)
	for about, o := range map[string]options{
		"closed":     {features: open, closed: true},
		"plain":      {features: open},
		"everything": {features: open.with("MASQUERADE", "SERVICES", "POLICY_EGRESS", "POLICY_INGRESS")},
	} {
		p := k.load(alice, o)
		for name, program := range map[string]*ebpf.Program{"egress": p.egress, "ingress": p.ingress} {
			info, err := program.Info()
			if err != nil {
				t.Fatal(err)
			}
			insns, err := info.Instructions()
			if err != nil {
				t.Fatal(err)
			}
			verified, _ := info.VerifiedInstructions()
			t.Logf("%s, %s: %d instructions, %d verified", about, name, len(insns), verified)
			if len(insns) > insnsMax {
				t.Errorf("%s, %s: %d instructions, want at most %d", about, name, len(insns), insnsMax)
			}
		}
	}
}
