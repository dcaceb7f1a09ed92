// Package hubble serves Hubble's gRPC API over the daemon's flows, so that the clients that people have work unmodified:
// the hubble command, hubble-relay, Hubble UI.
//
// Server (server.go) is the set of services; flows.go answers GetFlows by walking the ring of package observe, each client
// with a reader of its own; status.go, agent.go and peer.go answer the rest. Package convert makes Hubble's messages of
// flows, package filter makes predicates over flows of Hubble's filters.
//
// The package keeps no flows and buffers none for clients: who reads too slowly loses flows and is told how many, who does
// not read at all is cut. It decides nothing about packets and changes nothing.
package hubble
