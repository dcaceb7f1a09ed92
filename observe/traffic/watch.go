package traffic

import (
	"context"
	"net/netip"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// Container is a container's place on one network, and what it has sent and received there since it came.
type Container struct {
	ID             string // of the endpoint
	Name           string
	Project        string
	Service        string
	Addrs          []netip.Addr
	Sent, Received abi.Counter
}

// Connection is an entry of the tables of connections.
type Connection struct {
	Proto                uint8
	Initiator, Responder netip.AddrPort
	Opened               uint64      // CLOCK_MONOTONIC, ns
	Open                 bool        // neither closed nor forgotten
	Sent, Received       abi.Counter // by the initiator, in all
}

// Source is what rates are made from.
type Source interface {
	Containers(ctx context.Context) ([]Container, error)
	// Connections calls yield for each entry of the tables until it returns false.
	Connections(yield func(Connection) bool) error
	// Name is what people call an address that is no container's, empty if it has no name.
	Name(addr netip.Addr) string
	// Monotonic is the clock of Connection.Opened.
	Monotonic() uint64
}

// mostRows bounds a sample. What has the least traffic is left out.
const mostRows = 1000

// Watch gives a sample after every interval, as the request says, until its count is reached, yield returns an error, or
// the context ends, which is no error.
func Watch(ctx context.Context, source Source, flows *observe.Flows, r api.TrafficRequest, yield func(api.Traffic) error) error {
	_, next := flows.Bounds()
	w := &watch{source: source, by: r.By, drops: flows.Reader(next), read: next, flows: flows}
	if _, err := w.sample(ctx, time.Now()); err != nil {
		return err
	}
	tick := time.NewTicker(r.Interval)
	defer tick.Stop()
	for n := 0; r.Count == 0 || n < r.Count; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		t, err := w.sample(ctx, time.Now())
		if err == nil {
			err = yield(t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// watch is one under way.
type watch struct {
	source Source
	flows  *observe.Flows
	by     string
	drops  *observe.Reader
	read   uint64 // number of the flow after the last that drops gave

	at         time.Time // of the sample before
	opened     uint64    // likewise, CLOCK_MONOTONIC
	containers map[string]counters
	peers      map[connectionKey]counters // only for TrafficPeers
}

// counters are totals.
type counters struct{ sent, received abi.Counter }

// connectionKey tells connections apart, also those of the same ports one after another.
type connectionKey struct {
	proto                uint8
	initiator, responder netip.AddrPort
	opened               uint64
}

// sample reads all counters and returns what they grew by since the sample before.
func (w *watch) sample(ctx context.Context, now time.Time) (api.Traffic, error) {
	opened := w.source.Monotonic()
	containers, err := w.source.Containers(ctx)
	if err != nil {
		return api.Traffic{}, err
	}
	s := &sample{by: w.by, source: w.source, rows: map[rowKey]*row{}, byAddr: map[netip.Addr]*Container{}}
	for i := range containers {
		for _, a := range containers[i].Addrs {
			s.byAddr[a] = &containers[i]
		}
	}
	w.countContainers(s, containers)
	if err := w.countConnections(s); err != nil {
		return api.Traffic{}, err
	}
	lost := w.countDrops(ctx, s)
	t := s.result(now.Sub(w.at))
	t.Time, t.Lost = now, lost
	w.at, w.opened = now, opened
	return t, nil
}

// countContainers adds what the containers' own counters say. Those of a container that came since the sample before are new
// altogether.
func (w *watch) countContainers(s *sample, containers []Container) {
	before := w.containers
	w.containers = make(map[string]counters, len(containers))
	for i := range containers {
		c := &containers[i]
		now := counters{c.Sent, c.Received}
		w.containers[c.ID] = now
		if w.by != api.TrafficPeers {
			s.row(s.self(c)).grow(now.since(before[c.ID]))
		}
	}
}

// countConnections adds the connections that are open and those that were opened since the sample before; for peers, what
// each carried.
func (w *watch) countConnections(s *sample) error {
	before := w.peers
	if w.by == api.TrafficPeers {
		w.peers = make(map[connectionKey]counters, len(before))
	}
	return w.source.Connections(func(c Connection) bool {
		isNew := c.Opened >= w.opened && w.opened > 0
		if w.by != api.TrafficPeers {
			s.connection(c, isNew)
			return true
		}
		row := s.row(s.pair(c.Initiator.Addr(), c.Responder.Addr()))
		row.connection(c.Open, isNew)
		key := connectionKey{c.Proto, c.Initiator, c.Responder, c.Opened}
		now := counters{c.Sent, c.Received}
		w.peers[key] = now
		old, known := before[key]
		if known || isNew {
			row.grow(now.since(old))
		}
		return true
	})
}

// countDrops adds the drops that were told since the sample before, and returns how many events were lost.
func (w *watch) countDrops(ctx context.Context, s *sample) (lost uint64) {
	_, end := w.flows.Bounds()
	for {
		if w.read >= end {
			return lost
		}
		f, missed, err := w.drops.Next(ctx)
		lost += missed
		if err != nil {
			return lost
		}
		w.read = f.Seq + 1
		switch {
		case f.IsLost() && f.Lost != nil:
			lost += f.Lost.Count
		case f.IsDrop():
			s.drop(f)
		}
	}
}

func (c counters) since(before counters) counters {
	return counters{sub(c.sent, before.sent), sub(c.received, before.received)}
}

// sub is what a counter grew by; one that is smaller than before began anew.
func sub(now, before abi.Counter) abi.Counter {
	if now.Packets < before.Packets || now.Bytes < before.Bytes {
		return now
	}
	return abi.Counter{Packets: now.Packets - before.Packets, Bytes: now.Bytes - before.Bytes}
}
