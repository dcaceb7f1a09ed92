// Package observe makes flows with names of the records that the BPF programs write, keeps the newest in a ring, and lets
// everybody read them at his own pace.
//
// Observer (observer.go) reads the kernel's ring buffer (kernel.go); decode.go makes an abi.Event of a record, names.go
// flows of that, by names that it asks an interface for. Flows (flows.go) is the ring, Flow (flow.go) what is in it, and
// what that means its methods say (meaning.go, packet.go, party.go). Whoever wants flows walks them by a Query
// (query.go), also those that the ring has forgotten and an Archive has; event.go makes events of the daemon's own API of
// them, with a filter (filter.go). captures.go reads the packets of containers that are captured.
//
// Nothing here blocks the writer: a slow reader loses flows and is told how many. The package decides nothing about
// packets.
package observe
