package filter

import (
	"net/netip"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/hubble/convert"
)

type (
	filter    = flowpb.FlowFilter
	flow      = observe.Flow
	converter = convert.Converter
)

// end is one of the two ends of a flow, for fields that exist for each.
type end func(*flow) *observe.Party

func source(f *flow) *observe.Party      { return f.Source }
func destination(f *flow) *observe.Party { return f.Destination }

// fields are the fields of a filter, the cheap ones first. TestEveryFieldIsCompiled keeps the list complete.
var fields = []compiler{
	equals("verdict", (*filter).GetVerdict, func(f *flow, _ *converter) flowpb.Verdict { return convert.Verdict(f) }),
	field("event_type", (*filter).GetEventType, eventType),
	equals("ip_version", (*filter).GetIpVersion, func(f *flow, _ *converter) flowpb.IPVersion { return convert.IPVersion(f) }),
	field("protocol", (*filter).GetProtocol, protocol),
	equals("drop_reason_desc", (*filter).GetDropReasonDesc, func(f *flow, _ *converter) flowpb.DropReason { return convert.DropReason(f) }),
	equals("traffic_direction", (*filter).GetTrafficDirection,
		func(f *flow, _ *converter) flowpb.TrafficDirection { return convert.TrafficDirection(f) }),
	field("reply", (*filter).GetReply, reply),
	field("tcp_flags", (*filter).GetTcpFlags, tcpFlags),
	field("encrypted", (*filter).GetEncrypted, encrypted),

	field("source_identity", (*filter).GetSourceIdentity, ofIdentity(source)),
	field("destination_identity", (*filter).GetDestinationIdentity, ofIdentity(destination)),
	field("source_port", (*filter).GetSourcePort, port((*flow).SourcePort)),
	field("destination_port", (*filter).GetDestinationPort, port((*flow).DestinationPort)),
	field("source_ip", (*filter).GetSourceIp, address((*flow).Src)),
	field("source_ip_xlated", (*filter).GetSourceIpXlated, address(convert.SourceTranslated)),
	field("destination_ip", (*filter).GetDestinationIp, address((*flow).Dst)),

	field("source_pod", (*filter).GetSourcePod, pod(source)),
	field("destination_pod", (*filter).GetDestinationPod, pod(destination)),
	field("source_service", (*filter).GetSourceService, service(convert.SourceService)),
	field("destination_service", (*filter).GetDestinationService, service(convert.DestinationService)),
	field("source_workload", (*filter).GetSourceWorkload, workload(source)),
	field("destination_workload", (*filter).GetDestinationWorkload, workload(destination)),
	field("source_cluster_name", (*filter).GetSourceClusterName, cluster(source)),
	field("destination_cluster_name", (*filter).GetDestinationClusterName, cluster(destination)),
	field("source_fqdn", (*filter).GetSourceFqdn, names(func(f *flow) []string { return f.SourceNames })),
	field("destination_fqdn", (*filter).GetDestinationFqdn, names(func(f *flow) []string { return f.DestinationNames })),
	field("source_label", (*filter).GetSourceLabel, labels(source)),
	field("destination_label", (*filter).GetDestinationLabel, labels(destination)),

	field("node_name", (*filter).GetNodeName, nodeName),
	field("node_labels", (*filter).GetNodeLabels, nodeLabels),
	field("interface", (*filter).GetInterface, networkInterface),
	equals("uuid", (*filter).GetUuid, func(f *flow, c *converter) string { return c.UUID(f) }),

	// No flow has any of these: they are read, so that what is wrong is refused, and match nothing.
	field("http_status_code", (*filter).GetHttpStatusCode, httpStatus),
	field("http_method", (*filter).GetHttpMethod, absent[string]),
	field("http_path", (*filter).GetHttpPath, absentPattern),
	field("http_url", (*filter).GetHttpUrl, absentPattern),
	field("http_header", (*filter).GetHttpHeader, absent[*flowpb.HTTPHeader]),
	field("dns_query", (*filter).GetDnsQuery, absentPattern),
	field("trace_id", (*filter).GetTraceId, absent[string]),
	field("ip_trace_id", (*filter).GetIpTraceId, absent[uint64]),

	field("experimental", func(f *filter) []string { return f.GetExperimental().GetCelExpression() }, expression),
}

func ofIdentity(e end) func(uint32, *converter) (predicate, error) {
	return func(want uint32, _ *converter) (predicate, error) {
		return func(f *flow) bool { return e(f).Identity == want }, nil
	}
}

func cluster(e end) func(string, *converter) (predicate, error) {
	return func(want string, c *converter) (predicate, error) {
		return func(f *flow) bool { return c.ClusterName(e(f)) == want }, nil
	}
}

func workload(e end) func(*flowpb.Workload, *converter) (predicate, error) {
	return func(want *flowpb.Workload, _ *converter) (predicate, error) {
		return func(f *flow) bool {
			name, kind := convert.Workload(e(f))
			return name != "" && (want.GetName() == "" || want.GetName() == name) && (want.GetKind() == "" || want.GetKind() == kind)
		}, nil
	}
}

// networkInterface matches by number, name, or both.
func networkInterface(want *flowpb.NetworkInterface, c *converter) (predicate, error) {
	return func(f *flow) bool {
		return f.Kernel.Ifindex != 0 && (want.GetIndex() == 0 || want.GetIndex() == f.Kernel.Ifindex) &&
			(want.GetName() == "" || want.GetName() == c.Interface(f))
	}, nil
}

// address matches an address, or those of a prefix.
func address(of func(*flow) netip.Addr) func(string, *converter) (predicate, error) {
	return func(s string, _ *converter) (predicate, error) {
		prefix, err := parsePrefix(s)
		if err != nil {
			return nil, err
		}
		return func(f *flow) bool { a := of(f); return a.IsValid() && prefix.Contains(a) }, nil
	}
}

func absent[V any](V, *converter) (predicate, error) { return never, nil }

func never(*flow) bool { return false }
