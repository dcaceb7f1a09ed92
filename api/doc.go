// Package api is what the daemon's unix socket speaks: the types of its JSON documents, the errors with their codes,
// and the client. It imports nothing of the project, so that other programs can use it alone.
//
// Start with types.go, then client.go. The handlers of the same paths are in api/server.
package api
