package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/api/server"
	"github.com/sluice-net/sluice/driver"
	"github.com/sluice-net/sluice/internal/peer"
	"github.com/sluice-net/sluice/ipam"
)

// stopTime bounds how long requests under way may take when the daemon stops.
const stopTime = 5 * time.Second

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the exit status: 0 good, 1 could not run, 2 usage.
func run(args []string, stdout, stderr io.Writer) int {
	c, flags, err := parseConfig(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprintf(stdout, "sluiced is the daemon of Sluice, the Docker network plugin.\n\nFlags:\n%s", flags.FlagUsages())
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "sluiced: %v\nsluiced --help lists the flags\n", err)
		return 2
	case c.version:
		v := api.Build()
		fmt.Fprintf(stdout, "sluiced %s (%s, %s, %s/%s)\n", v.Version, v.Commit, v.Go, v.OS, v.Arch)
		return 0
	}
	return act(c, stderr)
}

// act does what the settings ask for: the removal, or the daemon until it is told to stop. It returns the exit status.
func act(c *config, stderr io.Writer) int {
	log := newLog(c, stderr)
	do := runDaemon
	if c.remove {
		do = remove
	}
	if err := do(c, log); err != nil {
		log.Error(err)
		return 1
	}
	return 0
}

// gcPercent lets the garbage of flows grow to less than half of what is in use: the host has other uses for its memory.
const gcPercent = 40

// runDaemon runs the daemon until it is told to stop.
func runDaemon(c *config, log *logrus.Logger) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	d, err := wire(ctx, c, log)
	if err != nil {
		return err
	}
	if err := errors.Join(d.serve(ctx), d.close()); err != nil {
		return err
	}
	log.Info("stopped; containers keep their network and policy")
	return nil
}

func newLog(c *config, out io.Writer) *logrus.Logger {
	log := logrus.New()
	log.SetOutput(out)
	level, _ := logrus.ParseLevel(c.logLevel)
	log.SetLevel(level)
	if c.logFormat == "json" {
		log.SetFormatter(&logrus.JSONFormatter{})
	} else {
		log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, TimestampFormat: "2006-01-02T15:04:05.000Z07:00"})
	}
	return log
}

// serve runs everything until the context ends or a server fails.
func (d *daemon) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	learning, err := d.observer.Subscribe(ctx, api.EventFilter{Types: []string{api.EventLearn}, Follow: true})
	if err != nil {
		return fmt.Errorf("record what containers do: %w", err)
	}
	failed := make(chan error, 6)
	plugin := &http.Server{
		Handler: driver.New(driver.Options{
			Networks: d.manager, Endpoints: d.manager, Ports: d.manager, IPAM: ipam.Driver{Allocator: d.ipam}, Log: d.log,
			Recorder: d.metered.recorder,
		}),
		ConnContext:       peer.Context,
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
	}
	control := server.New(d.backend(), server.Options{Log: d.log, Metrics: d.metered.handler, Recorder: d.metered.recorder}).HTTP()
	stopPage, err := d.servePage(control.Handler, failed)
	if err != nil {
		return err
	}
	d.background.Go(func() { failed <- serveOn(plugin.Serve(d.plugin), "plugin socket") })
	d.background.Go(func() { failed <- serveOn(control.Serve(d.api), "API socket") })
	scrapes := d.serveMetrics(ctx, failed)
	d.serveHubble(ctx, failed)
	d.background.Go(func() {
		if err := d.observer.Run(ctx); err != nil {
			failed <- fmt.Errorf("observe events: %w", err)
		}
	})
	d.background.Go(func() { d.keepFlows(ctx) })
	changes := d.docker.Changes(ctx, func(err error) { d.log.WithError(err).Warn("lost Docker's events, connecting again") })
	d.background.Go(func() { d.manager.Run(ctx) })
	d.background.Go(func() { d.manager.Follow(ctx, changes) })
	d.background.Go(func() { d.manager.FollowDomains(ctx) })
	d.background.Go(func() { d.manager.Record(ctx, learning) })
	d.background.Go(func() { d.manager.FollowPolicyFiles(ctx) })
	d.background.Go(func() { d.exports.Follow(ctx) })
	d.background.Go(func() { d.kernel.expirer.Run(ctx) })
	d.log.WithFields(logrus.Fields{
		"version": api.Build().Version, "kernel": kernelRelease(), "doors": d.host.Doors, "driver": d.config.driver,
	}).Info("ready")
	d.tell("READY=1")
	d.agent.Started()

	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	d.tell("STOPPING=1")
	cancel()
	stopping, done := context.WithTimeout(context.Background(), stopTime)
	defer done()
	_ = plugin.Shutdown(stopping) // what does not end in time is cut
	_ = control.Shutdown(stopping)
	_, _ = plugin.Close(), control.Close()
	stopPage()
	if scrapes != nil {
		_ = scrapes.Close()
	}
	d.background.Wait()
	return err
}

// serveOn names the server of an error; an orderly end is none.
func serveOn(err error, name string) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", name, err)
}
