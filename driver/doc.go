// Package driver speaks Docker's remote network driver protocol.
//
// It owns the HTTP handler, the decoding and validation of every request and option, the shape of every answer, and the
// plugin's socket. It only translates: what a request means is decided behind the interfaces of backend.go, and the
// addresses are package ipam's, whose calls are served on the same socket. It keeps no state.
//
// Start with backend.go for what a request becomes, with server.go for how it gets there, and with options.go for what
// docker network create -o understands.
package driver
