package flows

import (
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	relaypb "github.com/cilium/cilium/api/v1/relay"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

var sampleTime = time.Date(2026, 1, 2, 15, 4, 5, 123456789, time.UTC)

func compose(project, service, name string, identity uint32) *flowpb.Endpoint {
	return &flowpb.Endpoint{ID: 7, Identity: identity, Namespace: project, PodName: name, ClusterName: "default",
		Workloads: []*flowpb.Workload{{Name: service, Kind: "Service"}},
		Labels:    []string{"k8s:app=" + service, "container:com.docker.compose.service=" + service, "container:tier=front"}}
}

func world() *flowpb.Endpoint {
	return &flowpb.Endpoint{Identity: 2, Labels: []string{"reserved:world"}}
}

// samples are flows of every kind: the SYN of web to db denied, an answer of db, a query of web to the world, one of HTTP,
// one that is no IP, an audited one, one of a connection that is over.
func samples() []*flowpb.Flow {
	at := func(seconds int) *timestamppb.Timestamp {
		return timestamppb.New(sampleTime.Add(time.Duration(seconds) * time.Second))
	}
	web, web2, db := compose("shop", "web", "shop-web-1", 300), compose("shop", "web", "shop-web-2", 300), compose("shop", "db", "shop-db-1", 301)
	alone := &flowpb.Endpoint{Namespace: "default", PodName: "alone", Identity: 302, Workloads: []*flowpb.Workload{{Name: "alone", Kind: "Container"}}}
	v4 := func(src, dst string) *flowpb.IP {
		return &flowpb.IP{Source: src, Destination: dst, IpVersion: flowpb.IPVersion_IPv4}
	}
	v6 := func(src, dst string) *flowpb.IP {
		return &flowpb.IP{Source: src, Destination: dst, IpVersion: flowpb.IPVersion_IPv6}
	}
	tcp := func(from, to uint32, flags *flowpb.TCPFlags) *flowpb.Layer4 {
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{TCP: &flowpb.TCP{SourcePort: from, DestinationPort: to, Flags: flags}}}
	}
	udp := &flowpb.Layer4{Protocol: &flowpb.Layer4_UDP{UDP: &flowpb.UDP{SourcePort: 40000, DestinationPort: 53}}}
	by := []*flowpb.Policy{{Name: "allow-web", Labels: []string{"sluice:rule=ingress[0]"}}}
	return []*flowpb.Flow{
		{Time: at(0), Uuid: "one", NodeName: "node-a", Verdict: flowpb.Verdict_DROPPED, IP: v4("172.30.0.2", "172.30.0.3"), Source: web, Destination: db,
			L4: tcp(40212, 5432, &flowpb.TCPFlags{SYN: true}), EventType: &flowpb.CiliumEventType{Type: typePolicyVerdict},
			DropReasonDesc: flowpb.DropReason_POLICY_DENIED, TrafficDirection: flowpb.TrafficDirection_INGRESS, PolicyMatchType: 2,
			IngressDeniedBy: by, Summary: "TCP Flags: SYN", Interface: &flowpb.NetworkInterface{Index: 3, Name: "slc1"}},
		{Time: at(1), Verdict: flowpb.Verdict_DROPPED, NodeName: "node-a", IP: v4("172.30.0.2", "172.30.0.3"), Source: web2, Destination: db, L4: tcp(40212, 5432, &flowpb.TCPFlags{SYN: true}),
			EventType: &flowpb.CiliumEventType{Type: typeDrop, SubType: 133}, DropReasonDesc: flowpb.DropReason_POLICY_DENIED,
			TrafficDirection: flowpb.TrafficDirection_INGRESS, Summary: "TCP Flags: SYN"},
		{Time: at(2), Verdict: flowpb.Verdict_FORWARDED, NodeName: "c2/node-b", IP: v6("fd00::3", "fd00::2"), Source: db, Destination: web,
			L4: tcp(5432, 40212, &flowpb.TCPFlags{SYN: true, ACK: true}), EventType: &flowpb.CiliumEventType{Type: typeTrace}, IsReply: wrapperspb.Bool(true),
			TrafficDirection: flowpb.TrafficDirection_INGRESS, Summary: "TCP Flags: SYN, ACK"},
		{Time: at(3), Verdict: flowpb.Verdict_FORWARDED, NodeName: "node-a", NodeLabels: []string{"rack=1"}, IP: &flowpb.IP{Source: "172.30.0.9", Destination: "198.51.100.1",
			SourceXlated: "10.77.0.1", IpVersion: flowpb.IPVersion_IPv4}, Source: alone, Destination: world(), DestinationNames: []string{"example.org"}, L4: udp,
			EventType: &flowpb.CiliumEventType{Type: typeTrace, SubType: 5}, IsReply: wrapperspb.Bool(false), TrafficDirection: flowpb.TrafficDirection_EGRESS, Summary: "UDP"},
		{Time: at(4), Verdict: flowpb.Verdict_FORWARDED, IP: v4("172.30.0.2", "172.30.0.3"), Source: web, Destination: db, L4: tcp(40212, 80, nil), Type: flowpb.FlowType_L7,
			EventType: &flowpb.CiliumEventType{Type: typeL7}, IsReply: wrapperspb.Bool(true), Summary: "HTTP/1.1 503 GET http://db/page/1?x=y",
			L7: &flowpb.Layer7{Type: flowpb.L7FlowType_RESPONSE, Record: &flowpb.Layer7_Http{Http: &flowpb.HTTP{Code: 503, Method: "GET",
				Url: "http://db/page/1?x=y", Headers: []*flowpb.HTTPHeader{{Key: "X-A", Value: "b"}}}}},
			TraceContext: &flowpb.TraceContext{Parent: &flowpb.TraceParent{TraceId: "4bf9"}}},
		{Time: at(5), Verdict: flowpb.Verdict_DROPPED, Ethernet: &flowpb.Ethernet{Source: "02:00:00:00:00:01", Destination: "ff:ff:ff:ff:ff:ff"},
			EventType: &flowpb.CiliumEventType{Type: typeDrop, SubType: 139}, DropReasonDesc: flowpb.DropReason_UNSUPPORTED_L3_PROTOCOL, Summary: "Ethernet"},
		{Time: at(6), Verdict: flowpb.Verdict_AUDIT, IP: v6("2001:db8::1", "fd00::3"), Source: world(), Destination: db, L4: tcp(50000, 5432, &flowpb.TCPFlags{SYN: true}),
			EventType: &flowpb.CiliumEventType{Type: typePolicyVerdict}, TrafficDirection: flowpb.TrafficDirection_INGRESS, IngressDeniedBy: by,
			IsReply: wrapperspb.Bool(false), Summary: "TCP Flags: SYN"},
		{Time: at(7), Verdict: flowpb.Verdict_FORWARDED, IP: v6("fd00::2", "fd00::3"), Source: web2, Destination: db, L4: tcp(40213, 5432, &flowpb.TCPFlags{FIN: true, ACK: true}),
			EventType: &flowpb.CiliumEventType{Type: typeTrace}, IsReply: wrapperspb.Bool(false), TrafficDirection: flowpb.TrafficDirection_EGRESS,
			Summary: "TCP Flags: ACK, FIN", Extensions: totals()},
	}
}

func totals() *anypb.Any {
	s, err := structpb.NewStruct(map[string]any{"cause": []any{"state", "closed"}, "bytesSent": 1536, "bytesReceived": 100, "ageSeconds": 2.34})
	if err != nil {
		panic(err)
	}
	a, err := anypb.New(s)
	if err != nil {
		panic(err)
	}
	return a
}

// answers are responses with the samples, lost flows, and news of nodes.
func answers() []*observerpb.GetFlowsResponse {
	var all []*observerpb.GetFlowsResponse
	for _, f := range samples() {
		all = append(all, &observerpb.GetFlowsResponse{NodeName: f.GetNodeName(), Time: f.GetTime(),
			ResponseTypes: &observerpb.GetFlowsResponse_Flow{Flow: f}})
	}
	lost := &flowpb.LostEvent{Source: flowpb.LostEventSource_HUBBLE_RING_BUFFER, NumEventsLost: 12}
	gone := &relaypb.NodeStatusEvent{StateChange: relaypb.NodeState_NODE_UNAVAILABLE, NodeNames: []string{"node-b"}}
	return append(all,
		&observerpb.GetFlowsResponse{NodeName: "node-a", Time: timestamppb.New(sampleTime), ResponseTypes: &observerpb.GetFlowsResponse_LostEvents{LostEvents: lost}},
		&observerpb.GetFlowsResponse{NodeName: "relay", Time: timestamppb.New(sampleTime), ResponseTypes: &observerpb.GetFlowsResponse_NodeStatus{NodeStatus: gone}})
}
