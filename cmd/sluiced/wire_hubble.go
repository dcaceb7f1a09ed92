package main

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/listen"
	"github.com/sluice-net/sluice/observe/hubble"
	"github.com/sluice-net/sluice/observe/hubble/convert"
)

// hubbleServer is Hubble's API and the sockets on which it is served.
type hubbleServer struct {
	server    *hubble.Server
	listeners []*listen.Listener
}

// wireConvert makes what names flows for Hubble's clients and exports, and the log of what the daemon does.
func (d *daemon) wireConvert(context.Context) error {
	interfaces := &interfaceNames{known: map[uint32]interfaceName{}}
	d.convert = convert.New(convert.Options{
		Node: d.config.hubble.node, Cluster: d.config.hubble.cluster, Version: api.Build().Version, Labels: nodeLabels(d.config.hubble.node),
		Interface: interfaces.name, PolicyKind: func(policy string) string { return d.manager.PolicyKind(policy) },
	})
	d.agent = hubble.NewAgentLog(d.convert, time.Now)
	return nil
}

// nodeLabels are those that Kubernetes gives every node.
func nodeLabels(node string) []string {
	return []string{"kubernetes.io/arch=" + runtime.GOARCH, "kubernetes.io/hostname=" + node, "kubernetes.io/os=" + runtime.GOOS}
}

// wireHubble opens the sockets of Hubble's API.
func (d *daemon) wireHubble(context.Context) error {
	c := &d.config.hubble
	if c.socket != "" {
		if err := d.listenHubble(listen.Options{Address: c.socket, Group: c.group}); err != nil {
			return err
		}
	}
	if c.listen != "" {
		if err := d.listenHubble(c.options()); err != nil {
			return err
		}
	}
	peers, own, err := hubble.ParsePeers(c.peers, c.node)
	if err != nil {
		return err
	}
	d.hubble.server = hubble.New(hubble.Options{
		Flows: d.observer, Convert: d.convert, Agent: d.agent, Node: d.hubbleNode(own), Peers: peers, Version: "sluice " + api.Build().Version,
		Log: d.log,
	})
	return nil
}

// hubbleNode says how others reach this daemon: by the address that they are told, if one is.
func (d *daemon) hubbleNode(address string) hubble.Node {
	c := &d.config.hubble
	node := hubble.Node{Name: c.node}
	if c.socket != "" {
		node.Socket = "unix://" + c.socket
	}
	if c.tls.Cert != "" { // without TLS nobody but who has a token is served over TCP, and relays have none
		node.TLS, node.Address = true, d.hubble.listeners[len(d.hubble.listeners)-1].Addr().String()
	}
	if address != "" {
		node.Address = address
	}
	return node
}

func (d *daemon) listenHubble(o listen.Options) error {
	l, err := listen.Open(o)
	if err != nil {
		return fmt.Errorf("open Hubble's API: %w", err)
	}
	d.hubble.listeners = append(d.hubble.listeners, l)
	d.closing(closeListener(l))
	return nil
}

// serveHubble answers Hubble's clients until the context ends.
func (d *daemon) serveHubble(ctx context.Context, failed chan<- error) {
	if len(d.hubble.listeners) == 0 {
		return
	}
	d.background.Go(func() { d.hubble.server.Run(ctx) })
	for _, l := range d.hubble.listeners {
		d.background.Go(func() {
			if err := d.hubble.server.Serve(ctx, l); err != nil {
				failed <- fmt.Errorf("serve Hubble's API on %s: %w", l.Addr(), err)
			}
		})
	}
}

// Names of interfaces are asked for again after a while: they may be renamed, and numbers come again.
const interfaceTime = 30 * time.Second

// interfaceNames remembers the names of interfaces.
type interfaceNames struct {
	mu    sync.Mutex
	known map[uint32]interfaceName
}

type interfaceName struct {
	name  string
	asked time.Time
}

// name returns the name of an interface; that of one that is gone as long as it is remembered.
func (n *interfaceNames) name(index uint32) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	have, ok := n.known[index]
	if ok && now.Sub(have.asked) < interfaceTime {
		return have.name
	}
	have.asked = now
	if link, err := net.InterfaceByIndex(int(index)); err == nil {
		have.name = link.Name
	}
	if len(n.known) > 1<<14 {
		clear(n.known)
	}
	n.known[index] = have
	return have.name
}
