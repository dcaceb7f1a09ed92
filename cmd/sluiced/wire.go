package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/api/server"
	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/datapath/link"
	"github.com/sluice-net/sluice/datapath/maps"
	"github.com/sluice-net/sluice/endpoint"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/dockerapi"
	"github.com/sluice-net/sluice/internal/listen"
	"github.com/sluice-net/sluice/ipam"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/disk"
	"github.com/sluice-net/sluice/observe/export"
	"github.com/sluice-net/sluice/observe/hubble"
	"github.com/sluice-net/sluice/observe/hubble/convert"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/service"
	"github.com/sluice-net/sluice/service/hostport"
	"github.com/sluice-net/sluice/store/bolt"
)

// storeFile is the store, below the state directory.
const storeFile = "sluice.db"

// defaultMTU is used while the host has no uplink.
const defaultMTU = 1500

// daemon is everything that runs, in the order in which it was made.
type daemon struct {
	config   *config
	log      *logrus.Logger
	started  time.Time
	host     datapath.Host
	store    *bolt.Store
	loader   *datapath.Loader
	links    *datapath.Links
	uplinks  *datapath.Uplinks
	kernel   *kernelTables
	routes   *link.Host
	docker   *dockerapi.Client
	ipam     *ipam.Allocator
	manager  *endpoint.Manager
	observer *observe.Observer
	exports  *export.Exports
	flows    *disk.Store // nil: none
	plugin   net.Listener
	api      net.Listener
	metered  metered
	convert  *convert.Converter
	agent    *hubble.AgentLog
	hubble   hubbleServer
	page     page

	stopping   context.Context // ends when the daemon is told to stop
	closers    []func() error
	background sync.WaitGroup
}

// wire constructs the daemon. On error whatever was made is closed again; the kernel's state stays as it was.
func wire(ctx context.Context, c *config, log *logrus.Logger) (d *daemon, err error) {
	d = &daemon{config: c, log: log, started: time.Now(), stopping: ctx}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	for _, step := range []func(context.Context) error{
		d.wireSockets, d.wirePage, d.wireMetrics, d.wireConvert, d.wireStore, d.wireDatapath, d.wireLinks, d.wireUseCases, d.restore,
		d.wireObserver, d.wireHubble, d.wireExports,
	} {
		if err := step(ctx); err != nil {
			return d, err
		}
	}
	return d, nil
}

// closing registers what close undoes, last first.
func (d *daemon) closing(f func() error) { d.closers = append(d.closers, f) }

func (d *daemon) close() error {
	var errs []error
	for i := len(d.closers) - 1; i >= 0; i-- {
		errs = append(errs, d.closers[i]())
	}
	d.closers = nil
	return errors.Join(errs...)
}

// wireSockets takes the two sockets first: they tell whether another daemon runs. Docker's requests wait in the queue of
// the socket until the state is restored.
func (d *daemon) wireSockets(context.Context) (err error) {
	if d.api, err = listen.Unix(filepath.Join(d.config.runDir, "sluice.sock"), ""); err != nil {
		return fmt.Errorf("open API socket: %w", err)
	}
	d.closing(closeListener(d.api))
	if d.plugin, err = listen.Unix(filepath.Join(d.config.pluginDir, d.config.driver+".sock"), ""); err != nil {
		return fmt.Errorf("open plugin socket: %w", err)
	}
	d.closing(closeListener(d.plugin))
	return nil
}

// closeListener closes a listener that a server may have closed already.
func closeListener(l net.Listener) func() error {
	return func() error {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

func (d *daemon) wireStore(context.Context) (err error) {
	if d.store, err = bolt.Open(filepath.Join(d.config.stateDir, storeFile), bolt.Options{}); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	d.closing(d.store.Close)
	return nil
}

func (d *daemon) wireDatapath(context.Context) (err error) {
	d.host = d.config.checkHost(datapath.HostOptions{
		PinDir: d.config.pinDir, Cgroup: d.config.cgroup, CgroupFallback: d.config.cgroupFallback(),
		Clsact: d.config.clsact, Prefix: d.config.linkPrefix,
	})
	if err := d.host.Err(); err != nil {
		return fmt.Errorf("the host cannot run Sluice: %w", err)
	}
	ports, err := d.config.masqueradePorts()
	if err != nil {
		return err
	}
	d.loader, err = datapath.Open(datapath.Options{
		PinDir: d.config.pinDir, MasqueradePorts: ports, FlowInterval: d.config.flowInterval, Log: d.log, MapSizes: map[string]uint32{
			"egress_slots": d.config.slots, "ingress_slots": d.config.slots, "slots": 2 * d.config.slots,
			"event_budget": (d.config.slots + 1) * abi.EventsClasses,
			"flows_tcp":    d.config.flows, "flows_any": d.config.flows, "nat": d.config.flows,
		},
	})
	if err != nil {
		return err
	}
	d.closing(d.loader.Close)
	d.kernel = newKernelTables(d.loader, d.log)
	return nil
}

func (d *daemon) wireLinks(ctx context.Context) (err error) {
	if err := d.lockPrefix(); err != nil {
		return err
	}
	used, err := endpoint.UsedSlots(ctx, d.store)
	if err != nil {
		return err
	}
	d.links, err = datapath.OpenLinks(datapath.LinksConfig{
		Prefix: d.config.linkPrefix, PinDir: d.config.pinDir, Pool: d.config.pool, Settle: 100 * time.Millisecond,
		Slots: d.loader.Slots(), Clsact: d.config.clsact, Log: d.log,
	}, d.loader, used)
	if err != nil {
		return err
	}
	d.closing(d.links.Close)
	d.uplinks, err = datapath.FollowUplinks(datapath.UplinksConfig{
		Prefix: d.config.linkPrefix, PinDir: d.config.pinDir, Clsact: d.config.clsact, Log: d.log,
	}, d.loader, maps.NewUplinks(d.loader.Map("uplinks")), d.kernel.endpoints)
	if err != nil {
		return err
	}
	d.closing(func() error { d.uplinks.Close(); return nil })
	if err := datapath.AttachSockets(d.host.Cgroup, d.config.pinDir, d.loader); err != nil {
		return err
	}
	if err := d.loader.PaceSockets(d.host.Cgroup, d.config.pinDir); err != nil {
		return err
	}
	if d.routes, err = link.Open(d.config.linkPrefix); err != nil {
		return err
	}
	d.closing(func() error { d.routes.Close(); return nil })
	return nil
}

func (d *daemon) wireUseCases(ctx context.Context) (err error) {
	if d.docker, err = dockerapi.New(d.config.docker, d.config.driver); err != nil {
		return err
	}
	d.closing(d.docker.Close)
	blocks, err := d.config.addressBlocks()
	if err != nil {
		return err
	}
	if d.ipam, err = ipam.New(ctx, ipam.Options{Store: d.store, Host: d.routes, Networks: d.docker, Blocks: blocks}); err != nil {
		return err
	}
	publish, err := policy.ParsePublishDefault(d.config.publish)
	if err != nil {
		return err
	}
	first, last := ephemeralPorts()
	d.manager = endpoint.NewManager(endpoint.Options{
		Store: d.store, Programs: d.loader, Addresses: containerAddresses{d.kernel.endpoints, d.kernel.expirer}, Links: d.links, Frontends: d.kernel.services,
		Engine: engine{d.docker}, Leases: leases{d.ipam, d.docker}, Prober: d.loader,
		Connections: kernelView{kernel: d.kernel}.Connections,
		Ports:       service.NewRegistry(hostport.Sockets{}, service.Ephemeral{First: first, Last: last}),
		DefaultMTU:  d.uplinkMTU, PublishDefault: publish, Observe: d.config.observe.defaultLevel(), Log: d.log, PolicyDir: d.config.openPolicyDir(),
		Recorder: d.metered.recorder, Journal: d.agent,
		HostDNS: func() []netip.Addr { return hostDNS(ipam.DefaultResolvConf()...) },
	})
	d.uplinks.OnNetwork(d.manager.SetHostNetwork)
	return nil
}

func (d *daemon) restore(ctx context.Context) error {
	if err := d.manager.Restore(ctx); err != nil {
		return fmt.Errorf("restore state: %w", err)
	}
	if err := d.manager.LoadPolicyFiles(ctx); err != nil {
		return fmt.Errorf("load policy files: %w", err)
	}
	return nil
}

// uplinkMTU returns the smallest MTU of the uplinks, so that what containers send fits whichever way it leaves.
func (d *daemon) uplinkMTU() int {
	smallest := math.MaxInt
	uplinks, err := d.uplinks.List()
	if err != nil {
		d.log.WithError(err).Warn("list uplinks: assuming an MTU of 1500")
	}
	for _, u := range uplinks {
		if u.MTU > 0 {
			smallest = min(smallest, u.MTU)
		}
	}
	if smallest == math.MaxInt {
		return defaultMTU
	}
	return smallest
}

// backend shows the parts to the API's handlers.
func (d *daemon) backend() server.Backend {
	return server.Backend{
		Version: api.Build(), Status: d, Networks: d.manager, Endpoints: endpointsView{d.manager, d.kernel, d.loader},
		Identities: d.manager, Policies: d.manager, Insight: d.manager, Files: d.manager, Revisions: d.manager, Ports: portsView{d.manager},
		Kernel: kernelView{d.manager, d.kernel}, Events: d.observer, Traffic: trafficView{d.manager, d.kernel, d.observer, d.stopping}, Captures: captureView{d.captureHub(), d.stopping}, Log: logLevel{d.log},
	}
}
