//go:build deps

// Package deps keeps in go.mod what is about to be used.
package deps

import (
	_ "github.com/cilium/cilium/api/v1/flow"
	_ "github.com/cilium/cilium/api/v1/observer"
	_ "github.com/cilium/cilium/api/v1/peer"
	_ "github.com/cilium/cilium/api/v1/relay"
	_ "github.com/prometheus/client_golang/prometheus"
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "golang.org/x/net/bpf"
	_ "google.golang.org/grpc"
	_ "google.golang.org/grpc/health"
	_ "google.golang.org/grpc/reflection"
)
