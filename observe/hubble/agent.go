package hubble

import (
	"context"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-net/sluice/internal/listen"
)

// GetAgentEvents sends what the daemon did.
func (s *Server) GetAgentEvents(r *observerpb.GetAgentEventsRequest, stream grpc.ServerStreamingServer[observerpb.GetAgentEventsResponse]) error {
	query, err := span{first: r.GetFirst(), follow: r.GetFollow(), number: r.GetNumber(), since: r.GetSince(), until: r.GetUntil()}.query()
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	access := listen.AccessOf(stream.Context())
	return s.send(stream.Context(), func(ctx context.Context, sending func(func() error) error) error {
		return s.options.Agent.walk(ctx, query, access, func(e *agentEvent) error {
			return sending(func() error { return stream.Send(e.message) })
		})
	})
}

// GetDebugEvents sends nothing: the programs have no debug messages. It checks what it is asked, and follows, as an agent
// does whose debugging is off.
func (s *Server) GetDebugEvents(r *observerpb.GetDebugEventsRequest, stream grpc.ServerStreamingServer[observerpb.GetDebugEventsResponse]) error {
	query, err := span{first: r.GetFirst(), follow: r.GetFollow(), number: r.GetNumber(), since: r.GetSince(), until: r.GetUntil()}.query()
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if !query.Follow {
		return nil
	}
	return s.send(stream.Context(), func(ctx context.Context, _ func(func() error) error) error {
		<-ctx.Done()
		return ctx.Err()
	})
}
