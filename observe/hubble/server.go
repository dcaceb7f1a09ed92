package hubble

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	peerpb "github.com/cilium/cilium/api/v1/peer"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/sluice-net/sluice/internal/listen"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/hubble/convert"
)

// The limits of what callers may use up.
const (
	maxRequest       = 256 << 10 // bytes
	maxHeaders       = 16 << 10  // bytes
	maxStreams       = 64        // of one connection
	maxWalks         = 256       // streams of all callers that go through flows or events
	defaultPatience  = 30 * time.Second
	handshakeTime    = 10 * time.Second
	pingTime         = 30 * time.Second // of a connection on which nothing happens
	pingTimeout      = 20 * time.Second
	shortestPingTime = 5 * time.Second // that callers may choose
)

// healthService is the name under which clients ask whether the observer is well.
const healthService = "hubble.server.Observer"

// Protocols are what TLS has to offer to gRPC.
var Protocols = []string{"h2"}

// Flows are where flows come from (implemented by observe.Observer).
type Flows interface {
	// Walk gives the flows of a query, oldest first.
	Walk(ctx context.Context, q observe.Query, each func(*observe.Flow) error) error
	// Flows returns the ring of those that are kept in memory.
	Flows() *observe.Flows
}

// Options are what a server needs.
type Options struct {
	Flows   Flows
	Convert *convert.Converter
	Agent   *AgentLog
	Node    Node   // this daemon
	Peers   []Peer // the others
	Version string // of the daemon
	Log     logrus.FieldLogger
	// Patience is how long a client may not read before it is cut; 0: 30 seconds.
	Patience time.Duration
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Server answers Hubble's clients. Run has to run for GetNamespaces to know anything.
type Server struct {
	observerpb.UnimplementedObserverServer
	peerpb.UnimplementedPeerServer

	options    Options
	started    time.Time
	base       uint64 // number of the first flow since the start
	namespaces *namespaces
	walks      chan struct{} // a place for each stream under way
	stopped    chan struct{}
	stop       sync.Once
}

// New returns a server.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	if o.Agent == nil {
		o.Agent = NewAgentLog(o.Convert, o.Now)
	}
	_, base := o.Flows.Flows().Bounds()
	return &Server{
		options: o, started: o.Now(), base: base, namespaces: newNamespaces(o.Now), walks: make(chan struct{}, maxWalks),
		stopped: make(chan struct{}),
	}
}

// Run follows the flows until the context ends, and then ends all streams.
func (s *Server) Run(ctx context.Context) {
	s.namespaces.follow(ctx, s.options.Flows.Flows())
	s.stop.Do(func() { close(s.stopped) })
}

// Serve answers on a listener until the context ends. It closes the listener.
func (s *Server) Serve(ctx context.Context, l *listen.Listener) error {
	server := s.grpc(l)
	end := context.AfterFunc(ctx, server.Stop) // streams that follow never end by themselves
	defer end()
	err := server.Serve(l)
	if ctx.Err() != nil || errors.Is(err, grpc.ErrServerStopped) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// grpc returns the server of one listener.
func (s *Server) grpc(l *listen.Listener) *grpc.Server {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxRequest), grpc.MaxHeaderListSize(maxHeaders), grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingTime, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: shortestPingTime, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			ctx, err := s.authorize(ctx, l)
			if err != nil {
				return nil, err
			}
			return next(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			ctx, err := s.authorize(stream.Context(), l)
			if err != nil {
				return err
			}
			return next(srv, &authorized{stream, ctx})
		}),
	}
	if l.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(l.TLS)))
	}
	server := grpc.NewServer(options...)
	observerpb.RegisterObserverServer(server, s)
	peerpb.RegisterPeerServer(server, s)
	alive := health.NewServer()
	for _, name := range []string{"", healthService, observerpb.Observer_ServiceDesc.ServiceName, peerpb.Peer_ServiceDesc.ServiceName} {
		alive.SetServingStatus(name, healthpb.HealthCheckResponse_SERVING)
	}
	healthpb.RegisterHealthServer(server, alive)
	reflection.Register(server)
	return server
}

// authorize asks the listener for the caller's right to come, and keeps what it may see in the context.
func (s *Server) authorize(ctx context.Context, l *listen.Listener) (context.Context, error) {
	var header string
	if values := metadata.ValueFromIncomingContext(ctx, "authorization"); len(values) > 0 {
		header = values[0]
	}
	var state *tls.ConnectionState
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			state = &info.State
		}
	}
	access, err := l.Authorize(header, state)
	if err != nil {
		if err != listen.ErrDenied && s.options.Log != nil { //nolint:errorlint // wrapped, it is about this side
			s.options.Log.WithError(err).Warn("a client of Hubble's API is refused")
		}
		return nil, status.Error(codes.Unauthenticated, listen.ErrDenied.Error())
	}
	return listen.WithAccess(ctx, access), nil
}

// authorized is a stream whose context says what its caller may see.
type authorized struct {
	grpc.ServerStream
	ctx context.Context
}

func (a *authorized) Context() context.Context { return a.ctx }
