package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/bench/stats"
	"github.com/sluice-net/sluice/integration/hosts"
)

const (
	// repeats is how often a regeneration is measured.
	repeats = 15
	// crowd is how many containers are regenerated at once.
	crowd = 100
	// crowdAtOnce is how many of them start at a time.
	crowdAtOnce = 4
)

// ports are what the regenerated containers' policy lets in, in turn: each apply is a change.
var ports = [2]int{9000, 9001}

// measureRegeneration changes the policy of the containers of an app again and again. It answers with the wall clock of
// the whole request, from the document to the last program swapped, and with what the daemon says one program took; ms.
func (s *scene) measureRegeneration(ctx context.Context, app string, containers int) (wall, each []float64, err error) {
	for i := range repeats + 1 {
		text := regenerationPolicy(app, ports[i%len(ports)])
		before := time.Now()
		change, err := s.apply(ctx, text)
		took := time.Since(before)
		if err != nil {
			return nil, nil, err
		}
		if len(change.Regenerations) != containers {
			return nil, nil, fmt.Errorf("apply policy: %d programs were regenerated, %d containers are selected",
				len(change.Regenerations), containers)
		}
		var own []float64
		for _, r := range change.Regenerations {
			if r.Error != "" {
				return nil, nil, fmt.Errorf("regenerate %s: %s", r.Container, r.Error)
			}
			own = append(own, millis(r.Took))
		}
		if i == 0 {
			continue // the first one makes the policy
		}
		wall, each = append(wall, millis(took)), append(each, stats.Median(own))
	}
	_, err = s.api.DeletePolicies(ctx, api.DeleteRequest{Names: []string{app}, Waiting: api.Waiting{Wait: true}})
	return wall, each, err
}

// measureAgain regenerates a container with a policy again and again; ms of its programs.
func (s *scene) measureAgain(ctx context.Context, container string) (took []float64, err error) {
	if _, err := s.apply(ctx, regenerationPolicy(container, ports[0])); err != nil {
		return nil, err
	}
	for range 2 * repeats {
		results, err := s.api.Regenerate(ctx, api.RegenerateRequest{Refs: []string{container}})
		if err != nil {
			return nil, fmt.Errorf("regenerate %s: %w", container, err)
		}
		for _, r := range results {
			if r.Error != "" {
				return nil, fmt.Errorf("regenerate %s: %s", r.Container, r.Error)
			}
			took = append(took, millis(r.Took))
		}
	}
	_, err = s.api.DeletePolicies(ctx, api.DeleteRequest{Names: []string{container}, Waiting: api.Waiting{Wait: true}})
	return took, err
}

func regenerationPolicy(app string, port int) string {
	return fmt.Sprintf(`apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: %s}
spec:
  endpointSelector: {matchLabels: {app: %s}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: client}}]
    toPorts: [{ports: [{port: "%d", protocol: TCP}]}]
`, app, app, port)
}

// gather starts the containers of the crowd and waits until their programs are made for their labels.
func (s *scene) gather(ctx context.Context) error {
	const script = `seq "$1" | xargs -P "$2" -I N docker run -d --name crowd-N --network bench --label app=crowd --label part=N "$3" sleep 86400 >/dev/null`
	_, err := s.sluice.Output(ctx, "sh", "-ec", script, "sh", fmt.Sprint(crowd), fmt.Sprint(crowdAtOnce), hosts.Image)
	if err != nil {
		return fmt.Errorf("start %d containers: %w", crowd, err)
	}
	return hosts.Poll(patience, func() error {
		all, err := s.api.Endpoints(ctx)
		if err != nil {
			return err
		}
		ready := 0
		for _, e := range all {
			if e.State == api.StateReady && strings.HasPrefix(e.Container, "crowd-") {
				ready++
			}
		}
		if ready != crowd {
			return fmt.Errorf("%d of %d containers are ready", ready, crowd)
		}
		return nil
	})
}

// dismissMany removes the containers with large policies and these: other measurements are of ordinary ones.
func (s *scene) dismissMany(ctx context.Context) error {
	names := []string{"many-client", "many-server", "quiet-client", "quiet-server", "loud-client", "loud-server"}
	if _, err := s.sluice.Output(ctx, append([]string{"docker", "rm", "-f"}, names...)...); err != nil {
		return err
	}
	_, err := s.api.DeletePolicies(ctx, api.DeleteRequest{
		Names: names, Waiting: api.Waiting{Wait: true}})
	return err
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
