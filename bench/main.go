package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/sluice-net/sluice/bench/load"
)

// options are the flags.
type options struct {
	quick, strict, profile bool
	verdicts, crowd        bool
	observe                bool
	rounds, starts, most   int
	slice                  time.Duration
	cpu                    int
	seed                   uint64
	bin, json, docs        string
	start                  time.Time
}

func main() {
	if load.Main() {
		return
	}
	o, err := parse(os.Args[1:])
	if err != nil {
		if !errors.Is(err, pflag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	missed, err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if o.strict && missed > 0 {
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	o := options{start: time.Now()}
	f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	f.SortFlags = false
	f.BoolVar(&o.quick, "quick", false, "two minutes instead of ten: fewer and shorter rounds, no hundred containers")
	f.BoolVar(&o.strict, "strict", false, "fail when a gate is missed")
	f.BoolVar(&o.profile, "profile", false, "only measure how long Sluice's programs run per packet")
	f.BoolVar(&o.verdicts, "verdicts", false, "only measure what policies cost by themselves: verdicts by size, and the tables of a thousand containers")
	f.BoolVar(&o.crowd, "crowd", false, "only measure what a hundred containers need")
	f.BoolVar(&o.observe, "observe", false, "only measure what it costs that flows or packets are told")
	f.IntVar(&o.rounds, "rounds", 0, "rounds of traffic (default 21, quick 7)")
	f.IntVar(&o.starts, "starts", 0, "docker runs of each kind (default 15, quick 7)")
	f.DurationVar(&o.slice, "slice", 0, "length of one measurement (default 250ms, quick 200ms)")
	f.IntVar(&o.cpu, "cpu", runtime.NumCPU()-1, "processor on which client and server run")
	f.Uint64Var(&o.seed, "seed", uint64(o.start.UnixNano()), "seed of the order")
	f.StringVar(&o.bin, "bin", "bin", "folder of sluiced, sluice and probe")
	f.StringVar(&o.json, "json", "bin/bench.json", "file for the results, none if empty")
	f.StringVar(&o.docs, "docs", "docs", "folder for performance.md and its chart, none if empty; a quick run leaves them")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	o.fill()
	if o.rounds < 1 || o.starts < 1 || o.slice <= 0 {
		return o, errors.New("rounds, starts and slice must be positive")
	}
	if o.cpu < 0 || o.cpu >= runtime.NumCPU() {
		return o, fmt.Errorf("there is no processor %d", o.cpu)
	}
	var err error
	o.bin, err = filepath.Abs(o.bin)
	return o, err
}

// fill puts defaults where no flag was given.
func (o *options) fill() {
	rounds, starts, slice := 21, 15, 250*time.Millisecond
	if o.quick {
		rounds, starts, slice = 7, 7, 200*time.Millisecond
	}
	if o.rounds == 0 {
		o.rounds = rounds
	}
	if o.starts == 0 {
		o.starts = starts
	}
	if o.slice == 0 {
		o.slice = slice
	}
}

// progress says on standard error how far the run is.
func (o options) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%5.0fs  %s\n", time.Since(o.start).Seconds(), fmt.Sprintf(format, args...))
}

// run measures everything and reports it. It returns how many gates were missed.
func run(ctx context.Context, o options) (missed int, err error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("this needs root: sudo make bench")
	}
	if o.verdicts {
		return 0, printVerdicts(o, os.Stdout)
	}
	o.progress("two engines, a daemon and their containers")
	s, err := newScene(ctx, o.bin)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if o.profile {
		return 0, s.profile(ctx, o, os.Stdout)
	}
	if o.observe {
		rows, err := s.measureObservability(ctx, o)
		if err != nil {
			return 0, err
		}
		printTable(os.Stdout, rows)
		return printMisses(os.Stdout, rows), nil
	}
	if o.crowd {
		if err := s.dismissMany(ctx); err != nil {
			return 0, err
		}
		rows, err := s.measureCrowd(ctx, o)
		printTable(os.Stdout, rows)
		return printMisses(os.Stdout, rows), err
	}
	rows, traffic, err := s.measureAll(ctx, o)
	if err != nil {
		return 0, err
	}
	return report(o, rows, traffic, machine(s.docker.Engine.Version))
}

// measureAll goes from what needs few containers to what needs many.
func (s *scene) measureAll(ctx context.Context, o options) (rows []row, traffic samples, err error) {
	traffic, err = s.measureTraffic(ctx, o, tasks())
	if err != nil {
		return nil, nil, err
	}
	rows = trafficRows(traffic)
	verdicts, err := measureVerdicts(o)
	if err != nil {
		return nil, nil, err
	}
	rows = append(rows, verdicts...)
	resolution, err := measureResolve(o)
	if err != nil {
		return nil, nil, err
	}
	rows = append(rows, resolution...)
	if err := s.dismissMany(ctx); err != nil {
		return nil, nil, err
	}
	o.progress("regeneration of one container")
	if _, err := startContainer(ctx, s.sluice, "one", "--network", "bench", "--label", "app=one"); err != nil {
		return nil, nil, err
	}
	wall, each, err := s.measureRegeneration(ctx, "one", 1)
	if err != nil {
		return nil, nil, err
	}
	again, err := s.measureAgain(ctx, "one")
	if err != nil {
		return nil, nil, err
	}
	rows = append(rows, oneRow(again, wall, each))
	o.progress("program swaps under load")
	swaps, err := s.measureSwaps(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	rows = append(rows, swapsRow(swaps))
	o.progress("docker run")
	sluice, bridge, err := s.measureStarts(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	rows = append(rows, startsRow(sluice, bridge))
	if o.quick {
		return rows, traffic, nil
	}
	more, err := s.measureCrowd(ctx, o)
	return append(rows, more...), traffic, err
}

// measureCrowd measures what a hundred containers need.
func (s *scene) measureCrowd(ctx context.Context, o options) ([]row, error) {
	o.progress("start of %d containers", crowd)
	if err := s.gather(ctx); err != nil {
		return nil, err
	}
	o.progress("regeneration of %d containers", crowd)
	wall, each, err := s.measureRegeneration(ctx, "crowd", crowd)
	if err != nil {
		return nil, err
	}
	resident, share, err := daemonMemory(s.sluice)
	if err != nil {
		return nil, err
	}
	memory := valueRow(fmt.Sprintf("daemon memory, %d containers", crowd), "MiB", []float64{resident}, 50)
	memory.Note = fmt.Sprintf("resident; its proportional share is %.3g MiB", share)
	o.progress("%d policies for %d containers", crowd, crowd)
	many, cpu, err := s.measureMany(ctx)
	if err != nil {
		return nil, err
	}
	return []row{crowdRow(crowd, wall, each), manyRow(many, cpu), memory}, nil
}
