package otlp

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/sluice-net/sluice/observe/export/sink"
)

// Config are the settings of a collector.
type Config struct {
	Endpoint    string            `yaml:"endpoint"`    // http://HOST[:PORT][/PATH], https://…; gRPC also unix:///PATH
	Protocol    string            `yaml:"protocol"`    // grpc (default) or http
	Headers     map[string]string `yaml:"headers"`     // sent with every request
	Compression string            `yaml:"compression"` // gzip (default) or none
	Timeout     sink.Duration     `yaml:"timeout"`     // of a request (10s)
	Logs        *bool             `yaml:"logs"`        // log records of flows (true)
	Spans       *bool             `yaml:"spans"`       // spans of connections that are over (true)
	Resource    map[string]string `yaml:"resource"`    // attributes of the resource, beside service.name and host.name
	TLS         *sink.TLS         `yaml:"tls"`
}

// The protocols, with OTLP's ports.
const (
	protocolGRPC, portGRPC = "grpc", "4317"
	protocolHTTP, portHTTP = "http", "4318"
)

const (
	compressionGzip = "gzip"
	compressionNone = "none"
)

// endpoint is a parsed Config.Endpoint.
type endpoint struct {
	secure bool
	host   string // without the port; empty for a socket
	target string // HOST:PORT, or the path of a socket
	path   string // before /v1/logs
}

func (c *Config) endpoint() (e endpoint, err error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return e, fmt.Errorf("endpoint: %q is not one: write http://HOST:PORT or https://HOST:PORT; secrets go into headers", c.Endpoint)
	}
	port := portGRPC
	if c.Protocol == protocolHTTP {
		port = portHTTP
	}
	switch u.Scheme {
	case "unix":
		if u.Host != "" || !filepath.IsAbs(u.Path) || c.Protocol == protocolHTTP {
			return e, fmt.Errorf("endpoint: %q: a socket has an absolute path and speaks grpc, as in unix:///run/otel.sock", c.Endpoint)
		}
		return endpoint{target: u.Path}, nil
	case "http", "https":
	default:
		return e, fmt.Errorf("endpoint: %q begins with none of http://, https:// and unix://", c.Endpoint)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	e = endpoint{secure: u.Scheme == "https", host: u.Hostname(), target: net.JoinHostPort(u.Hostname(), port), path: strings.TrimSuffix(u.Path, "/")}
	switch {
	case e.host == "":
		return e, fmt.Errorf("endpoint: %q names no host", c.Endpoint)
	case e.path != "" && c.Protocol != protocolHTTP:
		return e, fmt.Errorf("endpoint: %q: gRPC has no path", c.Endpoint)
	}
	return e, nil
}

// Check refuses settings that cannot work.
func (c *Config) Check() error {
	for _, f := range []struct {
		name, value string
		may         []string
	}{
		{"protocol", c.Protocol, []string{protocolGRPC, protocolHTTP}},
		{"compression", c.Compression, []string{compressionGzip, compressionNone}},
	} {
		if f.value != "" && !slices.Contains(f.may, f.value) {
			return fmt.Errorf("%s: %q is none of %v", f.name, f.value, f.may)
		}
	}
	e, err := c.endpoint()
	switch {
	case err != nil:
		return err
	case c.TLS != nil && !e.secure:
		return fmt.Errorf("tls: the endpoint must begin with https://")
	case !c.logs() && !c.spans():
		return fmt.Errorf("logs, spans: one of them must be sent")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(c.Headers[name]) || strings.HasPrefix(strings.ToLower(name), "grpc-") {
			return fmt.Errorf("headers: %q is not a header that can be sent", name)
		}
	}
	return c.TLS.Check()
}

func (c *Config) logs() bool             { return c.Logs == nil || *c.Logs }
func (c *Config) spans() bool            { return c.Spans == nil || *c.Spans }
func (c *Config) compress() bool         { return c.Compression != compressionNone }
func (c *Config) timeout() time.Duration { return c.Timeout.Or(10 * time.Second) }
