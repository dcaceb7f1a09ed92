package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sluice-net/sluice/internal/listen"
	"github.com/sluice-net/sluice/observe/hubble"
	"github.com/sluice-net/sluice/observe/hubble/convert"
)

// defaultHubbleSocket stands for the socket in the run directory.
const defaultHubbleSocket = "RUN-DIR/hubble.sock"

// hubbleConfig are the settings of Hubble's API.
type hubbleConfig struct {
	socket  string
	group   string
	listen  string
	tls     listen.Files
	tokens  string
	peers   []string
	node    string
	cluster string
}

func (c *hubbleConfig) flags(f *pflag.FlagSet) {
	f.StringVar(&c.socket, "hubble-socket", defaultHubbleSocket, "unix socket of Hubble's API; empty: none")
	f.StringVar(&c.group, "socket-group", "", "group, by name or number, that may use the sockets of Hubble's API and of the page (default: root's)")
	f.StringVar(&c.listen, "hubble-listen", "", "ADDRESS:PORT where Hubble's API is served with TLS, or on a loopback address with tokens; empty: only on the socket")
	f.StringVar(&c.tls.Cert, "hubble-tls-cert", "", "certificate of Hubble's API (PEM); certificate, key and CA may be replaced while the daemon runs")
	f.StringVar(&c.tls.Key, "hubble-tls-key", "", "its key (PEM)")
	f.StringVar(&c.tls.ClientCA, "hubble-tls-client-ca", "", "CA (PEM) of the certificates by which clients of Hubble's API show that they may see all flows")
	f.StringVar(&c.tokens, "hubble-tokens", "", "file of tokens by which clients of Hubble's API show what they may see, in each line TOKEN [NAMESPACE,network:NAME,...]")
	f.StringSliceVar(&c.peers, "hubble-peers", nil, "the hosts that hubble-relay asks beside this one, NAME=HOST:PORT; with the own name, the address by which others reach this one")
	f.StringVar(&c.node, "node-name", "", "name of this host in flows (default: its host name)")
	f.StringVar(&c.cluster, "cluster-name", convert.DefaultCluster, "name of the cluster in flows")
}

// check completes the settings and refuses those that cannot work together.
func (c *hubbleConfig) check(runDir string) error {
	if c.socket == defaultHubbleSocket {
		c.socket = filepath.Join(runDir, "hubble.sock")
	}
	if c.socket != "" && !filepath.IsAbs(c.socket) {
		return fmt.Errorf("hubble-socket %q: use an absolute path, or an empty one for no socket", c.socket)
	}
	if c.node == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("find the host's name: %w: give one (node-name)", err)
		}
		c.node = name
	}
	for name, value := range map[string]string{"node-name": c.node, "cluster-name": c.cluster} {
		if value == "" || strings.ContainsAny(value, "/ ") {
			return fmt.Errorf("%s %q: use a name without slash or space", name, value)
		}
	}
	if _, _, err := hubble.ParsePeers(c.peers, c.node); err != nil {
		return fmt.Errorf("hubble-peers: %w", err)
	}
	if c.listen == "" {
		if c.tls != (listen.Files{}) || c.tokens != "" {
			return fmt.Errorf("hubble-tls and hubble-tokens are about hubble-listen: name an address")
		}
		return nil
	}
	if _, ok := listen.IsUnix(c.listen); ok {
		return fmt.Errorf("hubble-listen %q: use ADDRESS:PORT; the unix socket is hubble-socket", c.listen)
	}
	if err := listen.Check(c.options()); err != nil {
		return fmt.Errorf("hubble-listen: %w", err)
	}
	return nil
}

// options are those of the listener of TCP.
func (c *hubbleConfig) options() listen.Options {
	return listen.Options{Address: c.listen, TLS: c.tls, TokenFile: c.tokens, Protocols: hubble.Protocols}
}
