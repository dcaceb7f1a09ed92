// Package servicemap makes a map of flows: who opens connections to whom, how fast, and what was dropped on the way.
//
// Map (map.go) is told flows in their order; connections (connections.go) turns the totals that the kernel tells of a
// connection now and then into what came since; series (series.go) keeps the last five minutes of an edge. Time is that of
// the flows: the flows of a ring, read again, give the same map. Nothing here reads a clock, a ring or the kernel.
//
// Everything is bounded: edges, ports and denials of an edge, peers outside, connections.
package servicemap
