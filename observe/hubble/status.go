package hubble

import (
	"context"
	"sort"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	relaypb "github.com/cilium/cilium/api/v1/relay"

	"github.com/sluice-net/sluice/internal/listen"
	"github.com/sluice-net/sluice/observe"
)

// rateTime is over which the rate of flows is the mean.
const rateTime = time.Minute

// ServerStatus tells how full the ring is and how many flows come.
func (s *Server) ServerStatus(context.Context, *observerpb.ServerStatusRequest) (*observerpb.ServerStatusResponse, error) {
	ring := s.options.Flows.Flows()
	oldest, next := ring.Bounds()
	now := s.options.Now()
	return &observerpb.ServerStatusResponse{
		NumFlows: next - oldest, MaxFlows: uint64(ring.Size()), SeenFlows: next - s.base,
		UptimeNs: uint64(now.Sub(s.started)), Version: s.options.Version, FlowsRate: rate(ring, now, now.Sub(s.started)),
	}, nil
}

// rate returns flows per second over the last minute, or since the start, or as far as the ring goes back.
func rate(ring *observe.Flows, now time.Time, up time.Duration) float64 {
	oldest, next := ring.Bounds()
	over := min(rateTime, up)
	n := int(next - oldest)
	from := sort.Search(n, func(i int) bool {
		f := ring.Get(oldest + uint64(i))
		return f != nil && !f.Time.Before(now.Add(-over))
	})
	if from == 0 && n > 0 && n == ring.Size() { // the ring is full of what came since
		if f := ring.Get(oldest); f != nil {
			over = min(over, now.Sub(f.Time))
		}
	}
	if over <= 0 {
		return 0
	}
	return float64(n-from) / over.Seconds()
}

// GetNodes tells of this daemon, and of its peers what is known without asking them.
func (s *Server) GetNodes(ctx context.Context, _ *observerpb.GetNodesRequest) (*observerpb.GetNodesResponse, error) {
	own, err := s.ServerStatus(ctx, nil)
	if err != nil {
		return nil, err
	}
	all := []*observerpb.Node{{
		Name: s.options.Convert.NodeName(), Version: s.options.Version, Address: s.options.Node.address(ctx),
		State: relaypb.NodeState_NODE_CONNECTED, Tls: s.tls(s.options.Node.Name),
		UptimeNs: own.GetUptimeNs(), NumFlows: own.GetNumFlows(), MaxFlows: own.GetMaxFlows(), SeenFlows: own.GetSeenFlows(),
	}}
	for _, p := range s.options.Peers {
		all = append(all, &observerpb.Node{
			Name: s.peerName(p.Name), Address: p.Address, State: relaypb.NodeState_UNKNOWN_NODE_STATE, Tls: s.tls(p.Name),
		})
	}
	return &observerpb.GetNodesResponse{Nodes: all}, nil
}

// tls says how a node is reached.
func (s *Server) tls(node string) *observerpb.TLS {
	if !s.options.Node.TLS {
		return &observerpb.TLS{}
	}
	return &observerpb.TLS{Enabled: true, ServerName: s.serverName(node)}
}

// GetNamespaces lists the namespaces whose containers had flows in the last hour.
func (s *Server) GetNamespaces(ctx context.Context, _ *observerpb.GetNamespacesRequest) (*observerpb.GetNamespacesResponse, error) {
	r := &observerpb.GetNamespacesResponse{}
	for _, name := range s.namespaces.list(listen.AccessOf(ctx)) {
		r.Namespaces = append(r.Namespaces, &observerpb.Namespace{Cluster: s.options.Convert.Cluster(), Namespace: name})
	}
	return r, nil
}
