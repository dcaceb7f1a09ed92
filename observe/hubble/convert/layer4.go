package convert

import (
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/observe"
)

// ProtocolVRRP is the IP protocol of VRRP (RFC 9568).
const ProtocolVRRP = 112

func isICMP(proto uint8) bool { return proto == unix.IPPROTO_ICMP || proto == unix.IPPROTO_ICMPV6 }

// layer4 is what follows the IP header, nil of protocols that Hubble does not know.
func layer4(f *observe.Flow) *flowpb.Layer4 {
	e := &f.Kernel
	if e.Family == 0 {
		return nil
	}
	source, destination := uint32(f.SourcePort()), uint32(f.DestinationPort())
	switch e.Proto {
	case unix.IPPROTO_TCP:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{TCP: &flowpb.TCP{
			SourcePort: source, DestinationPort: destination, Flags: tcpFlags(e.TCPFlags),
		}}}
	case unix.IPPROTO_UDP:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_UDP{UDP: &flowpb.UDP{SourcePort: source, DestinationPort: destination}}}
	case unix.IPPROTO_SCTP:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_SCTP{SCTP: &flowpb.SCTP{SourcePort: source, DestinationPort: destination}}}
	case unix.IPPROTO_ICMP:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_ICMPv4{ICMPv4: &flowpb.ICMPv4{Type: uint32(e.ICMPType), Code: uint32(e.ICMPCode)}}}
	case unix.IPPROTO_ICMPV6:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_ICMPv6{ICMPv6: &flowpb.ICMPv6{Type: uint32(e.ICMPType), Code: uint32(e.ICMPCode)}}}
	case ProtocolVRRP:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_VRRP{VRRP: &flowpb.VRRP{}}}
	case unix.IPPROTO_IGMP:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_IGMP{IGMP: &flowpb.IGMP{}}}
	}
	return nil
}

// tcpFlags are the flags of a TCP header (RFC 9293, 3.1), nil if none is set.
func tcpFlags(bits uint8) *flowpb.TCPFlags {
	if bits == 0 {
		return nil
	}
	on := func(i int) bool { return bits&(1<<i) != 0 }
	return &flowpb.TCPFlags{FIN: on(0), SYN: on(1), RST: on(2), PSH: on(3), ACK: on(4), URG: on(5), ECE: on(6), CWR: on(7)}
}

// flagNames are in the order in which Hubble's clients are used to read them.
var flagNames = []struct {
	bit  int
	name string
}{{1, "SYN"}, {4, "ACK"}, {2, "RST"}, {0, "FIN"}, {3, "PSH"}, {5, "URG"}, {6, "ECE"}, {7, "CWR"}}

// summary is the line that clients print behind the verdict.
func summary(f *observe.Flow) string {
	e := &f.Kernel
	if e.Family == 0 {
		return ""
	}
	switch e.Proto {
	case unix.IPPROTO_TCP:
		var set []string
		for _, flag := range flagNames {
			if e.TCPFlags&(1<<flag.bit) != 0 {
				set = append(set, flag.name)
			}
		}
		return "TCP Flags: " + strings.Join(set, ", ")
	case unix.IPPROTO_UDP:
		return "UDP"
	case unix.IPPROTO_SCTP:
		return "SCTP"
	case unix.IPPROTO_ICMP:
		return "ICMPv4 " + icmpName(icmp4Names, e.ICMPType, e.ICMPCode)
	case unix.IPPROTO_ICMPV6:
		return "ICMPv6 " + icmpName(icmp6Names, e.ICMPType, e.ICMPCode)
	case ProtocolVRRP:
		return "VRRP"
	case unix.IPPROTO_IGMP:
		return "IGMP"
	}
	return "IP protocol " + strconv.Itoa(int(e.Proto))
}

// The messages of ICMP that have names here (IANA's registries of ICMP and ICMPv6 types).
var (
	icmp4Names = map[uint8]string{
		0: "EchoReply", 3: "DestinationUnreachable", 4: "SourceQuench", 5: "Redirect", 8: "EchoRequest", 11: "TimeExceeded",
		12: "ParameterProblem", 13: "TimestampRequest", 14: "TimestampReply",
	}
	icmp6Names = map[uint8]string{
		1: "DestinationUnreachable", 2: "PacketTooBig", 3: "TimeExceeded", 4: "ParameterProblem", 128: "EchoRequest", 129: "EchoReply",
		133: "RouterSolicitation", 134: "RouterAdvertisement", 135: "NeighborSolicitation", 136: "NeighborAdvertisement", 137: "Redirect",
	}
)

// icmpName names a message, with the code if it is not 0.
func icmpName(names map[uint8]string, kind, code uint8) string {
	name, ok := names[kind]
	if !ok {
		name = "Type " + strconv.Itoa(int(kind))
	}
	if code != 0 {
		name += " (code " + strconv.Itoa(int(code)) + ")"
	}
	return name
}
