// Package pcapfilter reads filters in the language of tcpdump (pcap-filter(7)) and applies them to Ethernet frames. It knows
// the primitives about protocols, hosts, networks, ports and lengths, with src and dst, and, or, not and parentheses; what it
// does not know, as offsets into packets, it refuses. Names of hosts may be anything that the caller can resolve.
//
// Start reading at Parse.
package pcapfilter
