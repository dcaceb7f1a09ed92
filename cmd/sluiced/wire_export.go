package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/observe/export"
)

// wireExports begins to send flows to whom the files of the export directory name. What is in memory when the daemon stops
// is still sent, after the last flow was read.
func (d *daemon) wireExports(context.Context) error {
	d.exports = export.New(export.Options{
		Dir: d.config.export.open(), Ring: d.observer.Flows(), Converter: d.convert, Version: api.Build().Version, Log: d.log,
	})
	d.closing(func() error { d.exports.Close(stopTime); return nil })
	d.exports.Load()
	return nil
}

// checkExports tells whether the files of exports are good and receivers take flows.
func (d *daemon) checkExports(all []api.Export) api.Check {
	check := api.Check{Name: "exports"}
	var faults []string
	for _, problem := range d.exports.Problems() {
		faults = append(faults, problem+"; what it brought before goes on")
	}
	for _, x := range all {
		if x.State == api.ExportDown {
			faults = append(faults, fmt.Sprintf("%s is down: %s", x.Name, x.LastError))
		}
	}
	switch {
	case len(faults) > 0:
		check.Detail = strings.Join(faults, "; ")
		return check
	case d.config.export.dir == "":
		check.Detail = "no directory"
	default:
		check.Detail = fmt.Sprintf("%d, of %s", len(all), d.config.export.dir)
	}
	check.OK = true
	return check
}
