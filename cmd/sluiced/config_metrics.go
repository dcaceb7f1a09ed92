package main

import (
	"fmt"
	"net"

	"github.com/spf13/pflag"

	"github.com/sluice-net/sluice/internal/listen"
	"github.com/sluice-net/sluice/observe/metrics"
)

// metricsConfig are the settings of metrics.
type metricsConfig struct {
	listen string
	tls    listen.Files
	tokens string
	flows  string
}

func (c *metricsConfig) flags(f *pflag.FlagSet) {
	f.StringVar(&c.listen, "metrics-listen", "", "where Prometheus gets the metrics by HTTP, at /metrics: HOST:PORT, which everybody may read who reaches it unless the files below say otherwise, or the path of a unix socket; empty: the API socket only")
	f.StringVar(&c.tls.Cert, "metrics-tls-cert", "", "certificate of --metrics-listen (PEM); empty: no TLS")
	f.StringVar(&c.tls.Key, "metrics-tls-key", "", "its key")
	f.StringVar(&c.tls.ClientCA, "metrics-tls-client-ca", "", "CA of the certificates that who asks for metrics must show, or a token; empty: none")
	f.StringVar(&c.tokens, "metrics-token-file", "", "bearer tokens that who asks for metrics must show, one a line; needs TLS or a loopback address")
	f.StringVar(&c.flows, "metrics", metrics.Default, "metrics of flows with their options, as Hubble writes them: NAME[:OPTION=VALUE[;OPTION=VALUE]], separated by spaces; empty: none")
}

func (c *metricsConfig) check() error {
	if _, err := metrics.Parse(c.flows); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	files := c.tls != (listen.Files{}) || c.tokens != ""
	if c.listen == "" && files {
		return fmt.Errorf("metrics-listen is empty, and other settings are about it: name an address, for example 127.0.0.1:9965")
	}
	if c.listen == "" {
		return nil
	}
	if c.guarded() {
		if err := listen.Check(c.options()); err != nil {
			return fmt.Errorf("metrics-listen: %w", err)
		}
		return nil
	}
	if _, _, err := net.SplitHostPort(c.listen); err != nil {
		return fmt.Errorf("metrics-listen %q: use HOST:PORT, for example 127.0.0.1:9965, or the path of a unix socket", c.listen)
	}
	return nil
}

// guarded reports whether not everybody who reaches the address may read the metrics.
func (c *metricsConfig) guarded() bool {
	_, unix := listen.IsUnix(c.listen)
	return unix || c.tls != (listen.Files{}) || c.tokens != ""
}

// options are those of the listener, if it is guarded.
func (c *metricsConfig) options() listen.Options {
	return listen.Options{
		Address: c.listen, TLS: c.tls, TokenFile: c.tokens, Anonymous: c.tls.ClientCA == "" && c.tokens == "",
		Protocols: []string{"http/1.1"},
	}
}
