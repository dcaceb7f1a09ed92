package traffic

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// protocols are the IP protocols with names.
var protocols = map[uint8]string{
	unix.IPPROTO_ICMP: "icmp", unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_ICMPV6: "icmpv6", unix.IPPROTO_SCTP: "sctp",
}

// Protocol returns the name of a flow's protocol, or its number.
func Protocol(f *observe.Flow) string {
	if name, ok := protocols[f.Kernel.Proto]; ok {
		return name
	}
	return strconv.Itoa(int(f.Kernel.Proto))
}

// HasPorts reports whether the protocol of a flow has ports.
func HasPorts(f *observe.Flow) bool {
	switch f.Kernel.Proto {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP:
		return true
	}
	return false
}

// Service returns the port of who accepts a flow's connection, 0 if it has none.
func Service(f *observe.Flow) uint16 {
	switch {
	case !HasPorts(f):
		return 0
	case f.Kernel.Reply != 0:
		return f.Kernel.Sport.Host()
	}
	return f.Kernel.Dport.Host()
}

// Reason returns why a flow's packet was dropped, empty if it was not.
func Reason(f *observe.Flow) string {
	if f.Kernel.Reason == 0 {
		return ""
	}
	return abi.DropReason(f.Kernel.Reason).String()
}

var sides = map[uint8]string{abi.PolicyEgress: api.Egress, abi.PolicyIngress: api.Ingress, abi.PolicyPublish: api.Publish}

// Direction returns which policy judged a flow, empty if none did.
func Direction(f *observe.Flow) string {
	if f.Rule == nil {
		return ""
	}
	return sides[f.Kernel.Side]
}
