//go:build tools

// Package clients names the clients of Hubble that the tests drive, so that go.sum holds them.
package clients

import (
	_ "github.com/cilium/cilium/hubble"
	_ "github.com/cilium/cilium/hubble-relay"
)
