package main

import (
	"fmt"
	"net"

	"github.com/spf13/pflag"

	"github.com/sluice-net/sluice/observe/metrics"
)

// metricsConfig are the settings of metrics.
type metricsConfig struct {
	listen string
	flows  string
}

func (c *metricsConfig) flags(f *pflag.FlagSet) {
	f.StringVar(&c.listen, "metrics-listen", "", "ADDRESS:PORT where Prometheus gets the metrics by HTTP, without encryption and for everybody who reaches it; empty: only the API socket has them, at /metrics")
	f.StringVar(&c.flows, "metrics", metrics.Default, "metrics of flows with their options, as Hubble writes them: NAME[:OPTION=VALUE[;OPTION=VALUE]], separated by spaces; empty: none")
}

func (c *metricsConfig) check() error {
	if c.listen != "" {
		if _, _, err := net.SplitHostPort(c.listen); err != nil {
			return fmt.Errorf("metrics-listen %q: use ADDRESS:PORT, for example 127.0.0.1:9965", c.listen)
		}
	}
	if _, err := metrics.Parse(c.flows); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}
