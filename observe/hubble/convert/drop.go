package convert

import (
	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// reasons says Sluice's drop reasons in Hubble's numbers: clients have the texts themselves. Where Hubble has no such
// reason it is the nearest; the extension has the exact one. A denial is more exact than the table: see DropReason.
var reasons = map[abi.DropReason]flowpb.DropReason{
	abi.DropClosed:          flowpb.DropReason_DROP_EP_NOT_READY,
	abi.DropInvalid:         flowpb.DropReason_INVALID_PACKET_DROPPED,
	abi.DropNotIP:           flowpb.DropReason_UNSUPPORTED_L3_PROTOCOL,
	abi.DropSpoofedMAC:      flowpb.DropReason_INVALID_SOURCE_MAC, //nolint:staticcheck // Cilium no longer drops for it, Sluice does
	abi.DropSpoofedIP:       flowpb.DropReason_INVALID_SOURCE_IP,
	abi.DropPolicyDenied:    flowpb.DropReason_POLICY_DENIED,
	abi.DropOtherNetwork:    flowpb.DropReason_POLICY_DENIED,
	abi.DropNoEndpoint:      flowpb.DropReason_UNKNOWN_L3_TARGET_ADDRESS,
	abi.DropInternal:        flowpb.DropReason_NO_EGRESS_GATEWAY,
	abi.DropMulticast:       flowpb.DropReason_STALE_OR_UNROUTABLE_IP,
	abi.DropFragment:        flowpb.DropReason_FIRST_LOGICAL_DATAGRAM_FRAGMENT_NOT_FOUND,
	abi.DropNoRoute:         flowpb.DropReason_FIB_LOOKUP_FAILED,
	abi.DropTooBig:          flowpb.DropReason_FIB_LOOKUP_FAILED,
	abi.DropTtl:             flowpb.DropReason_TTL_EXCEEDED,
	abi.DropNoNATPort:       flowpb.DropReason_NO_MAPPING_FOR_NAT_MASQUERADE,
	abi.DropNoUplinkAddress: flowpb.DropReason_DROP_NO_EGRESS_IP,
	abi.DropFlowTable:       flowpb.DropReason_CT_MAP_INSERTION_FAILED,
	abi.DropVlan:            flowpb.DropReason_VLAN_FILTERED,
	abi.DropFamilyOff:       flowpb.DropReason_UNSUPPORTED_L3_PROTOCOL,
	abi.DropICMPUnrelated:   flowpb.DropReason_UNKNOWN_CONNECTION_TRACKING_STATE,
	abi.DropSpoofedUplink:   flowpb.DropReason_INVALID_SOURCE_IP,
	abi.DropNoSlot:          flowpb.DropReason_DROP_EP_NOT_READY,
	abi.DropExtension:       flowpb.DropReason_INVALID_IPV6_EXTENSION_HEADER,
	abi.DropRewrite:         flowpb.DropReason_ERROR_WRITING_TO_PACKET,
	abi.DropNotTracked:      flowpb.DropReason_UNKNOWN_CONNECTION_TRACKING_STATE,
	abi.DropNotPublished:    flowpb.DropReason_SERVICE_BACKEND_NOT_FOUND,
	abi.DropNoShared:        flowpb.DropReason_MISSED_TAIL_CALL,
	abi.DropPublishDenied:   flowpb.DropReason_DENIED_BY_LB_SRC_RANGE_CHECK,
	abi.DropRate:            flowpb.DropReason_DROP_RATE_LIMITED,
}

// DropReason returns why a packet was dropped, or denied, in Hubble's numbers; 0 if it was not. What a rule denies is
// POLICY_DENY, what no rule allows is POLICY_DENIED. A packet that only would have been dropped has none.
func DropReason(f *observe.Flow) flowpb.DropReason {
	if Verdict(f) != flowpb.Verdict_DROPPED {
		return flowpb.DropReason_DROP_REASON_UNKNOWN
	}
	if f.Reason() == abi.DropPolicyDenied && byRule(f) {
		return flowpb.DropReason_POLICY_DENY
	}
	return reasons[f.Reason()]
}
