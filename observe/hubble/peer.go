package hubble

import (
	"context"
	"fmt"
	"net"
	"strings"

	peerpb "github.com/cilium/cilium/api/v1/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/sluice-net/sluice/observe/hubble/convert"
)

// serverNameSuffix ends the names by which clients verify the certificates of nodes.
const serverNameSuffix = ".hubble-grpc.cilium.io"

// Node is this daemon, as others reach it.
type Node struct {
	Name string
	// Socket is the unix socket, as an address of gRPC: unix:///path. Empty: there is none.
	Socket string
	// Address is HOST:PORT with TLS; empty: only the socket. An unspecified host means whichever the caller reached.
	Address string
	TLS     bool
}

// Peer is another daemon.
type Peer struct{ Name, Address string }

// ParsePeers reads NAME=HOST:PORT,… and takes out of them the node itself, whose address it returns if it is there.
func ParsePeers(list []string, self string) (peers []Peer, own string, err error) {
	seen := map[string]bool{}
	for _, s := range list {
		name, address, ok := strings.Cut(strings.TrimSpace(s), "=")
		if !ok || name == "" {
			return nil, "", fmt.Errorf("peer %q: use NAME=HOST:PORT", s)
		}
		if seen[name] {
			return nil, "", fmt.Errorf("peer %s is named twice", name)
		}
		seen[name] = true
		if !strings.HasPrefix(address, "unix://") {
			if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
				return nil, "", fmt.Errorf("peer %s has address %q: use HOST:PORT", name, address)
			}
		}
		if name == self {
			own = address
			continue
		}
		peers = append(peers, Peer{name, address})
	}
	return peers, own, nil
}

// address returns by which address the caller, and those near it, reach the node.
func (n Node) address(ctx context.Context) string {
	if n.Address == "" {
		return n.Socket
	}
	host, port, err := net.SplitHostPort(n.Address)
	if err != nil {
		return n.Address
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return n.Address
	}
	if p, ok := peer.FromContext(ctx); ok {
		if local, ok := p.LocalAddr.(*net.TCPAddr); ok {
			return net.JoinHostPort(local.IP.String(), port)
		}
	}
	return net.JoinHostPort("127.0.0.1", port) // the caller is on this host
}

// peerName is how clients call a node: with the cluster before it unless that is the default one.
func (s *Server) peerName(node string) string {
	if cluster := s.options.Convert.Cluster(); cluster != convert.DefaultCluster {
		return cluster + "/" + node
	}
	return node
}

// serverName is the name that a node's certificate has to have. Each node and cluster is one label of it.
func (s *Server) serverName(node string) string {
	label := strings.NewReplacer(".", "-", "/", "-")
	return label.Replace(node) + "." + label.Replace(s.options.Convert.Cluster()) + serverNameSuffix
}

// Notify tells of this daemon and its peers, and then stays open: they change only with the daemon's settings.
func (s *Server) Notify(_ *peerpb.NotifyRequest, stream grpc.ServerStreamingServer[peerpb.ChangeNotification]) error {
	ctx := stream.Context()
	all := append([]Peer{{s.options.Node.Name, s.options.Node.address(ctx)}}, s.options.Peers...)
	return s.send(ctx, func(ctx context.Context, sending func(func() error) error) error {
		for _, p := range all {
			m := &peerpb.ChangeNotification{Name: s.peerName(p.Name), Address: p.Address, Type: peerpb.ChangeNotificationType_PEER_ADDED}
			if s.options.Node.TLS {
				m.Tls = &peerpb.TLS{ServerName: s.serverName(p.Name)}
			}
			if err := sending(func() error { return stream.Send(m) }); err != nil {
				return err
			}
		}
		<-ctx.Done()
		return ctx.Err()
	})
}
