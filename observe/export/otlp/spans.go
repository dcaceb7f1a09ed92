package otlp

import (
	"strings"

	trace "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/sluice-net/sluice/observe/export/sink"
)

// spanOf makes a span of the flow that ends a connection, from its first packet to now; nil for other flows.
func spanOf(r sink.Record) *trace.Span {
	opened := r.Flow.Opened()
	if r.Lost != nil || !r.Flow.IsTrace() || !r.Flow.IsClosed() || opened.IsZero() {
		return nil
	}
	id := traceID(r)
	return &trace.Span{
		TraceId: id, SpanId: spanID(id, r), Name: spanName(r), Kind: spanKind(r),
		StartTimeUnixNano: uint64(opened.UnixNano()), EndTimeUnixNano: uint64(r.Flow.Time.UnixNano()),
		Attributes: describe(r, isReply(r)),
	}
}

// spanName is the connection's protocol and who takes part, without what differs from one connection to the next.
func spanName(r sink.Record) string {
	initiator, responder := endsOf(r.Hubble, isReply(r))
	name, _, _ := transport(r.Hubble)
	return strings.TrimSpace(name + " " + initiator.kind() + " -> " + responder.kind())
}

// kind names an end for all connections of its sort.
func (e end) kind() string {
	if w := workload(e.endpoint); w != "" {
		return w
	}
	for _, label := range e.endpoint.GetLabels() {
		if name, ok := strings.CutPrefix(label, "reserved:"); ok {
			return name
		}
	}
	return "unknown"
}

// spanKind tells on which side of the connection the container of this node is.
func spanKind(r sink.Record) trace.Span_SpanKind {
	initiator := r.Flow.Source
	if isReply(r) {
		initiator = r.Flow.Destination
	}
	if initiator.Number != 0 {
		return trace.Span_SPAN_KIND_CLIENT
	}
	return trace.Span_SPAN_KIND_SERVER
}
