// Package capture writes captured packets: as pcapng that Wireshark and tcpdump read, or as lines for people. A file has an
// interface for each container and direction, and each packet says what became of it: a comment, and its direction.
package capture
