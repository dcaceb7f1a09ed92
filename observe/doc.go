// Package observe turns the records that the BPF programs write into their ring buffer into events with names, keeps
// the last of them, and gives them to whoever listens.
//
// Observer (observer.go) reads; decode.go makes an abi.Event of a record, enrich.go an api.Event of that, by names that
// it asks an interface for; hub.go fans out to subscribers, each with a filter (filter.go), and remembers the past
// (history.go); kernel.go is the ring buffer and the maps that belong to it. Programs report allowed verdicts and
// traces only while somebody listens to them: the hub tells the kernel.
//
// Nothing here blocks the reader: a slow subscriber loses events and is told how many. The package decides nothing
// about packets.
package observe
