// Command receiver takes OTLP logs and spans by the OpenTelemetry Collector's own receiver, over gRPC and HTTP, and
// writes each request as a line of OTLP's JSON: the scenarios' proof that what Sluice sends is what collectors take.
//
//	receiver -grpc 127.0.0.1:4317 -http 127.0.0.1:4318 [-cert FILE -key FILE [-client-ca FILE]] OUT
package main
