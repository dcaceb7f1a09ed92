package packettest

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"sort"

	"github.com/cilium/ebpf"
)

func TestTmpVerify(t *testing.T) {
	k := newKernel(t)
	for _, f := range []features{open, {"IPV4": true}, open.with("SERVICES", "MASQUERADE", "POLICY_EGRESS", "POLICY_INGRESS")} {
		for _, n := range []string{"egress", "ingress"} {
			spec := k.spec.Copy()
			alice.constants(spec, options{features: f})
			for p := range spec.Programs {
				if p != n {
					delete(spec.Programs, p)
				}
			}
			c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: k.maps, Programs: ebpf.ProgramOptions{LogLevel: 2, LogSizeStart: 1 << 24}})
			if err != nil {
				t.Fatal(err)
			}
			log := c.Programs[n].VerifierLog
			re := regexp.MustCompile(`^(?:from \d+ to )?\d+: `)
			cnt := map[string]int{}
			cur := "main"
			for _, l := range strings.Split(log, "\n") {
				if strings.HasPrefix(l, "Validating ") {
					cur = strings.Fields(l)[1]
				}
				if re.MatchString(l) && strings.Contains(l, "(") {
					cnt[cur]++
				}
			}
			var ks []string
			for k := range cnt {
				ks = append(ks, k)
			}
			sort.Slice(ks, func(i, j int) bool { return cnt[ks[i]] > cnt[ks[j]] })
			t.Log(f, n)
			for _, k := range ks[:8] {
				t.Log(cnt[k], k)
			}
			t.Log(strings.Split(log, "\n")[len(strings.Split(log, "\n"))-2])
			c.Close()
		}
		var best time.Duration = time.Hour
		for i := 0; i < 15; i++ {
			spec := k.spec.Copy()
			alice.constants(spec, options{features: f})
			delete(spec.Programs, "door_from")
			delete(spec.Programs, "door_to")
			s := time.Now()
			c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: k.maps})
			if err != nil {
				t.Fatal(err)
			}
			if d := time.Since(s); d < best {
				best = d
			}
			c.Close()
		}
		t.Log("both loaded in", best)
	}
}
