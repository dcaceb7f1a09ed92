package convert

import (
	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// The types of events that flows come from, as Hubble numbers them (CiliumEventType.type).
const (
	TypeDrop    = 1
	TypeTrace   = 4
	TypeVerdict = 5
)

// Subtypes of TypeTrace: where the packet was, or goes.
const (
	toEndpoint   = 0
	toHost       = 2
	toStack      = 3
	fromEndpoint = 5
	fromNetwork  = 10
	toNetwork    = 11
)

// How a policy matched, as Hubble numbers it (Flow.policy_match_type).
const (
	matchNone   = 0 // no rule: what holds for the rest denied it
	matchL3     = 1 // a rule, and the protocol has no ports
	matchL3L4   = 2 // a rule
	matchAll    = 4 // no rule: what holds for the rest allowed it
	noMatchType = 0
)

// Verdict returns what became of the packet.
func Verdict(f *observe.Flow) flowpb.Verdict {
	switch f.Verdict() {
	case api.VerdictDropped, api.VerdictDenied:
		return flowpb.Verdict_DROPPED
	case api.VerdictAllowed, api.VerdictForwarded:
		return flowpb.Verdict_FORWARDED
	case api.VerdictAudit:
		return flowpb.Verdict_AUDIT
	case api.VerdictLearned: // let through; with a reason, enforcing would drop it
		if f.Reason() == abi.DropNone {
			return flowpb.Verdict_FORWARDED
		}
		return flowpb.Verdict_AUDIT
	}
	return flowpb.Verdict_VERDICT_UNKNOWN
}

// EventType returns the type of the event as Hubble numbers it, and its subtype: of a drop the reason, of a trace the
// point.
func EventType(f *observe.Flow) (kind, sub int32) {
	switch {
	case f.IsDrop():
		return TypeDrop, int32(DropReason(f))
	case f.IsTrace():
		return TypeTrace, traceSubtype(f)
	case f.IsVerdict():
		return TypeVerdict, 0
	}
	return 0, 0
}

// traceSubtype says where the packet goes: the programs tell of it when they are done with it. Packets of an uplink are
// on their way in, and whether the first one to another container arrives is for that one's programs to say.
func traceSubtype(f *observe.Flow) int32 {
	switch f.Kernel.Point {
	case abi.PointIngress:
		return toEndpoint
	case abi.PointUplink:
		return fromNetwork
	}
	switch to := f.Destination; {
	case to.IsContainer() && f.Kernel.Cause&abi.CauseNew != 0:
		return fromEndpoint
	case to.IsContainer():
		return toEndpoint
	case to.IsHost():
		return toHost
	case to.IsWorld():
		return toNetwork
	}
	return toStack
}

// observationPoint is the subtype of a trace as Hubble's newer field has it, whose number for endpoints differs.
func observationPoint(f *observe.Flow) flowpb.TraceObservationPoint {
	if !f.IsTrace() {
		return flowpb.TraceObservationPoint_UNKNOWN_POINT
	}
	if sub := traceSubtype(f); sub != toEndpoint {
		return flowpb.TraceObservationPoint(sub)
	}
	return flowpb.TraceObservationPoint_TO_ENDPOINT
}

func traceReason(f *observe.Flow) flowpb.TraceReason {
	switch {
	case !f.IsTrace():
		return flowpb.TraceReason_TRACE_REASON_UNKNOWN
	case f.Reply() == observe.ReplyTrue:
		return flowpb.TraceReason_REPLY
	case f.Kernel.Cause&abi.CauseNew != 0:
		return flowpb.TraceReason_NEW
	case f.Kernel.Opened != 0:
		return flowpb.TraceReason_ESTABLISHED
	}
	return flowpb.TraceReason_TRACE_REASON_UNKNOWN
}

// TrafficDirection returns the direction of the connection as the container sees it.
func TrafficDirection(f *observe.Flow) flowpb.TrafficDirection {
	switch f.Direction() {
	case observe.Ingress:
		return flowpb.TrafficDirection_INGRESS
	case observe.Egress:
		return flowpb.TrafficDirection_EGRESS
	}
	return flowpb.TrafficDirection_TRAFFIC_DIRECTION_UNKNOWN
}

// policyMatch says how far a policy had to look, as far as the record tells.
func policyMatch(f *observe.Flow) uint32 {
	if !f.IsVerdict() {
		return noMatchType
	}
	denied := f.Reason() != abi.DropNone
	switch named := byRule(f); {
	case !named && denied:
		return matchNone
	case !named:
		return matchAll
	case f.HasPorts() || isICMP(f.Kernel.Proto):
		return matchL3L4
	}
	return matchL3
}

// byRule reports whether a rule that is about the peer decided.
func byRule(f *observe.Flow) bool { return f.Rule != nil && f.Rule.Policy != "" && !f.Rule.Default }
