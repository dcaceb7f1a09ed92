package hubble

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-net/sluice/internal/listen"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/hubble/convert"
	"github.com/sluice-net/sluice/observe/hubble/filter"
)

// GetFlows sends the flows that a request selects, oldest first.
func (s *Server) GetFlows(r *observerpb.GetFlowsRequest, stream grpc.ServerStreamingServer[observerpb.GetFlowsResponse]) error {
	query, err := s.query(r, listen.AccessOf(stream.Context()))
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	mask, err := convert.NewMask(r.GetFieldMask())
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return s.send(stream.Context(), func(ctx context.Context, sending func(func() error) error) error {
		return s.options.Flows.Walk(ctx, query, func(f *observe.Flow) error {
			response := s.options.Convert.Response(f, mask)
			return sending(func() error { return stream.Send(response) })
		})
	})
}

// query reads a request. The caller's scope is part of what matches, so that numbers count what it may see.
func (s *Server) query(r *observerpb.GetFlowsRequest, access *listen.Access) (q observe.Query, err error) {
	span := span{first: r.GetFirst(), follow: r.GetFollow(), number: r.GetNumber(), since: r.GetSince(), until: r.GetUntil()}
	if q, err = span.query(); err != nil {
		return q, err
	}
	if q.Match, err = filter.Compile(r.GetWhitelist(), r.GetBlacklist(), s.options.Convert); err != nil {
		return q, err
	}
	if match := q.Match; access.Scoped() {
		q.Match = func(f *observe.Flow) bool { return mayBeSeen(f, access) && match(f) }
	}
	return q, nil
}

// mayBeSeen reports whether a caller may see a flow: one of its ends is a container, and those that are containers are
// all within its scope.
func mayBeSeen(f *observe.Flow, access *listen.Access) bool {
	containers := 0
	for _, p := range [...]*observe.Party{f.Source, f.Destination} {
		switch {
		case !p.IsContainer():
		case !access.Sees(p.Namespace(), p.Network):
			return false
		default:
			containers++
		}
	}
	return containers > 0
}

// span is which part of the past and the future a request is about.
type span struct {
	first, follow bool
	number        uint64
	since, until  *timestamppb.Timestamp
}

// query returns the span as a query. A number counts only if no time says where to begin.
func (p span) query() (q observe.Query, err error) {
	if p.first && p.follow {
		return q, observe.ErrFirstFollow
	}
	for _, at := range []struct {
		from *timestamppb.Timestamp
		to   *time.Time
	}{{p.since, &q.Since}, {p.until, &q.Until}} {
		if at.from == nil {
			continue
		}
		if err := at.from.CheckValid(); err != nil {
			return q, err
		}
		*at.to = at.from.AsTime()
	}
	q.Follow = p.follow
	switch {
	case p.since != nil:
	case p.first:
		q.First = p.number
	default:
		q.Last = p.number
	}
	return q, nil
}

// send runs what sends to a client, each message within sending. It ends when that does, when the client leaves, when it
// does not read for too long, or when the daemon stops.
func (s *Server) send(ctx context.Context, run func(ctx context.Context, sending func(func() error) error) error) error {
	select {
	case s.walks <- struct{}{}:
	default:
		return status.Errorf(codes.ResourceExhausted, "%d streams are under way, no more are served at once", maxWalks)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var since atomic.Int64 // when the message was given to the client that it does not take, ns; 0: none
	done := make(chan error, 1)
	go func() {
		defer func() { <-s.walks }() // one that is cut keeps its place until it noticed
		done <- run(ctx, func(message func() error) error {
			since.Store(time.Now().UnixNano())
			defer since.Store(0)
			return message()
		})
	}()
	tick := time.NewTicker(max(s.options.Patience/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return ended(ctx, err)
		case <-s.stopped:
			return status.Error(codes.Unavailable, "the daemon stops")
		case <-tick.C:
			if at := since.Load(); at != 0 && time.Since(time.Unix(0, at)) > s.options.Patience {
				return status.Errorf(codes.ResourceExhausted, "the client did not read for %v", s.options.Patience)
			}
		}
	}
}

// ended is the status of a stream that ended by itself.
func ended(ctx context.Context, err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Internal, err.Error())
}
