//go:build tools

// Package clients names the client of Hubble of one version before, so that go.sum holds it.
package clients

import _ "github.com/cilium/cilium/hubble"
