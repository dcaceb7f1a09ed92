// Command gen writes what Go and the documentation share with the BPF programs: the structs and constants of
// internal/abi, from the BTF of bpf/abi, and the tables docs/reference/drops.md and maps.md, from the headers.
// Run it as `make generate`; a test fails while its output is stale. Start reading with main.go.
package main
