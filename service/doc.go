// Package service is the pure model of what clients reach under another address than the one that answers: frontends
// with backends, today the published ports of containers.
//
// It owns which host port belongs to which container (Registry), including ranges, ephemeral ports, wildcard and
// specific addresses, and the two families. It never touches the kernel: sockets that hold a port are asked for through
// Reserver, and what is published goes into the services map by others. Start with Mapping and Registry.
package service
