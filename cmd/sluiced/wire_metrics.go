package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/datapath/maps"
	"github.com/sluice-net/sluice/internal/listen"
	"github.com/sluice-net/sluice/observe/metrics"
	"github.com/sluice-net/sluice/observe/metrics/own"
)

// metered is what counts. It is made before the parts that tell it what they do.
type metered struct {
	registry *prometheus.Registry
	recorder *own.Recorder
	handler  http.Handler
	listener net.Listener // nil: metrics are on the API socket only
	outside  http.Handler // what it serves
	flows    *metrics.Flows
	tables   func() ([]api.TableUse, error)
}

// wireMetrics makes what counts, and takes the address where Prometheus gets it.
func (d *daemon) wireMetrics(ctx context.Context) error {
	registry := prometheus.NewRegistry()
	d.metered = metered{
		registry: registry, recorder: own.NewRecorder(registry), handler: metrics.Handler(registry, d.log),
		tables: own.Tables(d.countTables, time.Now),
	}
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	wanted, err := metrics.Parse(d.config.metrics.flows)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	d.metered.flows = metrics.NewFlows(wanted, d.livingEndpoints)
	registry.MustRegister(d.metered.flows)
	if d.config.metrics.listen == "" {
		return nil
	}
	if err := d.listenForPrometheus(ctx); err != nil {
		return fmt.Errorf("serve metrics (--metrics-listen): %w", err)
	}
	d.closing(closeListener(d.metered.listener))
	return nil
}

// listenForPrometheus takes the address where Prometheus gets the metrics. Without TLS and tokens that is any address:
// it is how Prometheus is used, and an administrator has asked for it.
func (d *daemon) listenForPrometheus(ctx context.Context) (err error) {
	c, m := &d.config.metrics, &d.metered
	m.outside = m.handler
	if !c.guarded() {
		m.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", c.listen)
		return err
	}
	l, err := listen.Open(c.options())
	if err != nil {
		return err
	}
	m.listener, m.outside = l.Secure(), l.Handler(unscoped(m.handler))
	return nil
}

// unscoped refuses callers that may see some namespaces only: metrics are about all.
func unscoped(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if listen.AccessOf(r.Context()).Scoped() {
			http.Error(w, "this token is for some namespaces only, and metrics are about all", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// meter registers what reads the parts when somebody scrapes.
func (d *daemon) meter() {
	view := kernelView{d.manager, d.kernel}
	d.metered.registry.MustRegister(own.NewCollector(own.Sources{
		Version: api.Build(), Slots: int(d.loader.Slots()), Count: d.manager.Count,
		Generations: func() (newest, applied uint64) { return d.manager.Generation(), d.manager.AppliedGeneration() },
		Files:       d.manager.PolicyFiles, Endpoints: endpointsView{d.manager, d.kernel, d.loader}.Endpoints,
		Packets: view.Metrics, Tables: d.metered.tables, Events: d.observer.Counts, Pools: d.pools, Exports: d.exports.List,
		ExportChanges: d.exportChanges, FlowStore: d.flowStore,
		Flows: func() (oldest, next uint64, capacity int) {
			oldest, next = d.observer.Flows().Bounds()
			return oldest, next, d.observer.Flows().Size()
		},
		Store: func() (int64, error) {
			info, err := os.Stat(filepath.Join(d.config.stateDir, storeFile))
			if err != nil {
				return 0, fmt.Errorf("measure store: %w", err)
			}
			return info.Size(), nil
		},
	}, d.log))
}

// serveMetrics answers Prometheus until the server is shut down, and counts flows until the context ends.
func (d *daemon) serveMetrics(ctx context.Context, failed chan<- error) *http.Server {
	d.meter()
	d.background.Go(func() { d.metered.flows.Run(ctx, d.observer.Flows()) })
	if d.metered.listener == nil {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", d.metered.outside)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	d.background.Go(func() { failed <- serveOn(server.Serve(d.metered.listener), "metrics") })
	return server
}

// livingEndpoints returns the endpoints that exist now, nil if that cannot be told.
func (d *daemon) livingEndpoints() map[string]bool {
	all, err := d.manager.Endpoints(context.Background())
	if err != nil {
		return nil
	}
	living := make(map[string]bool, len(all))
	for _, e := range all {
		living[e.ID] = true
	}
	return living
}

// countedMaps are those of which users can have too much.
var countedMaps = []string{"endpoints", "flows_any", "flows_tcp", "fragments", "nat", "services", "socket_services", "uplinks"}

// countTables tells how full the maps are.
func (d *daemon) countTables() ([]api.TableUse, error) {
	var all []api.TableUse
	var errs []error
	for _, name := range countedMaps {
		m := d.loader.Map(name)
		if m == nil {
			continue
		}
		n, err := maps.Count(m)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, api.TableUse{Name: name, Entries: n, Max: int(m.MaxEntries())})
	}
	return all, errors.Join(errs...)
}

// pools tells how full the address pools are.
func (d *daemon) pools(ctx context.Context) ([]own.Pool, error) {
	networks, err := d.manager.Networks(ctx)
	if err != nil {
		return nil, err
	}
	names := map[netip.Prefix]string{}
	for _, n := range networks {
		for _, s := range n.Subnets {
			names[s.Prefix] = n.Name
		}
	}
	var all []own.Pool
	for _, u := range d.ipam.Usage() {
		all = append(all, own.Pool{Network: names[u.Subnet], Subnet: u.Subnet, Used: u.Used, Capacity: u.Capacity})
	}
	return all, nil
}

// exportChanges implements own.Sources.
func (d *daemon) exportChanges() own.ExportChanges {
	s := d.exports.Stats()
	return own.ExportChanges{Added: s.Added, Updated: s.Updated, Removed: s.Removed, Hash: s.Hash, Applied: s.Applied}
}

// flowStore implements own.Sources.
func (d *daemon) flowStore() (own.FlowStore, bool) {
	if d.flows == nil {
		return own.FlowStore{}, false
	}
	c := d.flows.Counts()
	return own.FlowStore{Bytes: float64(c.Bytes), Flows: float64(c.Flows), Written: c.Written, Lost: c.Lost, Damaged: c.Damaged}, true
}
