// Package sink is what the receivers of exported flows have in common: the interface that the exporter drives, the form in
// which it hands flows over, and the settings that several of them share (sizes, durations, TLS).
//
// It owns no goroutine and no state. Start with Sink.
package sink
