package observe

import (
	"slices"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
)

// Direction is that of a connection, as the container sees it whose program speaks: Egress, it opened the connection;
// Ingress, its peer did. Replies don't turn it round.
type Direction uint8

// Directions of connections.
const (
	DirectionUnknown Direction = iota
	Ingress
	Egress
)

// String is "unknown", "ingress" or "egress".
func (d Direction) String() string { return [...]string{"unknown", "ingress", "egress"}[d] }

// Reply says whether a packet answers the one that opened its connection.
type Reply uint8

// Replies. Unknown are those of packets that belong to no connection that the programs know.
const (
	ReplyUnknown Reply = iota
	ReplyFalse
	ReplyTrue
)

// IsLost reports whether this tells of flows that were lost: then there is no packet, and Lost is set.
func (f *Flow) IsLost() bool { return f.Kernel.Type == 0 }

// IsDrop reports whether the packet was dropped.
func (f *Flow) IsDrop() bool { return f.Kernel.Type == abi.EventDrop }

// IsTrace reports whether the packet passed, and the flow tells of it and of its connection's totals.
func (f *Flow) IsTrace() bool { return f.Kernel.Type == abi.EventTrace }

// IsVerdict reports whether the flow tells what a policy said, enforced or not, rather than what became of the packet.
func (f *Flow) IsVerdict() bool {
	switch f.Kernel.Type {
	case abi.EventVerdict, abi.EventAudit, abi.EventLearn:
		return true
	}
	return false
}

// Verdict is one of api.VerdictDropped, VerdictAllowed, VerdictDenied, VerdictForwarded, VerdictAudit and
// VerdictLearned; empty where flows were lost.
func (f *Flow) Verdict() string {
	switch f.Kernel.Type {
	case abi.EventDrop:
		return api.VerdictDropped
	case abi.EventVerdict:
		if f.Kernel.Reason != uint16(abi.DropNone) {
			return api.VerdictDenied
		}
		return api.VerdictAllowed
	case abi.EventTrace:
		return api.VerdictForwarded
	case abi.EventAudit:
		return api.VerdictAudit
	case abi.EventLearn:
		return api.VerdictLearned
	}
	return ""
}

// EventType is the flow's type as events of the API call it: api.EventDrop and so on.
func (f *Flow) EventType() string { return eventTypes[f.Kernel.Type%abi.EventTypes] }

var eventTypes = [abi.EventTypes]string{0: api.EventLost, abi.EventDrop: api.EventDrop, abi.EventVerdict: api.EventVerdict,
	abi.EventTrace: api.EventTrace, abi.EventAudit: api.EventAudit, abi.EventLearn: api.EventLearn}

// Reason is why the packet was dropped or denied, or would have been by a policy that is not enforced; DropNone
// otherwise.
func (f *Flow) Reason() abi.DropReason { return abi.DropReason(f.Kernel.Reason) }

// byPolicy are the drop reasons that a policy gave.
var byPolicy = []abi.DropReason{abi.DropPolicyDenied, abi.DropOtherNetwork, abi.DropPublishDenied}

// ByPolicy reports whether a policy was asked, and Side says which.
func (f *Flow) ByPolicy() bool {
	return f.Kernel.Type == abi.EventVerdict || f.Kernel.Type == abi.EventLearn || slices.Contains(byPolicy, f.Reason())
}

// Side is the policy that was asked: api.Egress, api.Ingress or api.Publish; empty if none was.
func (f *Flow) Side() string {
	if !f.ByPolicy() {
		return ""
	}
	return sideName(f.Kernel.Side)
}

func sideName(side uint8) string {
	switch side {
	case abi.PolicyEgress:
		return api.Egress
	case abi.PolicyIngress:
		return api.Ingress
	case abi.PolicyPublish:
		return api.Publish
	}
	return ""
}

// Reply says whether the packet answers. Of a dropped packet it is known only if it belongs to a connection.
func (f *Flow) Reply() Reply {
	switch {
	case f.IsLost():
		return ReplyUnknown
	case f.Kernel.Reply != 0:
		return ReplyTrue
	case f.IsDrop() && f.Kernel.Opened == 0:
		return ReplyUnknown
	}
	return ReplyFalse
}

// Direction is that of the connection; see the type.
func (f *Flow) Direction() Direction {
	if f.ByPolicy() {
		switch f.Kernel.Side {
		case abi.PolicyEgress:
			return Egress
		case abi.PolicyIngress, abi.PolicyPublish:
			return Ingress
		}
	}
	sends := false
	switch f.Kernel.Point {
	case abi.PointEgress:
		sends = true
	case abi.PointSocket: // the host's own sockets: the connection comes to a container
	case abi.PointIngress, abi.PointUplink:
	default:
		return DirectionUnknown
	}
	if sends != (f.Kernel.Reply != 0) {
		return Egress
	}
	return Ingress
}
