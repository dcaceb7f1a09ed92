// Package syslog sends flows to collectors of logs: messages of RFC 5424 over UDP, TCP, TLS or a unix socket, whose text is
// ArcSight's Common Event Format (CEF) or Hubble's JSON.
//
// message.go is RFC 5424, cef.go the format, conn.go the connection and its framing (RFC 5425, 5426, 6587). Start with Sink.
package syslog
