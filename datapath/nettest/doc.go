// Package nettest tests the BPF programs with real sockets: containers, the host and the outside are network
// namespaces, joined as on a real host. It has nothing but tests; packettest tests the same programs packet by packet.
//
// Start reading at newWorld in world_test.go.
package nettest
