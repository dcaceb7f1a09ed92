package otlp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/sluice-net/sluice/observe/export/sink"
)

// carrier carries requests to a collector.
type carrier interface {
	logs(ctx context.Context, r *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error)
	spans(ctx context.Context, r *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error)
	close() error
}

// failure is an answer that is not success.
type failure struct {
	err      error
	refused  bool          // the same request would fail again
	tooLarge bool          // a smaller one might not
	wait     time.Duration // that the collector asks for
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// Sink sends to one collector.
type Sink struct {
	config   Config
	resource *resource.Resource
	scope    *common.InstrumentationScope
	carrier  carrier

	spans spansSent
}

// spansSent is what became of the spans of the records with which the next batch begins: their logs failed.
type spansSent struct {
	records int
	refused int // spans that the collector does not want
	err     error
}

var _ sink.Sink = (*Sink)(nil)

// New returns the sink of checked settings; it connects when there is something to send.
func New(c Config, node, version string) (*Sink, error) {
	s := &Sink{config: c, scope: &common.InstrumentationScope{Name: "github.com/sluice-net/sluice/observe", Version: version}}
	attributes := map[string]string{"service.name": "sluiced", "service.version": version, "host.name": node}
	maps.Copy(attributes, c.Resource)
	s.resource = &resource.Resource{}
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		s.resource.Attributes = append(s.resource.Attributes, text(key, attributes[key]))
	}
	var err error
	if c.Protocol == protocolHTTP {
		s.carrier, err = newHTTP(&c, "sluiced/"+version)
	} else {
		s.carrier, err = newGRPC(&c, "sluiced/"+version)
	}
	return s, err
}

// Target is the collector's address.
func (s *Sink) Target() string { return s.config.Endpoint }

// Close gives connections back.
func (s *Sink) Close() error { return s.carrier.close() }

// Send sends a batch: first the spans of its connections, then the log records of its flows. What fails is sent again, but
// the spans only until they were taken. A flow counts as refused if its log or its span is.
func (s *Sink) Send(ctx context.Context, batch []sink.Record) sink.Result {
	if s.config.spans() && s.spans.records < len(batch) {
		r, all := s.sendSpans(ctx, batch[s.spans.records:])
		if !all {
			return sink.Result{Err: r.Err, Wait: r.Wait}
		}
		s.spans.records, s.spans.refused = len(batch), s.spans.refused+r.Refused
		if r.Err != nil {
			s.spans.err = r.Err
		}
	}
	r := sink.Result{Sent: len(batch)}
	if s.config.logs() {
		r = s.sendLogs(ctx, batch)
	}
	s.spans.records = max(s.spans.records-r.Sent-r.Refused, 0)
	if n := min(s.spans.refused, r.Sent); n > 0 {
		r.Sent, r.Refused, s.spans.refused = r.Sent-n, r.Refused+n, s.spans.refused-n
		if r.Err == nil {
			r.Err = s.spans.err
		}
	}
	return r
}

// sendSpans sends the spans of a batch, and tells whether there is none left to be sent again.
func (s *Sink) sendSpans(ctx context.Context, batch []sink.Record) (r sink.Result, all bool) {
	var spans []*trace.Span
	for _, record := range batch {
		if span := spanOf(record); span != nil {
			spans = append(spans, span)
		}
	}
	if len(spans) == 0 {
		return r, true
	}
	r = divide(spans, func(spans []*trace.Span) (int64, string, error) {
		ctx, cancel := context.WithTimeout(ctx, s.config.timeout())
		defer cancel()
		answer, err := s.carrier.spans(ctx, &coltrace.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{
			Resource: s.resource, SchemaUrl: schema,
			ScopeSpans: []*trace.ScopeSpans{{Scope: s.scope, SchemaUrl: schema, Spans: spans}},
		}}})
		p := answer.GetPartialSuccess()
		return p.GetRejectedSpans(), p.GetErrorMessage(), err
	})
	return r, r.Sent+r.Refused == len(spans)
}

func (s *Sink) sendLogs(ctx context.Context, batch []sink.Record) sink.Result {
	all := make([]*logs.LogRecord, len(batch))
	now := time.Now()
	for i, record := range batch {
		all[i] = logOf(record, now)
	}
	return divide(all, func(all []*logs.LogRecord) (int64, string, error) {
		ctx, cancel := context.WithTimeout(ctx, s.config.timeout())
		defer cancel()
		answer, err := s.carrier.logs(ctx, &collogs.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{
			Resource: s.resource, SchemaUrl: schema,
			ScopeLogs: []*logs.ScopeLogs{{Scope: s.scope, SchemaUrl: schema, LogRecords: all}},
		}}})
		p := answer.GetPartialSuccess()
		return p.GetRejectedLogRecords(), p.GetErrorMessage(), err
	})
}

// divide sends items at once, or in halves if the collector finds them too many.
func divide[T any](items []T, send func([]T) (rejected int64, message string, err error)) (r sink.Result) {
	rejected, message, err := send(items)
	var f *failure
	switch {
	case err == nil && rejected <= 0:
		return sink.Result{Sent: len(items)}
	case err == nil:
		n := int(min(rejected, int64(len(items))))
		return sink.Result{Sent: len(items) - n, Refused: n, Err: fmt.Errorf("%d not taken: %s: %w", n, message, sink.ErrRefused)}
	case !errors.As(err, &f):
		return sink.Result{Err: err}
	case f.tooLarge && len(items) > 1:
		middle := len(items) / 2
		r = divide(items[:middle], send)
		if r.Sent+r.Refused < middle {
			return r
		}
		second := divide(items[middle:], send)
		second.Sent, second.Refused = second.Sent+r.Sent, second.Refused+r.Refused
		if second.Err == nil {
			second.Err = r.Err
		}
		return second
	case f.refused || f.tooLarge:
		return sink.Result{Refused: len(items), Err: fmt.Errorf("%w: %w", f.err, sink.ErrRefused)}
	}
	return sink.Result{Err: f.err, Wait: f.wait}
}
