package otlp

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/encoding/gzip" // what clients may ask for
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// answer is what a collector says to a request.
type answer struct {
	status   codes.Code    // of gRPC; OK: it takes the request
	http     int           // of HTTP, likewise
	retry    time.Duration // that it asks for
	rejected int64         // items that it does not take
	hang     bool          // it does not answer
	limit    int           // items that it takes at most in a request; 0: any number
}

// collector is one of the test's own, for both protocols. (The scenario export drives the real one.)
type collector struct {
	collogs.UnimplementedLogsServiceServer
	address string

	mu       sync.Mutex
	next     []answer // to requests to come, of logs and of spans
	always   answer   // to those after
	requests int
	headers  map[string]string // of the newest request, those that tests send
	encoding string            // of it, HTTP only
	resource *resource.Resource
	logs     []*logs.LogRecord
	spans    []*trace.Span
}

// spanService is the other service of a collector.
type spanService struct {
	coltrace.UnimplementedTraceServiceServer
	*collector
}

// begin notes a request with so many items, and returns what is to be said.
func (c *collector) begin(header func(string) string, items int) answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	c.headers = map[string]string{"authorization": header("authorization"), "x-tenant": header("x-tenant")}
	a := c.always
	if len(c.next) > 0 {
		a, c.next = c.next[0], c.next[1:]
	}
	if a.limit > 0 {
		if items <= a.limit {
			return answer{}
		}
		return answer{status: codes.ResourceExhausted, http: http.StatusRequestEntityTooLarge}
	}
	return a
}

func (c *collector) takeLogs(r *collogs.ExportLogsServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range r.GetResourceLogs() {
		c.resource = one.GetResource()
		for _, scope := range one.GetScopeLogs() {
			c.logs = append(c.logs, scope.GetLogRecords()...)
		}
	}
}

func (c *collector) takeSpans(r *coltrace.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range r.GetResourceSpans() {
		for _, scope := range one.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
}

// took returns what was taken so far.
func (c *collector) took() (logs []*logs.LogRecord, spans []*trace.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.logs), slices.Clone(c.spans)
}

// grpcAnswer says an answer as an error.
func grpcAnswer(ctx context.Context, a answer) error {
	if a.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if a.status == codes.OK {
		return nil
	}
	message := "not now"
	if a.status == codes.ResourceExhausted {
		message = "grpc: received message larger than max (9 vs. 8)"
	}
	s := status.New(a.status, message)
	if a.retry > 0 {
		s, _ = s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(a.retry)})
	}
	return s.Err()
}

func grpcHeader(ctx context.Context) func(string) string {
	md, _ := metadata.FromIncomingContext(ctx)
	return func(name string) string {
		if all := md.Get(name); len(all) > 0 {
			return all[0]
		}
		return ""
	}
}

// Export takes logs.
func (c *collector) Export(ctx context.Context, r *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error) {
	a := c.begin(grpcHeader(ctx), countLogs(r))
	if err := grpcAnswer(ctx, a); err != nil {
		return nil, err
	}
	c.takeLogs(r)
	return &collogs.ExportLogsServiceResponse{PartialSuccess: &collogs.ExportLogsPartialSuccess{RejectedLogRecords: a.rejected, ErrorMessage: "spoilt"}}, nil
}

// Export takes spans.
func (s spanService) Export(ctx context.Context, r *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	a := s.begin(grpcHeader(ctx), countSpans(r))
	if err := grpcAnswer(ctx, a); err != nil {
		return nil, err
	}
	s.takeSpans(r)
	return &coltrace.ExportTraceServiceResponse{PartialSuccess: &coltrace.ExportTracePartialSuccess{RejectedSpans: a.rejected, ErrorMessage: "spoilt"}}, nil
}

func countLogs(r *collogs.ExportLogsServiceRequest) (n int) {
	for _, one := range r.GetResourceLogs() {
		for _, scope := range one.GetScopeLogs() {
			n += len(scope.GetLogRecords())
		}
	}
	return n
}

func countSpans(r *coltrace.ExportTraceServiceRequest) (n int) {
	for _, one := range r.GetResourceSpans() {
		for _, scope := range one.GetScopeSpans() {
			n += len(scope.GetSpans())
		}
	}
	return n
}

// ServeHTTP takes both by OTLP/HTTP.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	text, err := io.ReadAll(body)
	request := &collogs.ExportLogsServiceRequest{}
	spans := &coltrace.ExportTraceServiceRequest{}
	switch {
	case err != nil || r.Header.Get("Content-Type") != "application/x-protobuf" || r.Method != http.MethodPost:
		err = http.ErrNotSupported
	case r.URL.Path == "/otlp/v1/logs":
		err = proto.Unmarshal(text, request)
	case r.URL.Path == "/otlp/v1/traces":
		err = proto.Unmarshal(text, spans)
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := c.begin(r.Header.Get, countLogs(request)+countSpans(spans))
	c.mu.Lock()
	c.encoding = r.Header.Get("Content-Encoding")
	c.mu.Unlock()
	if a.hang {
		<-r.Context().Done()
		return
	}
	if a.http != 0 {
		if a.retry > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(a.retry.Seconds())))
		}
		http.Error(w, "not\nnow", a.http)
		return
	}
	c.takeLogs(request)
	c.takeSpans(spans)
	w.Header().Set("Content-Type", "application/x-protobuf")
	out, _ := proto.Marshal(&collogs.ExportLogsServiceResponse{PartialSuccess: &collogs.ExportLogsPartialSuccess{RejectedLogRecords: a.rejected, ErrorMessage: "spoilt"}})
	_, _ = w.Write(out)
}

// serveGRPC begins a collector of gRPC. A port of an address may be 0.
func serveGRPC(t *testing.T, address string, secure *tls.Config) *collector {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{address: l.Addr().String()}
	var options []grpc.ServerOption
	if secure != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(secure)))
	}
	s := grpc.NewServer(options...)
	collogs.RegisterLogsServiceServer(s, c)
	coltrace.RegisterTraceServiceServer(s, spanService{collector: c})
	t.Cleanup(s.Stop)
	go func() { _ = s.Serve(l) }()
	return c
}

// serveHTTP begins a collector of HTTP below /otlp.
func serveHTTP(t *testing.T, address string, secure *tls.Config) *collector {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{address: l.Addr().String()}
	s := httptest.NewUnstartedServer(c)
	_ = s.Listener.Close()
	s.Listener = l
	if secure != nil {
		s.TLS = secure
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return c
}
