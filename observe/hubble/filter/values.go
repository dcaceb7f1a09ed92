package filter

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/hubble/convert"
)

// parsePrefix reads an address or a prefix.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is neither an address nor a CIDR", s)
	}
	return p.Masked(), nil
}

// port matches the port of an end, of protocols that have ports.
func port(of func(*flow) uint16) func(string, *converter) (predicate, error) {
	return func(s string, _ *converter) (predicate, error) {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%q is no port: use a number up to 65535", s)
		}
		want := uint16(n)
		return func(f *flow) bool { return f.HasPorts() && of(f) == want }, nil
	}
}

// protocols are the names of protocols. Those of layer 7 match no flow.
var protocols = map[string][]uint8{
	"tcp": {unix.IPPROTO_TCP}, "udp": {unix.IPPROTO_UDP}, "sctp": {unix.IPPROTO_SCTP}, "icmpv4": {unix.IPPROTO_ICMP},
	"icmpv6": {unix.IPPROTO_ICMPV6}, "icmp": {unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6}, "igmp": {unix.IPPROTO_IGMP},
	"vrrp": {convert.ProtocolVRRP}, "http": nil, "dns": nil,
}

func protocol(name string, _ *converter) (predicate, error) {
	numbers, ok := protocols[strings.ToLower(name)]
	if !ok {
		return nil, fmt.Errorf("there is no protocol %q: use tcp, udp, sctp, icmp, icmpv4, icmpv6, igmp, vrrp, http or dns", name)
	}
	return func(f *flow) bool {
		for _, n := range numbers {
			if f.Kernel.Family != 0 && f.Kernel.Proto == n {
				return true
			}
		}
		return false
	}, nil
}

func eventType(want *flowpb.EventTypeFilter, _ *converter) (predicate, error) {
	return func(f *flow) bool {
		kind, sub := convert.EventType(f)
		return kind == want.GetType() && (!want.GetMatchSubType() || sub == want.GetSubType())
	}, nil
}

// reply matches the packets of one direction. A drop, of which that is not known, counts as one of the initiator's, as
// clients expect.
func reply(want bool, _ *converter) (predicate, error) {
	return func(f *flow) bool {
		return want == (f.Reply() == observe.ReplyTrue)
	}, nil
}

// encrypted: Sluice encrypts nothing.
func encrypted(want bool, _ *converter) (predicate, error) {
	return func(f *flow) bool { return !want && f.Kernel.Family != 0 }, nil
}

// tcpFlags matches packets that have all the flags of the filter.
func tcpFlags(want *flowpb.TCPFlags, _ *converter) (predicate, error) {
	var bits uint8
	for i, set := range []bool{
		want.GetFIN(), want.GetSYN(), want.GetRST(), want.GetPSH(), want.GetACK(), want.GetURG(), want.GetECE(), want.GetCWR(),
	} {
		if set {
			bits |= 1 << i
		}
	}
	if want.GetNS() { // no packet has it: RFC 8311 took it back
		return never, nil
	}
	return func(f *flow) bool {
		e := &f.Kernel
		return e.Family != 0 && e.Proto == unix.IPPROTO_TCP && e.TCPFlags != 0 && e.TCPFlags&bits == bits
	}, nil
}

// statusCode is a whole status code of HTTP, or the start of some: 404, 4+, 50+.
var statusCode = regexp.MustCompile(`^[1-5](\d\d|\d?\+)$`)

func httpStatus(s string, _ *converter) (predicate, error) {
	if !statusCode.MatchString(s) {
		return nil, fmt.Errorf("%q is no status code: use one like 404, 4+ or 50+", s)
	}
	return never, nil
}

func absentPattern(s string, _ *converter) (predicate, error) {
	if _, err := regexp.Compile(s); err != nil {
		return nil, fmt.Errorf("%q is no regular expression: %w", s, err)
	}
	return never, nil
}
