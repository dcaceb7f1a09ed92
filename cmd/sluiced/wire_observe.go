package main

import (
	"context"
	"path/filepath"

	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/disk"
)

// wireObserver opens what the programs write, and the store of flows, where there is to be one. Without it the daemon does
// its work all the same: a store that cannot be opened is told, and done without.
func (d *daemon) wireObserver(context.Context) error {
	ring, err := observe.Open(filepath.Join(d.config.pinDir, "maps"))
	if err != nil {
		return err
	}
	c := &d.config.observe
	o := observe.Options{Ring: ring, Names: d.manager, Log: d.log, Size: observe.FlowsIn(int64(c.memory))}
	if c.store != "" {
		d.flows, err = disk.Open(disk.Options{Dir: c.store, Retention: c.retention, Size: int64(c.storeSize), Log: d.log})
		if err != nil {
			d.log.WithError(err).Error("flows are kept in memory only")
		} else {
			d.closing(d.flows.Close)
			o.Archive, o.First = d.flows, d.flows.Next()
		}
	}
	d.observer = observe.New(o)
	d.kernel.flows.OnOver(d.observer.Publish)
	return nil
}

// keepFlows writes flows to the store until the context ends.
func (d *daemon) keepFlows(ctx context.Context) {
	if d.flows == nil {
		return
	}
	first, _ := d.observer.Flows().Bounds()
	if err := d.flows.Follow(ctx, d.observer.Flows(), first); err != nil {
		d.log.WithError(err).Error("flows are not kept any more")
	}
}
