package own

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe/metrics/catalog"
)

// readTime bounds what one scrape may wait for the sources.
const readTime = 5 * time.Second

// Sources are what a scrape reads. Each may be called concurrently; one that is nil leaves its metrics out.
type Sources struct {
	Version api.Version
	Slots   int // endpoints for which there is room
	// Count fills in the numbers of networks, endpoints, policies, ports and identities.
	Count func(*api.Status)
	// Generations returns the number of the newest change and of the newest that programs follow.
	Generations func() (newest, applied uint64)
	Files       func(context.Context) ([]api.PolicyFile, error)
	// Endpoints returns the endpoints with the packets and bytes of their slots.
	Endpoints func(context.Context) ([]api.Endpoint, error)
	// Packets returns the counters of the kernel, those of what passed without a reason.
	Packets func(context.Context) ([]api.Metric, error)
	// Tables returns how full the maps are. It may take long: see Tables.
	Tables func() ([]api.TableUse, error)
	Events func() api.EventCounts
	// Flows returns the numbers of the oldest flow in memory and of the next, and for how many there is room.
	Flows func() (oldest, next uint64, capacity int)
	// Exports returns where flows are sent.
	Exports func() []api.Export
	// ExportChanges returns what became of the settings of exports.
	ExportChanges func() ExportChanges
	// FlowStore returns what the store of flows has; ok is false if there is none.
	FlowStore func() (s FlowStore, ok bool)
	// Pools returns how full the address pools are.
	Pools func(context.Context) ([]Pool, error)
	// Store returns the size of the store, bytes.
	Store func() (int64, error)
}

// Pool is how full an address pool is.
type Pool struct {
	Network  string // name; empty: Docker has asked for the pool, and not made its network yet
	Subnet   netip.Prefix
	Used     int
	Capacity float64
}

// ExportChanges are how often exports were added, updated and removed since the daemon runs, and the settings in force.
type ExportChanges struct {
	Added, Updated, Removed uint64
	Hash                    uint64 // 0: there are none
	Applied                 time.Time
}

// FlowStore is what the store of flows has, and what went wrong with it since the daemon runs.
type FlowStore struct {
	Bytes, Flows           float64
	Written, Lost, Damaged uint64
}

// Collector reads the sources when somebody scrapes.
type Collector struct {
	sources Sources
	log     logrus.FieldLogger
	descs   map[string]*prometheus.Desc // by name

	mu     sync.Mutex
	failed map[string]uint64 // by source
}

// NewCollector returns the collector of the sources, for a registry.
func NewCollector(s Sources, log logrus.FieldLogger) *Collector {
	c := &Collector{sources: s, log: log, descs: map[string]*prometheus.Desc{}, failed: map[string]uint64{}}
	for _, m := range collected {
		c.descs[m.Name] = m.Desc()
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		out <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readTime)
	defer cancel()
	r := &round{Collector: c, ctx: ctx, out: out}
	v := c.sources.Version
	r.give(buildInfo, 1, v.Version, v.Commit, v.Go)
	r.give(endpointLimit, float64(c.sources.Slots))
	for _, read := range []struct {
		name string
		read func() error
	}{
		{"counts", r.counts}, {"policy files", r.files}, {"endpoints", r.endpoints}, {"packets", r.packets}, {"maps", r.tables},
		{"events", r.events}, {"pools", r.pools}, {"store", r.store},
	} {
		if err := read.read(); err != nil {
			c.fail(read.name, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for source, n := range c.failed {
		r.give(failures, float64(n), source)
	}
}

// fail counts a source that could not be read, and tells of it once.
func (c *Collector) fail(source string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed[source]++; c.failed[source] == 1 {
		c.log.WithError(err).Warnf("read %s for metrics: they are missing (further times are only counted)", source)
	}
}

// round is one scrape.
type round struct {
	*Collector
	ctx context.Context
	out chan<- prometheus.Metric
}

func (r *round) give(m catalog.Metric, v float64, labels ...string) {
	r.out <- m.ValueOf(r.descs[m.Name], v, labels...)
}

func (r *round) counts() error {
	if r.sources.Count != nil {
		var s api.Status
		r.sources.Count(&s)
		r.give(endpoints, float64(s.Endpoints.Ready), api.StateReady)
		r.give(endpoints, float64(s.Endpoints.Closed), api.StateClosed)
		r.give(endpoints, float64(s.Endpoints.Failed), api.StateFailed)
		r.give(networks, float64(s.Networks))
		r.give(policies, float64(s.Policies))
		r.give(identities, float64(s.Identities))
		r.give(ports, float64(s.Ports))
	}
	if r.sources.Generations != nil {
		newest, done := r.sources.Generations()
		r.give(generation, float64(newest))
		r.give(applied, float64(done))
	}
	return nil
}

func (r *round) files() error {
	if r.sources.Files == nil {
		return nil
	}
	files, err := r.sources.Files(r.ctx)
	if err != nil {
		return err
	}
	broken := 0
	for _, f := range files {
		if f.State == api.PolicyFileBroken {
			broken++
		}
	}
	r.give(policyFiles, float64(len(files)-broken), api.PolicyFileActive)
	r.give(policyFiles, float64(broken), api.PolicyFileBroken)
	return nil
}

// place are the labels of an endpoint. Several endpoints may share them: those whose container is not known yet.
type place struct{ project, service, container, network string }

func (p place) labels(more ...string) []string {
	return append([]string{p.project, p.service, p.container, p.network}, more...)
}

// traffic is what the endpoints of a place sent and got.
type traffic struct {
	egress, ingress                     [2]uint64 // packets, bytes
	revision, instructions              float64
	egressRestricted, ingressRestricted bool
}

func (r *round) endpoints() error {
	if r.sources.Endpoints == nil {
		return nil
	}
	all, err := r.sources.Endpoints(r.ctx)
	if err != nil {
		return err
	}
	sums, loaded := map[place]*traffic{}, 0
	for _, e := range all {
		p := place{e.Project, e.Service, e.Container, e.Network}
		t := sums[p]
		if t == nil {
			t = &traffic{}
			sums[p] = t
		}
		t.add(e)
		if e.Program.Fingerprint != "" {
			loaded += 2
		}
	}
	r.give(programs, float64(loaded))
	for p, t := range sums {
		r.traffic(p, t)
	}
	return nil
}

func (t *traffic) add(e api.Endpoint) {
	t.egress[0] += e.Egress.Packets
	t.egress[1] += e.Egress.Bytes
	t.ingress[0] += e.Ingress.Packets
	t.ingress[1] += e.Ingress.Bytes
	t.revision = max(t.revision, float64(e.Revision))
	t.instructions += float64(e.Program.Instructions)
	t.egressRestricted = t.egressRestricted || e.Egress.Enforced
	t.ingressRestricted = t.ingressRestricted || e.Ingress.Enforced
}

func (r *round) traffic(p place, t *traffic) {
	for _, d := range []struct {
		direction  string
		counted    [2]uint64
		restricted bool
	}{{api.Egress, t.egress, t.egressRestricted}, {api.Ingress, t.ingress, t.ingressRestricted}} {
		r.give(containerPackets, float64(d.counted[0]), p.labels(d.direction)...)
		r.give(containerBytes, float64(d.counted[1]), p.labels(d.direction)...)
		restricted := 0.0
		if d.restricted {
			restricted = 1
		}
		r.give(containerPolicy, restricted, p.labels(d.direction)...)
	}
	r.give(containerRevision, t.revision, p.labels()...)
	r.give(containerInstructions, t.instructions, p.labels()...)
}

func (r *round) packets() error {
	if r.sources.Packets == nil {
		return nil
	}
	all, err := r.sources.Packets(r.ctx)
	if err != nil {
		return err
	}
	type fate struct{ direction, reason string }
	counted := map[fate]api.Metric{}
	for _, m := range all {
		counted[fate{m.Direction, m.Reason}] = m
	}
	for _, direction := range directions {
		m := counted[fate{direction, ""}]
		r.give(forwardedPackets, float64(m.Packets), direction)
		r.give(forwardedBytes, float64(m.Bytes), direction)
		// All that there can be, so that the first drop is an increase.
		for reason := abi.DropReason(1); reason < abi.DropReasons; reason++ {
			m, some := counted[fate{direction, reason.String()}]
			if reason.Help() == "" && !some {
				continue // it is none yet
			}
			r.give(droppedPackets, float64(m.Packets), reason.String(), direction)
			r.give(droppedBytes, float64(m.Bytes), reason.String(), direction)
		}
	}
	return nil
}

// directions are those of the kernel's counters.
var directions = []string{api.Egress, api.Ingress, "uplink"}

func (r *round) tables() error {
	if r.sources.Tables == nil {
		return nil
	}
	all, err := r.sources.Tables()
	for _, t := range all {
		r.give(mapEntries, float64(t.Entries), t.Name)
		r.give(mapCapacity, float64(t.Max), t.Name)
	}
	return err
}

func (r *round) events() error {
	if r.sources.Events != nil {
		n := r.sources.Events()
		r.give(eventsSeen, float64(n.Seen))
		r.give(eventsLost, float64(n.Lost))
		r.give(eventsUndecodable, float64(n.Undecodable))
	}
	if r.sources.Flows != nil {
		oldest, next, capacity := r.sources.Flows()
		r.give(flowsSeen, float64(next-1))
		r.give(flowsHeld, float64(next-oldest))
		r.give(flowsCapacity, float64(capacity))
	}
	if r.sources.Exports != nil {
		for _, e := range r.sources.Exports() {
			r.export(e)
		}
	}
	r.exportChanges()
	if r.sources.FlowStore != nil {
		if s, ok := r.sources.FlowStore(); ok {
			r.flowStore(s)
		}
	}
	return nil
}

func (r *round) flowStore(s FlowStore) {
	r.give(flowStoreBytes, s.Bytes)
	r.give(flowStoreFlows, s.Flows)
	r.give(flowStoreWritten, float64(s.Written))
	r.give(flowStoreLost, float64(s.Lost))
	r.give(flowStoreDamaged, float64(s.Damaged))
}

// exportChanges gives what Hubble tells of its exporters.
func (r *round) exportChanges() {
	if r.sources.ExportChanges == nil {
		return
	}
	c := r.sources.ExportChanges()
	for operation, n := range map[string]uint64{"add": c.Added, "update": c.Updated, "remove": c.Removed} {
		r.give(exporterChanges, float64(n), operation)
	}
	r.give(exporterHash, float64(c.Hash))
	applied := 0.0
	if !c.Applied.IsZero() {
		applied = float64(c.Applied.Unix())
	}
	r.give(exporterApplied, applied)
}

func (r *round) export(e api.Export) {
	for outcome, n := range map[string]uint64{"exported": e.Exported, "failed": e.Failed, "lost": e.Lost} {
		r.give(exportFlows, float64(n), e.Name, e.Type, outcome)
	}
	up := 1.0
	if e.State == api.ExportDown {
		up = 0
	}
	r.give(exportUp, up, e.Name, e.Type)
	r.give(exporterUp, up, e.Name)
	r.give(exportWaiting, float64(e.Waiting), e.Name, e.Type)
}

func (r *round) pools() error {
	if r.sources.Pools == nil {
		return nil
	}
	all, err := r.sources.Pools(r.ctx)
	for _, p := range all {
		r.give(addressesUsed, float64(p.Used), p.Network, p.Subnet.String())
		r.give(addressesCapacity, p.Capacity, p.Network, p.Subnet.String())
	}
	return err
}

func (r *round) store() error {
	if r.sources.Store == nil {
		return nil
	}
	size, err := r.sources.Store()
	if err == nil {
		r.give(storeBytes, float64(size))
	}
	return err
}
