// Package obj holds the compiled BPF objects, as `make bpf` leaves them beside this file. It does not parse or load
// them: that is datapath's.
package obj
