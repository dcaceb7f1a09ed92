package observe

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/abi"
)

// Src returns the source address of the packet, invalid if it has none.
func (f *Flow) Src() netip.Addr { return f.addr(f.Kernel.Src) }

// Dst returns the destination address of the packet, invalid if it has none.
func (f *Flow) Dst() netip.Addr { return f.addr(f.Kernel.Dst) }

func (f *Flow) addr(a abi.IP) netip.Addr {
	if f.Kernel.Family == 0 {
		return netip.Addr{}
	}
	return a.Addr()
}

// SourcePort is 0 where the protocol has no ports.
func (f *Flow) SourcePort() uint16 { return f.port(f.Kernel.Sport) }

// DestinationPort is 0 where the protocol has no ports.
func (f *Flow) DestinationPort() uint16 { return f.port(f.Kernel.Dport) }

func (f *Flow) port(p abi.BE16) uint16 {
	if !f.HasPorts() {
		return 0
	}
	return p.Host()
}

// HasPorts reports whether the packet's protocol has ports: TCP, UDP and SCTP.
func (f *Flow) HasPorts() bool { return f.Kernel.Family != 0 && hasPorts(f.Kernel.Proto) }

// Protocol is the transport: tcp, udp, icmp, icmpv6, sctp or a number; empty for what is not IP. Kernel.Proto is the
// number.
func (f *Flow) Protocol() string {
	if f.Kernel.Family == 0 {
		return ""
	}
	return protocol(f.Kernel.Proto)
}

// TCPFlags lists the flags of a TCP packet with commas, for example SYN,ACK. Kernel.TCPFlags are their bits (RFC 9293,
// 3.1), which mean nothing unless this is TCP.
func (f *Flow) TCPFlags() string {
	if f.Kernel.Proto != unix.IPPROTO_TCP || f.Kernel.Family == 0 {
		return ""
	}
	return tcpFlags[f.Kernel.TCPFlags]
}

// DNAT is the flow's destination before it was translated, for example the host's address and a published port;
// invalid if it is not translated.
func (f *Flow) DNAT() netip.AddrPort { return nat(f.Kernel.DNATAddr, f.Kernel.DNATPort) }

// SNAT is the flow's source after it was translated: the host's address and the port of a masqueraded connection;
// invalid if it is not translated.
func (f *Flow) SNAT() netip.AddrPort { return nat(f.Kernel.SNATAddr, f.Kernel.SNATPort) }

func nat(addr abi.IP, port abi.BE16) netip.AddrPort {
	if addr == (abi.IP{}) && port == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr.Addr(), port.Host())
}

// Opened is when the flow's first packet came; zero if the packet is in no flow.
func (f *Flow) Opened() time.Time {
	if f.Kernel.Opened == 0 {
		return time.Time{}
	}
	return f.Time.Add(-f.Age())
}

// Age is how long the flow is open at the time of the packet; 0 if the packet is in no flow.
func (f *Flow) Age() time.Duration {
	if f.Kernel.Opened == 0 || f.Kernel.Opened > f.Kernel.Time {
		return 0
	}
	return time.Duration(f.Kernel.Time - f.Kernel.Opened)
}

// Sent is what the flow's initiator has sent in all, up to this packet.
func (f *Flow) Sent() abi.Counter { return f.Kernel.Sent }

// Received is what the flow's initiator has been sent in all, up to this packet.
func (f *Flow) Received() abi.Counter { return f.Kernel.Received }

// IsClosed reports whether the flow is over: its totals are final.
func (f *Flow) IsClosed() bool { return f.Kernel.Cause&abi.CauseClosed != 0 }

// protocols are the IP protocols with names (IANA's list of protocol numbers).
var protocols = map[uint8]string{
	unix.IPPROTO_ICMP: "icmp", unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_ICMPV6: "icmpv6", unix.IPPROTO_SCTP: "sctp",
}

func protocol(n uint8) string {
	if name, ok := protocols[n]; ok {
		return name
	}
	return strconv.Itoa(int(n))
}

func hasPorts(n uint8) bool {
	return n == unix.IPPROTO_TCP || n == unix.IPPROTO_UDP || n == unix.IPPROTO_SCTP
}

// flagNames are the TCP flags from bit 0 (RFC 9293, 3.1).
var flagNames = []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"}

// tcpFlags are the names of every set of flags.
var tcpFlags = func() (all [256]string) {
	for bits := range all {
		var set []string
		for i, name := range flagNames {
			if bits&(1<<i) != 0 {
				set = append(set, name)
			}
		}
		all[bits] = strings.Join(set, ",")
	}
	return all
}()
