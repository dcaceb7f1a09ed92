package main

import (
	"context"
	"net/netip"
	"path/filepath"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/capture"
)

// captureHub makes the hub of captured packets. It opens the ring only while somebody captures.
func (d *daemon) captureHub() *capture.Hub {
	return capture.New(capture.Options{
		Programs: d.manager, Names: d.manager, Log: d.log,
		Open: func() (capture.Ring, error) { return observe.OpenCaptures(filepath.Join(d.config.pinDir, "maps")) },
	})
}

// captureView ends captures when the daemon stops.
type captureView struct {
	hub      *capture.Hub
	stopping context.Context
}

// Capture implements server.Captures.
func (v captureView) Capture(ctx context.Context, containers []string, r api.CaptureRequest, addrs func(string) []netip.Addr,
	yield func(api.Captured) error) error {
	return untilStop(ctx, v.stopping, "capture packets", func(ctx context.Context) error {
		return v.hub.Capture(ctx, containers, r, addrs, yield)
	})
}
