package packettest

import (
	"math/bits"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

// switches are all features of bpf/abi/config.h, those of one string together: each is of another program.
var switches = []string{"IPV4", "IPV6", "INTERNAL", "MASQUERADE", "SERVICES", "POLICY_EGRESS", "POLICY_INGRESS",
	"POLICY_PUBLISH", "RATE_EGRESS RATE_INGRESS"}

// verifiedMax is how many instructions the verifier may walk for a container's program, without policies: a replacement
// takes 1.3 µs for each.
var verifiedMax = map[string]uint32{"closed": 400, "plain": 2900, "everything": 3250, "limited": 3450}

// Every combination of features loads. A short run, such as that on an emulated machine, tries only those in which at
// most one is on, or at most one is off.
func TestPrivilegedFeatureCombinations(t *testing.T) {
	k := newKernel(t)
	for set := range 1 << len(switches) {
		if on := bits.OnesCount(uint(set)); testing.Short() && on > 1 && on < len(switches)-1 {
			continue
		}
		f := features{}
		for i, names := range switches {
			for _, name := range strings.Fields(names) {
				f[name] = set>>i&1 == 1
			}
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
		"everything": {features: open.with("MASQUERADE", "SERVICES", "POLICY_EGRESS", "POLICY_INGRESS", "POLICY_PUBLISH")},
		"limited":    {features: open.with("MASQUERADE", "SERVICES", "POLICY_EGRESS", "POLICY_INGRESS", "RATE_EGRESS", "RATE_INGRESS")},
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
			// Older verifiers walk more; the size of a load is held on this one.
			if verified > verifiedMax[about] && !testing.Short() {
				t.Errorf("%s, %s: %d instructions verified, want at most %d", about, name, verified, verifiedMax[about])
			}
		}
	}
}
