// Package integration runs the project as its users do: real Docker engines, compose and containers, driven by scripts.
//
// A scenario is a file in testdata (docs/testing.md explains its commands). Each runs on every engine of package hosts,
// on a host of its own while it lasts, and must leave the host as it found it. Start reading at scenario_test.go.
package integration
