// Package export sends flows out of this machine: into files, to OpenTelemetry collectors and to syslog, as the files of a
// directory say, which is followed while the daemon runs.
//
// Every export reads the ring of flows at its own pace (export.go): the ring is its queue. A receiver that is slow or dead
// makes it fall behind, until the oldest flows are overwritten, which it counts; nothing else notices. Exports is the set
// of them (exports.go), config.go and decode.go are what the files may say. Receivers are packages of their own, below this
// one, behind the interface of package sink.
//
// The package decides nothing about flows: filters and the form of flows are those of Hubble's API.
package export
