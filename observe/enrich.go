package observe

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
)

// Names tells what the numbers of an event mean (implemented by the use-cases). It is asked for every event by one
// goroutine: it must answer from memory and not wait for anything slow.
type Names interface {
	// Slot returns the endpoint that has the slot, or had it last.
	Slot(slot uint32) (api.Party, bool)
	// Addr returns the endpoint that has the address, or the host (Entity host) if it is its own.
	Addr(addr netip.Addr) (api.Party, bool)
	// Labels returns the labels of an identity.
	Labels(identity uint32) map[string]string
	// Rule returns the document and the place of the rule (1-based) of an endpoint's table of a revision; direction is
	// egress, ingress or publish. What the network's options say has no document.
	Rule(slot, revision uint32, direction string, rule uint16) (policy, place string, ok bool)
}

// clock returns the time and what the kernel's monotonic clock shows, ns.
type clock func() (wall time.Time, monotonic uint64)

// kernelClock is the real clock.
func kernelClock() (time.Time, uint64) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // it cannot fail for this clock (clock_gettime(2))
	}
	return time.Now(), uint64(ts.Nano())
}

// enrich gives an event names.
func enrich(e abi.Event, names Names, now clock) api.Event {
	wall, monotonic := now()
	out := api.Event{
		Time:     wall.Add(-time.Duration(monotonic - e.Time)).Round(0),
		Point:    points[e.Point],
		Protocol: protocol(e.Proto),
		TCPFlags: (&Flow{Kernel: e}).TCPFlags(),
		ICMPType: e.ICMPType,
		ICMPCode: e.ICMPCode,
		Reply:    e.Reply != 0,
		Length:   e.Length,
		Revision: e.Revision,
		Ifindex:  e.Ifindex,
	}
	judge(&out, e)
	if e.Family == 0 {
		out.Protocol = ""
	}
	parties(&out, e, names)
	if out.Direction != "" && e.Rule != 0 {
		var known bool
		if out.Policy, out.Rule, known = names.Rule(e.Slot, e.Revision, out.Direction, e.Rule); !known {
			out.Rule = "rule " + strconv.Itoa(int(e.Rule)) + " of revision " + strconv.Itoa(int(e.Revision))
		}
	}
	return out
}

// judge fills type, verdict, reason and the judging direction.
func judge(out *api.Event, e abi.Event) {
	reason := abi.DropReason(e.Reason)
	switch e.Type {
	case abi.EventDrop:
		out.Type, out.Verdict, out.Reason = api.EventDrop, api.VerdictDropped, reason.String()
	case abi.EventVerdict:
		out.Type, out.Verdict = api.EventVerdict, api.VerdictAllowed
		if reason != abi.DropNone {
			out.Verdict, out.Reason = api.VerdictDenied, reason.String()
		}
	case abi.EventTrace:
		out.Type, out.Verdict = api.EventTrace, api.VerdictForwarded
	case abi.EventAudit:
		out.Type, out.Verdict, out.Reason = api.EventAudit, api.VerdictAudit, reason.String()
	case abi.EventLearn:
		out.Type, out.Verdict = api.EventLearn, api.VerdictLearned
		if reason != abi.DropNone {
			out.Reason = reason.String()
		}
	}
	if e.Type == abi.EventVerdict || e.Type == abi.EventLearn || slices.Contains(byPolicy, reason) {
		out.Direction = sides[e.Side]
	}
	if out.Direction == api.Publish || out.Direction == api.Ingress {
		out.HostPort = e.Frontend.Host()
	}
}

var sides = map[uint8]string{abi.PolicyEgress: api.Egress, abi.PolicyIngress: api.Ingress, abi.PolicyPublish: api.Publish}

// parties names both ends. The container's own end is known by its slot, whatever address the packet claims.
func parties(out *api.Event, e abi.Event, names Names) {
	src, dst := e.Src.Addr(), e.Dst.Addr()
	if e.Family == 0 {
		src, dst = netip.Addr{}, netip.Addr{}
	}
	var own api.Party
	switch e.Point {
	case abi.PointEgress, abi.PointIngress:
		own, _ = names.Slot(e.Slot)
		out.Endpoint = own
	}
	switch e.Point {
	case abi.PointEgress:
		out.Source, out.Destination = own, peer(dst, e.Identity, names)
	case abi.PointIngress:
		out.Source, out.Destination = peer(src, e.Identity, names), own
	default:
		out.Source, out.Destination = peer(src, 0, names), peer(dst, 0, names)
	}
	out.Source.Addr, out.Destination.Addr = src, dst
	if hasPorts(e.Proto) {
		out.Source.Port, out.Destination.Port = e.Sport.Host(), e.Dport.Host()
	}
}

// peer names an address, else the identity that the program gave it.
func peer(addr netip.Addr, identity uint32, names Names) api.Party {
	if addr.IsValid() {
		if p, ok := names.Addr(addr); ok {
			return p
		}
	}
	p := api.Party{Identity: identity}
	switch identity {
	case abi.IdentityUnknown:
	case abi.IdentityHost:
		p.Entity = api.EntityHost
	case abi.IdentityWorld:
		p.Entity = api.EntityWorld
	default:
		p.Labels = names.Labels(identity)
	}
	return p
}

var points = map[uint8]string{
	abi.PointEgress: api.Egress, abi.PointIngress: api.Ingress, abi.PointUplink: "uplink", abi.PointSocket: "socket",
}
