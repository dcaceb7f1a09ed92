// Package ui serves the daemon's page: the map of who talks to whom, the flows, policies and what is exposed.
//
// Server (server.go) is an http.Handler. What happens is streamed as server-sent events: the map (mapstream.go), which
// package servicemap makes of flows while somebody looks (tracker.go), and flows (flows.go), which package words filters.
// What is known of containers and policies is asked of the API's own handlers (forward.go). The page itself is built of
// ui/ into dist and embedded (assets.go).
//
// The page reads; it changes nothing. Streams are bounded in number and rate, and who does not read is cut off: nobody
// slows down whoever writes flows. Who may see the page is not decided here, but by package webguard and by the socket.
package ui
