// Package abi is Go's copy of what the BPF programs share with user space: the keys and values of maps, the record of
// the ring buffer, constants and drop reasons. The files *_gen.go are generated from bpf/abi. It imports nothing of the
// project and touches no kernel. Start reading with types_gen.go.
package abi
