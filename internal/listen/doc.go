// Package listen opens the sockets on which the daemon serves, and says who may use them.
//
// Open (open.go) takes an address and refuses what would let strangers in: a unix socket has a group and a mode (unix.go);
// TCP has TLS, whose files may be replaced while the daemon runs (tls.go), or stays on a loopback address. Callers over TCP
// show a certificate or a bearer token (token.go), which may be scoped to namespaces and networks; Listener.Authorize says
// what they may see, Handler asks it for HTTP. The number of connections is bounded.
//
// The package knows nothing of what is served.
package listen
