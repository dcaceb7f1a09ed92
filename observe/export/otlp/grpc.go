package otlp

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sluice-net/sluice/observe/export/sink"
)

// grpcCarrier carries OTLP over gRPC. It connects by itself whenever there is something to send.
type grpcCarrier struct {
	conn    *grpc.ClientConn
	headers metadata.MD
}

func newGRPC(c *Config, agent string) (*grpcCarrier, error) {
	e, err := c.endpoint()
	if err != nil {
		return nil, err
	}
	target := "dns:///" + e.target
	if e.host == "" {
		target = "unix://" + e.target
	}
	var creds credentials.TransportCredentials = insecure.NewCredentials()
	if e.secure {
		creds = &freshTLS{tls: c.TLS, host: e.host}
		if c.TLS != nil && c.TLS.ServerName != "" {
			creds = &freshTLS{tls: c.TLS, host: c.TLS.ServerName}
		}
	}
	options := []grpc.DialOption{grpc.WithUserAgent(agent), grpc.WithTransportCredentials(creds)}
	if c.compress() {
		options = append(options, grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)))
	}
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, fmt.Errorf("prepare connection: %w", err)
	}
	return &grpcCarrier{conn: conn, headers: metadata.New(c.Headers)}, nil
}

func (g *grpcCarrier) logs(ctx context.Context, r *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error) {
	answer, err := collogs.NewLogsServiceClient(g.conn).Export(metadata.NewOutgoingContext(ctx, g.headers), r)
	return answer, grpcFailure("logs", err)
}

func (g *grpcCarrier) spans(ctx context.Context, r *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	answer, err := coltrace.NewTraceServiceClient(g.conn).Export(metadata.NewOutgoingContext(ctx, g.headers), r)
	return answer, grpcFailure("spans", err)
}

func (g *grpcCarrier) close() error { return g.conn.Close() }

// grpcFailure says what an error means (OTLP's specification, "Failures"). Faults of access are tried again, other than the
// specification has it: whoever runs the collector can mend them while flows wait in the ring.
func grpcFailure(what string, err error) error {
	if err == nil {
		return nil
	}
	s := status.Convert(err)
	f := &failure{err: fmt.Errorf("send %s: %w", what, err)}
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			f.wait = info.GetRetryDelay().AsDuration()
			return f
		}
	}
	switch s.Code() {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.NotFound, codes.AlreadyExists, codes.Internal, codes.Unknown:
		f.refused = true
	case codes.ResourceExhausted:
		f.tooLarge = strings.Contains(s.Message(), "larger than max")
	}
	return f
}

// freshTLS is TLS whose files are read for every connection.
type freshTLS struct {
	tls  *sink.TLS
	host string // in the collector's certificate: gRPC takes it from Info
}

func (f *freshTLS) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, err := f.tls.Client(f.host)
	if err != nil {
		return nil, nil, err
	}
	return credentials.NewTLS(c).ClientHandshake(ctx, authority, raw)
}

func (f *freshTLS) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, fmt.Errorf("a client takes no connections")
}

func (f *freshTLS) Info() credentials.ProtocolInfo {
	return credentials.NewTLS(&tls.Config{ServerName: f.host}).Info()
}

func (f *freshTLS) Clone() credentials.TransportCredentials {
	again := *f
	return &again
}

func (f *freshTLS) OverrideServerName(name string) error { f.host = name; return nil }
