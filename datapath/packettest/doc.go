// Package packettest tests the BPF programs packet by packet: description, packet in, verdict, packet out, map
// changes, by BPF_PROG_TEST_RUN and, where that cannot show it, with real veth pairs in namespaces. It holds tests
// only; start reading with fixture_test.go.
package packettest
