// Package otlp sends flows to OpenTelemetry collectors: each flow as a log record, each connection that is over as a span,
// over gRPC or HTTP.
//
// logs.go and spans.go make OTLP's messages of flows, trace.go the identifiers by which the two sides of a connection meet,
// grpc.go and http.go carry them. It uses OTLP's generated messages rather than OpenTelemetry's SDK: a batch must say how
// many of it were taken, refused, or are to be sent again, which the SDK's exporters only print. Start with Sink.
package otlp
