// Package traffic makes rates of counters: what containers, services and pairs of peers send and receive, the connections
// that they open, and what is dropped. The counters of containers are exact, whatever is told of them; who speaks to whom
// follows from the tables of connections, and drops from the ring of flows. Nothing runs while nobody watches.
//
// Start reading at Watch.
package traffic
