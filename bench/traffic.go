package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sluice-net/sluice/bench/load"
)

// task is one thing to measure in every round.
type task struct {
	path string
	mode load.Mode
}

// tasks are what a round consists of.
func tasks() []task {
	var out []task
	for _, mode := range []load.Mode{load.RR, load.CRR, load.Stream, load.UDP} {
		for _, p := range []string{pathBare, pathBridge, pathSluice} {
			out = append(out, task{p, mode})
		}
	}
	for _, mode := range []load.Mode{load.RR, load.CRR, load.Stream} {
		for _, p := range []string{pathQuiet, pathLoud} {
			out = append(out, task{p, mode})
		}
	}
	for _, mode := range []load.Mode{load.RR, load.CRR} {
		for _, p := range []string{pathMany, pathPort, pathPortMany, pathDockerPort, pathSluicePlain, pathBridgePlain} {
			out = append(out, task{p, mode})
		}
	}
	return out
}

// samples hold one value a round: µs, or for a stream seconds of CPU per GB.
type samples map[task][]float64

// measureTraffic runs rounds, each with every task in an order of its own.
func (s *scene) measureTraffic(ctx context.Context, o options, all []task) (samples, error) {
	out := samples{}
	order := rand.New(rand.NewPCG(o.seed, 0))
	for round := range o.rounds {
		order.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, t := range all {
			v, err := s.measure(ctx, t, o)
			if err != nil {
				return nil, fmt.Errorf("measure %s by %s in round %d: %w", t.mode, t.path, round+1, err)
			}
			out[t] = append(out[t], v)
		}
		o.progress("round %d of %d", round+1, o.rounds)
	}
	return out, nil
}

func (s *scene) measure(ctx context.Context, t task, o options) (float64, error) {
	sample, err := s.send(ctx, t, o.slice, o.cpu)
	if err != nil {
		return 0, err
	}
	switch t.mode {
	case load.Stream:
		return sample.CPUPerGB().Seconds(), nil
	case load.UDP:
		return micros(sample.CPUPerPacket()), nil
	}
	return micros(sample.Client.P50), nil
}

// send runs a load over a path.
func (s *scene) send(ctx context.Context, t task, d time.Duration, cpu int) (load.Sample, error) {
	p, ok := s.paths[t.path]
	if !ok {
		return load.Sample{}, fmt.Errorf("no path %q", t.path)
	}
	return load.Measure(ctx,
		load.Spec{Namespace: p.server, CPU: cpu, Addr: p.listen},
		load.Spec{Namespace: p.client, CPU: cpu, Addr: p.connect, Mode: t.mode, Duration: d})
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
