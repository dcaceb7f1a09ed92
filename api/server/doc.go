// Package server serves the paths of package api as an http.Handler: strict decoding, limits, error codes, streams.
// What it serves comes from the interfaces of backend.go, which the use-cases implement. It resolves the names that
// users type (resolve.go); it neither keeps state nor listens: the caller gives the handler a listener.
package server
