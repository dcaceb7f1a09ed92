package main

import (
	"context"
	"fmt"
	"io"
	"sort"
	"text/tabwriter"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/bench/load"
)

// usage is how often a program ran and for how long, all runs together.
type usage struct {
	name string
	runs uint64
	time time.Duration
}

// profile measures how long Sluice's programs run per packet of each kind of load, by the kernel's own statistics. These
// cost time themselves, about as much as the smallest programs: compare, do not add up.
func (s *scene) profile(ctx context.Context, o options, w io.Writer) error {
	enabled, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return fmt.Errorf("enable statistics of programs: %w", err)
	}
	defer enabled.Close()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "LOAD\tPATH\tPROGRAM\tRUNS\tRUNS PER TRANSACTION\tNS PER RUN\t")
	for _, path := range []string{pathBare, pathSluice, pathPort} {
		for _, mode := range []load.Mode{load.RR, load.CRR, load.UDP, load.Stream} {
			if path == pathPort && mode == load.UDP {
				continue // only TCP is published
			}
			before, err := usages()
			if err != nil {
				return err
			}
			sample, err := s.send(ctx, task{path, mode}, o.slice, o.cpu)
			if err != nil {
				return fmt.Errorf("profile %s by %s: %w", mode, path, err)
			}
			after, err := usages()
			if err != nil {
				return err
			}
			transactions := max(sample.Server.Transactions, 1)
			for _, u := range busiest(before, after, transactions/4) {
				fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%.2f\t%d\t\n", mode, path, u.name, u.runs,
					float64(u.runs)/float64(transactions), u.time.Nanoseconds()/int64(u.runs))
			}
		}
	}
	return t.Flush()
}

// usages reads the statistics of all loaded programs, by id.
func usages() (map[ebpf.ProgramID]usage, error) {
	out := map[ebpf.ProgramID]usage{}
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if err != nil {
			return out, nil // the last one
		}
		id = next
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue // gone meanwhile
		}
		stats, err := p.Stats()
		if err == nil {
			out[id] = usage{runs: stats.RunCount, time: stats.Runtime}
			if info, err := p.Info(); err == nil {
				out[id] = usage{info.Name, stats.RunCount, stats.Runtime}
			}
		}
		p.Close()
		if err != nil {
			return nil, fmt.Errorf("read statistics of program %d: %w", id, err)
		}
	}
}

// busiest lists what ran at least so often between two readings, the most time first.
func busiest(before, after map[ebpf.ProgramID]usage, least uint64) []usage {
	var out []usage
	for id, a := range after {
		b := before[id]
		if runs := a.runs - b.runs; runs > 0 && runs >= least {
			out = append(out, usage{a.name, runs, a.time - b.time})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].time > out[j].time })
	return out
}
