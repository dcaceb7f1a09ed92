package main

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/bench/stats"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
)

// partPolicy is the policy of one of n containers: it may be reached by the next one, and reaches all, each by a port of its
// own. So each container is selected by all policies, and no two have the same table.
func partPolicy(i, n, port int) string {
	return fmt.Sprintf(`---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: part-%[1]d}
specs:
- endpointSelector: {matchLabels: {app: crowd}}
  ingress:
  - fromEndpoints: [{matchLabels: {part: "%[1]d"}}]
    toPorts: [{ports: [{port: "%[2]d", protocol: TCP}]}]
- endpointSelector: {matchLabels: {part: "%[1]d"}}
  ingress:
  - fromEndpoints: [{matchLabels: {part: "%[3]d"}}]
    toPorts: [{ports: [{port: "%[4]d", protocol: TCP}]}]
`, i, 10000+i, i%n+1, port)
}

// partPolicies are those of n containers.
func partPolicies(n, port int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(partPolicy(i+1, n, port))
	}
	return b.String()
}

// measureMany applies a policy for each container of the crowd, all at once, each time others. It answers with the wall clock
// from the documents to the moment when all are enforced everywhere, and with the daemon's processor time; ms.
func (s *scene) measureMany(ctx context.Context) (wall, cpu []float64, err error) {
	for i := range repeats + 1 {
		text := partPolicies(crowd, ports[i%len(ports)])
		used, err := daemonCPU(s.sluice)
		if err != nil {
			return nil, nil, err
		}
		before := time.Now()
		change, err := s.apply(ctx, text)
		took := time.Since(before)
		if err != nil {
			return nil, nil, err
		}
		after, err := daemonCPU(s.sluice)
		if err != nil {
			return nil, nil, err
		}
		if n := len(change.Regenerations); n != crowd {
			return nil, nil, fmt.Errorf("apply %d policies: %d programs were regenerated, all of them select %d containers", crowd, n, crowd)
		}
		for _, r := range change.Regenerations {
			if r.Error != "" {
				return nil, nil, fmt.Errorf("regenerate %s: %s", r.Container, r.Error)
			}
		}
		if i > 0 { // the first one makes the policies
			wall, cpu = append(wall, millis(took)), append(cpu, millis(after-used))
		}
	}
	var names []string
	for i := range crowd {
		names = append(names, fmt.Sprintf("part-%d", i+1))
	}
	_, err = s.api.DeletePolicies(ctx, api.DeleteRequest{Names: names, Waiting: api.Waiting{Wait: true, Timeout: patience}})
	return wall, cpu, err
}

// manyRow judges the clock of the whole request.
func manyRow(wall, cpu []float64) row {
	r := valueRow(fmt.Sprintf("%d policies to %d containers, enforced", crowd, crowd), "ms", wall, 1000)
	r.Note = fmt.Sprintf("each policy selects all containers, each container has another table of %d entries; %.0f ms of processor time of the daemon",
		crowd+1, stats.Median(cpu))
	return r
}

// The identities and rules whose tables are worked out, and how often that is measured.
const (
	resolved       = 1000
	resolveRepeats = 7
)

// measureResolve works out the tables of a thousand containers under a thousand rules, each from nothing. It answers with
// milliseconds and MiB that were allocated.
func measureResolve(o options) ([]row, error) {
	o.progress("resolution")
	known := make([]policy.KnownIdentity, resolved)
	var text strings.Builder
	for i := range known {
		part := fmt.Sprint(i + 1)
		known[i] = policy.KnownIdentity{ID: identity.First + identity.ID(i),
			Labels: identity.Labels{"part": part, identity.LabelNetwork: "net"}}
		fmt.Fprintf(&text, `---
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: part-%[1]s}
spec:
  endpointSelector: {matchLabels: {part: "%[1]s"}}
  ingress:
  - fromEndpoints: [{matchLabels: {part: "%[2]d"}}]
    toPorts: [{ports: [{port: "%[3]d", protocol: TCP}]}]
`, part, (i+1)%resolved+1, 1000+i)
	}
	policies, err := policy.Parse(strings.NewReader(text.String()), "bench")
	if err != nil {
		return nil, fmt.Errorf("measure resolution: %w", err)
	}
	set, err := policy.NewSet(policies...)
	if err != nil {
		return nil, fmt.Errorf("measure resolution: %w", err)
	}
	var took, allocated []float64
	var before, after runtime.MemStats
	for range resolveRepeats {
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		if err := resolveAll(set, known); err != nil {
			return nil, fmt.Errorf("measure resolution: %w", err)
		}
		took = append(took, millis(time.Since(start)))
		runtime.ReadMemStats(&after)
		allocated = append(allocated, float64(after.TotalAlloc-before.TotalAlloc)/(1<<20))
	}
	title := fmt.Sprintf("resolve %d identities under %d rules", resolved, resolved)
	return []row{valueRow(title, "ms", took, 200), valueRow(title+", allocated", "MiB", allocated, 50)}, nil
}

// resolveAll works out the tables of every identity, from nothing.
func resolveAll(set *policy.Set, known []policy.KnownIdentity) error {
	universe := policy.NewUniverse(known...)
	for _, k := range known {
		tables, err := policy.Resolve(set, policy.Subject{Labels: k.Labels}, universe)
		if err != nil {
			return err
		}
		if tables.Ingress.Entries() == 0 {
			return fmt.Errorf("identity %d has no table", k.ID)
		}
	}
	return nil
}
