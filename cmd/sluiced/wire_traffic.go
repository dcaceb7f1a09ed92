package main

import (
	"context"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/datapath/maps"
	"github.com/sluice-net/sluice/endpoint"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/traffic"
)

// trafficView gives package traffic the kernel's counters with names.
type trafficView struct {
	manager  *endpoint.Manager
	kernel   *kernelTables
	observer *observe.Observer
	stopping context.Context
}

// Watch implements server.Traffic.
func (v trafficView) Watch(ctx context.Context, r api.TrafficRequest, yield func(api.Traffic) error) error {
	return untilStop(ctx, v.stopping, "watch traffic", func(ctx context.Context) error {
		return traffic.Watch(ctx, v, v.observer.Flows(), r, yield)
	})
}

// untilStop runs a stream until it ends, its client is gone, or the daemon is told to stop, which is an error.
func untilStop(ctx, stopping context.Context, what string, run func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(stopping, cancel)()
	err := run(ctx)
	if stopping.Err() != nil {
		return api.Errorf(api.CodeUnavailable, "%s: the daemon stops", what)
	}
	return err
}

// Containers implements traffic.Source.
func (v trafficView) Containers(ctx context.Context) ([]traffic.Container, error) {
	all, err := v.manager.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	var out []traffic.Container
	for _, e := range all {
		c := traffic.Container{ID: e.ID, Name: e.Container, Project: e.Project, Service: e.Service}
		if c.Name == "" { // it is not known yet, or joined nothing
			continue
		}
		for _, p := range []netip.Prefix{e.IPv4, e.IPv6} {
			if p.IsValid() {
				c.Addrs = append(c.Addrs, p.Addr())
			}
		}
		if c.Sent, c.Received, err = v.kernel.slots.Get(e.Slot); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// Connections implements traffic.Source.
func (v trafficView) Connections(yield func(traffic.Connection) bool) error {
	for f, err := range v.kernel.flows.All() {
		if err != nil {
			return err
		}
		c := traffic.Connection{Proto: f.Proto, Initiator: unmap(f.Initiator), Responder: unmap(f.Responder), Opened: f.State.Opened,
			Open: isOpen(f), Sent: f.State.Sent, Received: f.State.Received}
		if !yield(c) {
			return nil
		}
	}
	return nil
}

// isOpen reports whether a connection was begun and is not over. TCP that nobody answers was not.
func isOpen(f maps.Flow) bool {
	state := flowState(f)
	return !f.Expired() && state != "closed" && state != "opening"
}

// Name implements traffic.Source.
func (v trafficView) Name(addr netip.Addr) string {
	if p := v.manager.Addr(addr); p != nil {
		return p.Name()
	}
	return ""
}

// Monotonic implements traffic.Source.
func (v trafficView) Monotonic() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // it exists on every supported kernel
	}
	return uint64(ts.Nano())
}
