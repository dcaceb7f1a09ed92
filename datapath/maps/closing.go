package maps

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/abi"
)

// Echo requests (RFC 792, RFC 4443).
const (
	echo4 = 8
	echo6 = 128
)

// mostClosings are told together at most.
const mostClosings = 512

// OnOver has over called with the totals of every flow that ends here, because it expired or is removed, and whose end
// programs did not tell. It must be set before flows end. Those that the kernel evicts are forgotten.
func (f *Flows) OnOver(over func(...abi.Event)) { f.over = over }

// end removes flows by their keys if they still match, and tells of them. It returns how many there were.
func (f *Flows) end(keys []abi.Tuple, match func(Flow) bool) (ended int, err error) {
	var closings []abi.Event
	tell := func() {
		if f.over != nil && len(closings) > 0 {
			f.over(closings...)
		}
		closings = closings[:0]
	}
	defer tell()
	for _, key := range keys {
		flow, ok, err := f.get(key)
		if err != nil {
			return ended, err
		}
		if !ok || !match(flow) {
			continue
		}
		if err := remove(f.of(key.Proto), &key, flowName(flow)); err != nil {
			return ended, err
		}
		ended++
		if e, ok := flow.closing(); ok {
			closings = append(closings, e)
		}
		if len(closings) == mostClosings {
			tell()
		}
	}
	return ended, nil
}

// closing is the event that a flow is over, as the container's programs that told of it first would tell it; false if none
// did, or if they told the end. It has no time.
func (f Flow) closing() (abi.Event, bool) {
	if f.State.Teller == 0 || closed(f.State.Flags) {
		return abi.Event{}, false
	}
	e := abi.Event{
		Opened: f.State.Opened, Sent: f.State.Sent, Received: f.State.Received,
		Src: abi.FromAddr(f.Initiator.Addr()), Dst: abi.FromAddr(f.Responder.Addr()), Proto: f.Proto, Family: family(f.Initiator.Addr()),
		Type: abi.EventTrace, Point: abi.PointIngress, Cause: abi.CauseClosed,
		Slot: f.State.Teller - 1, Revision: f.State.IngressRevision, Identity: f.State.IngressPeer,
	}
	e.Sport, e.Dport = abi.ToBE16(f.Initiator.Port()), abi.ToBE16(f.Responder.Port())
	switch { // both ports of an echo are its identifier, other ICMP has none
	case f.Proto == unix.IPPROTO_ICMP && e.Sport != 0:
		e.ICMPType = echo4
	case f.Proto == unix.IPPROTO_ICMPV6 && e.Sport != 0:
		e.ICMPType = echo6
	}
	if f.State.TellerOpened != 0 {
		e.Point, e.Revision, e.Identity = abi.PointEgress, f.State.EgressRevision, f.State.EgressPeer
	}
	e.Revision &^= abi.RevisionAudited | abi.RevisionLearned
	if f.State.Flags&abi.FlowDNAT != 0 {
		e.DNATAddr, e.DNATPort = f.State.DNATAddr, f.State.DNATPort
	}
	if f.State.Flags&abi.FlowSNAT != 0 {
		e.SNATAddr, e.SNATPort = f.State.SNATAddr, f.State.SNATPort
	}
	return e, true
}

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return 4
	}
	return 6
}
