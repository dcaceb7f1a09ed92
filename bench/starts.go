package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sluice-net/sluice/integration/hosts"
)

// start is one kind of docker run.
type start struct {
	host    *hosts.Host
	network string
}

// measureStarts runs containers to their end on each host, without network and with one. It answers with what the network
// costs beyond none, in ms, a value a round, for Sluice and for the bridge.
func (s *scene) measureStarts(ctx context.Context, o options) (sluice, bridge []float64, err error) {
	kinds := []start{{s.sluice, "bench"}, {s.sluice, "none"}, {s.docker, "bench"}, {s.docker, "none"}}
	order := rand.New(rand.NewPCG(o.seed, 1))
	for range o.starts {
		took := map[start]float64{}
		for _, i := range order.Perm(len(kinds)) {
			k := kinds[i]
			before := time.Now()
			if _, err := k.host.Output(ctx, "docker", "run", "--rm", "--network", k.network, hosts.Image, "true"); err != nil {
				return nil, nil, fmt.Errorf("run container on %s: %w", k.network, err)
			}
			took[k] = millis(time.Since(before))
		}
		sluice = append(sluice, took[kinds[0]]-took[kinds[1]])
		bridge = append(bridge, took[kinds[2]]-took[kinds[3]])
	}
	return sluice, bridge, nil
}
