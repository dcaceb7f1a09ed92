package syslog

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-net/sluice/observe/export/sink"
)

// Config are the settings of a receiver.
type Config struct {
	Address  string        `yaml:"address"`  // udp://HOST[:514], tcp://HOST:PORT, tls://HOST[:6514], unix:///PATH
	Format   string        `yaml:"format"`   // cef (default) or json
	Facility string        `yaml:"facility"` // RFC 5424, 6.2.1 (local0)
	AppName  string        `yaml:"appName"`  // who speaks (sluice)
	Hostname string        `yaml:"hostname"` // where (the node's name)
	Framing  string        `yaml:"framing"`  // of streams: octet-counting (default) or newline
	Longest  sink.Bytes    `yaml:"longest"`  // longer messages are not sent (8KiB)
	Timeout  sink.Duration `yaml:"timeout"`  // of connecting, and of writing a batch (10s)
	TLS      *sink.TLS     `yaml:"tls"`
}

// The formats of a message's text.
const (
	formatCEF  = "cef"
	formatJSON = "json"
)

// The ways to separate messages in a stream (RFC 6587).
const (
	framingCounted = "octet-counting"
	framingNewline = "newline"
)

const (
	defaultLongest = 8 << 10
	longestUDP     = 65507 // bytes of a datagram over IPv4 (RFC 768, RFC 791)
)

// facilities by name, in the order of their numbers (RFC 5424, table 1).
var facilities = []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

// address is a parsed Config.Address.
type address struct {
	scheme string
	target string // HOST:PORT or the socket's path
	host   string // without the port
}

// ports are the ports of the schemes that have one by default (RFC 5426, RFC 5425).
var ports = map[string]string{"udp": "514", "tls": "6514"}

func parseAddress(s string) (a address, err error) {
	u, err := url.Parse(s)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return a, fmt.Errorf("address: %q is not one: write udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH", s)
	}
	a.scheme = u.Scheme
	switch u.Scheme {
	case "unix":
		a.target = u.Path
		if u.Host != "" || !filepath.IsAbs(u.Path) {
			return a, fmt.Errorf("address: %q: a socket has an absolute path, as in unix:///dev/log", s)
		}
		return a, nil
	case "udp", "tcp", "tls":
	default:
		return a, fmt.Errorf("address: %q begins with none of udp://, tcp://, tls:// and unix://", s)
	}
	port := u.Port()
	if port == "" {
		port = ports[u.Scheme]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || u.Hostname() == "" || u.Path != "" && u.Path != "/" {
		return a, fmt.Errorf("address: %q is not %s://HOST:PORT", s, u.Scheme)
	}
	a.host, a.target = u.Hostname(), net.JoinHostPort(u.Hostname(), port)
	return a, nil
}

// Check refuses settings that cannot work.
func (c *Config) Check() error {
	a, err := parseAddress(c.Address)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name, value string
		may         []string
	}{
		{"format", c.Format, []string{formatCEF, formatJSON}},
		{"framing", c.Framing, []string{framingCounted, framingNewline}},
		{"facility", c.Facility, facilities},
	} {
		if f.value != "" && !slices.Contains(f.may, f.value) {
			return fmt.Errorf("%s: %q is none of %v", f.name, f.value, f.may)
		}
	}
	switch {
	case !token(c.AppName, 48):
		return fmt.Errorf("appName: %q is not up to 48 printable characters without space", c.AppName)
	case !token(c.Hostname, 255):
		return fmt.Errorf("hostname: %q is not up to 255 printable characters without space", c.Hostname)
	case c.Framing != "" && (a.scheme == "udp" || a.scheme == "tls"):
		return fmt.Errorf("framing: only tcp:// and unix:// have a choice")
	case c.TLS != nil && a.scheme != "tls":
		return fmt.Errorf("tls: the address must begin with tls://")
	case c.Longest != 0 && c.Longest < 480:
		return fmt.Errorf("longest: receivers take at least 480 bytes (RFC 5424)")
	case a.scheme == "udp" && c.Longest > longestUDP:
		return fmt.Errorf("longest: a datagram has at most %d bytes", longestUDP)
	}
	return c.TLS.Check()
}

// token tells whether a text can stand in a header: printable ASCII without space, not too long. Empty is none.
func token(s string, longest int) bool {
	return len(s) <= longest && !slices.ContainsFunc([]byte(s), func(b byte) bool { return b < 33 || b > 126 })
}

func (c *Config) longest() int {
	if c.Longest == 0 {
		return defaultLongest
	}
	return int(c.Longest)
}

func (c *Config) timeout() time.Duration { return c.Timeout.Or(10 * time.Second) }

func (c *Config) facility() int {
	if i := slices.Index(facilities, c.Facility); i >= 0 {
		return i
	}
	return slices.Index(facilities, "local0")
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
