// Package hostport holds ports of the host for service.Registry: it binds a socket to each and never listens or reads.
// Packets to the port do not reach the socket, the BPF programs take them before.
package hostport
