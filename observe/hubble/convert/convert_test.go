package convert

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

var (
	web = &observe.Party{
		Number: 4, EndpointID: "e1", Container: "shop-web-1", ContainerID: "c1", Image: "nginx", Project: "shop", Service: "web", Network: "front",
		Identity: 300, Labels: map[string]string{identity.LabelProject: "shop", identity.LabelService: "web", "tier": "edge"},
	}
	db    = &observe.Party{Number: 5, EndpointID: "e2", Container: "db", Network: "front", Identity: 301, Labels: map[string]string{}}
	host  = &observe.Party{Entity: api.EntityHost, Identity: abi.IdentityHost}
	world = &observe.Party{Entity: api.EntityWorld, Identity: abi.IdentityWorld}
	none  = &observe.Party{}
)

func testConverter() *Converter {
	return New(Options{
		Node: "host-a", Version: "1.2.3", Labels: []string{"kubernetes.io/os=linux"},
		Interface:  func(index uint32) string { return map[uint32]string{11: "slc11"}[index] },
		PolicyKind: func(policy string) string { return map[string]string{"shop/db": "CiliumNetworkPolicy"}[policy] },
	})
}

// opening is the first packet of a connection from web to db, allowed.
func opening() *observe.Flow {
	return &observe.Flow{
		Seq: 7, Time: noon, Source: web, Destination: db, Endpoint: web, DestinationNames: []string{"db.front"},
		Kernel: abi.Event{
			Time: uint64(90 * time.Second), Opened: uint64(88 * time.Second), Sent: abi.Counter{Packets: 1, Bytes: 60},
			Src: abi.FromAddr(netip.MustParseAddr("10.0.0.2")), Dst: abi.FromAddr(netip.MustParseAddr("10.0.0.3")),
			Sport: abi.ToBE16(40212), Dport: abi.ToBE16(5432), Proto: 6, Type: abi.EventTrace, Point: abi.PointEgress, TCPFlags: 2,
			Revision: 9, Family: 4, Ifindex: 11, Length: 74, Cause: abi.CauseNew,
		},
	}
}

func TestFlow(t *testing.T) {
	c := testConverter()
	f := opening()
	got := c.Flow(f)
	want := &flowpb.Flow{
		Time: timestamppb.New(noon), Uuid: c.UUID(f), Emitter: &flowpb.Emitter{Name: "Sluice", Version: "1.2.3"},
		Verdict: flowpb.Verdict_FORWARDED, IP: &flowpb.IP{Source: "10.0.0.2", Destination: "10.0.0.3", IpVersion: flowpb.IPVersion_IPv4},
		L4: &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{TCP: &flowpb.TCP{SourcePort: 40212, DestinationPort: 5432, Flags: &flowpb.TCPFlags{SYN: true}}}},
		Source: &flowpb.Endpoint{
			ID: 4, Identity: 300, ClusterName: "default", Namespace: "shop", PodName: "shop-web-1", Workloads: []*flowpb.Workload{{Name: "web", Kind: "Service"}},
			Labels: []string{
				"container:compose.project=shop", "container:com.docker.compose.project=shop", "container:compose.service=web",
				"container:com.docker.compose.service=web", "container:tier=edge", "k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop",
			},
		},
		Destination: &flowpb.Endpoint{
			ID: 5, Identity: 301, ClusterName: "default", Namespace: "default", PodName: "db", Workloads: []*flowpb.Workload{{Name: "db", Kind: "Container"}},
			Labels: []string{"k8s:app=db", "k8s:io.kubernetes.pod.namespace=default"},
		},
		Type: flowpb.FlowType_L3_L4, NodeName: "host-a", NodeLabels: []string{"kubernetes.io/os=linux"}, DestinationNames: []string{"db.front"},
		EventType: &flowpb.CiliumEventType{Type: 4, SubType: 5}, TrafficDirection: flowpb.TrafficDirection_EGRESS,
		TraceObservationPoint: flowpb.TraceObservationPoint_FROM_ENDPOINT, TraceReason: flowpb.TraceReason_NEW,
		IsReply: wrapperspb.Bool(false), Interface: &flowpb.NetworkInterface{Index: 11, Name: "slc11"}, Summary: "TCP Flags: SYN",
	}
	extension := got.GetExtensions()
	got.Extensions = nil
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var s structpb.Struct
	if err := extension.UnmarshalTo(&s); err != nil {
		t.Fatal(err)
	}
	wantMore := map[string]any{
		"packetsSent": 1.0, "bytesSent": 60.0, "ageSeconds": 2.0, "length": 74.0, "revision": 9.0, "cause": []any{"new"},
		"sourceNetwork": "front", "sourceImage": "nginx", "sourceContainer": "c1", "destinationNetwork": "front",
	}
	if diff := cmp.Diff(wantMore, s.AsMap()); diff != "" {
		t.Errorf("extension: -want +got:\n%s", diff)
	}
}

// change returns the opening packet with something else about it.
func change(how func(*observe.Flow)) *observe.Flow {
	f := opening()
	how(f)
	return f
}

func TestEventTypes(t *testing.T) {
	drop := func(reason abi.DropReason, rule *observe.Rule) func(*observe.Flow) {
		return func(f *observe.Flow) {
			f.Kernel.Type, f.Kernel.Reason, f.Kernel.Opened, f.Rule, f.Kernel.Side = abi.EventDrop, uint16(reason), 0, rule, abi.PolicyEgress
		}
	}
	verdict := func(kind uint8, reason abi.DropReason, rule *observe.Rule) func(*observe.Flow) {
		return func(f *observe.Flow) {
			f.Kernel.Type, f.Kernel.Reason, f.Rule, f.Kernel.Side = kind, uint16(reason), rule, abi.PolicyIngress
		}
	}
	to := func(p *observe.Party) func(*observe.Flow) { return func(f *observe.Flow) { f.Destination = p } }
	denying, closing := &observe.Rule{Policy: "p", Place: "deny[0]"}, &observe.Rule{Policy: "p", Default: true}
	for _, c := range []struct {
		name    string
		flow    *observe.Flow
		verdict flowpb.Verdict
		kind    int32
		sub     int32
		reason  flowpb.DropReason
		match   uint32
	}{
		{"the first to a container", opening(), flowpb.Verdict_FORWARDED, 4, 5, 0, 0},
		{"a later one to a container", change(func(f *observe.Flow) { f.Kernel.Cause = abi.CauseTime }), flowpb.Verdict_FORWARDED, 4, 0, 0, 0},
		{"to the host", change(to(host)), flowpb.Verdict_FORWARDED, 4, 2, 0, 0},
		{"to the world", change(to(world)), flowpb.Verdict_FORWARDED, 4, 11, 0, 0},
		{"to nobody knows whom", change(to(none)), flowpb.Verdict_FORWARDED, 4, 3, 0, 0},
		{"reaching a container", change(func(f *observe.Flow) { f.Kernel.Point = abi.PointIngress }), flowpb.Verdict_FORWARDED, 4, 0, 0, 0},
		{"at an uplink", change(func(f *observe.Flow) { f.Kernel.Point = abi.PointUplink }), flowpb.Verdict_FORWARDED, 4, 10, 0, 0},
		{"no route", change(drop(abi.DropNoRoute, nil)), flowpb.Verdict_DROPPED, 1, 169, flowpb.DropReason_FIB_LOOKUP_FAILED, 0},
		{"denied by a rule", change(drop(abi.DropPolicyDenied, denying)), flowpb.Verdict_DROPPED, 1, 181, flowpb.DropReason_POLICY_DENY, 0},
		{"allowed by no rule", change(drop(abi.DropPolicyDenied, closing)), flowpb.Verdict_DROPPED, 1, 133, flowpb.DropReason_POLICY_DENIED, 0},
		{"a reason of the future", change(drop(63, nil)), flowpb.Verdict_DROPPED, 1, 0, 0, 0},
		{"verdict of a rule", change(verdict(abi.EventVerdict, 0, denying)), flowpb.Verdict_FORWARDED, 5, 0, 0, 2},
		{"verdict of a rule about a protocol without ports", change(func(f *observe.Flow) {
			verdict(abi.EventVerdict, 0, denying)(f)
			f.Kernel.Proto = 47
		}), flowpb.Verdict_FORWARDED, 5, 0, 0, 1},
		{"verdict without a rule", change(verdict(abi.EventVerdict, 0, nil)), flowpb.Verdict_FORWARDED, 5, 0, 0, 4},
		{"denial without a rule", change(verdict(abi.EventVerdict, abi.DropPolicyDenied, closing)), flowpb.Verdict_DROPPED, 5, 0, flowpb.DropReason_POLICY_DENIED, 0},
		{"audit", change(verdict(abi.EventAudit, abi.DropPolicyDenied, closing)), flowpb.Verdict_AUDIT, 5, 0, 0, 0},
		{"learnt, allowed", change(verdict(abi.EventLearn, 0, denying)), flowpb.Verdict_FORWARDED, 5, 0, 0, 2},
		{"learnt, denied", change(verdict(abi.EventLearn, abi.DropPolicyDenied, nil)), flowpb.Verdict_AUDIT, 5, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := testConverter().Flow(c.flow)
			if m.GetVerdict() != c.verdict || m.GetEventType().GetType() != c.kind || m.GetEventType().GetSubType() != c.sub ||
				m.GetDropReasonDesc() != c.reason || m.GetDropReason() != uint32(c.reason) || m.GetPolicyMatchType() != c.match { //nolint:staticcheck // both are set
				t.Errorf("verdict %v, type %v, reason %v, match %d", m.GetVerdict(), m.GetEventType(), m.GetDropReasonDesc(), m.GetPolicyMatchType())
			}
			if (m.GetTraceObservationPoint() != 0) != (c.kind == 4) {
				t.Errorf("observation point %v of type %d", m.GetTraceObservationPoint(), c.kind)
			}
		})
	}
}

func TestDirectionAndReply(t *testing.T) {
	for _, c := range []struct {
		name  string
		flow  *observe.Flow
		dir   flowpb.TrafficDirection
		reply *wrapperspb.BoolValue
	}{
		{"sent", opening(), flowpb.TrafficDirection_EGRESS, wrapperspb.Bool(false)},
		{"answered", change(func(f *observe.Flow) { f.Kernel.Reply = 1 }), flowpb.TrafficDirection_INGRESS, wrapperspb.Bool(true)},
		{"received", change(func(f *observe.Flow) { f.Kernel.Point = abi.PointIngress }), flowpb.TrafficDirection_INGRESS, wrapperspb.Bool(false)},
		{"answer received", change(func(f *observe.Flow) { f.Kernel.Point, f.Kernel.Reply = abi.PointIngress, 1 }),
			flowpb.TrafficDirection_EGRESS, wrapperspb.Bool(true)},
		{"dropped", change(func(f *observe.Flow) {
			f.Kernel.Type, f.Kernel.Reason, f.Kernel.Opened = abi.EventDrop, uint16(abi.DropNoRoute), 0
		}),
			flowpb.TrafficDirection_EGRESS, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := testConverter().Flow(c.flow)
			if m.GetTrafficDirection() != c.dir || !cmp.Equal(m.GetIsReply(), c.reply, protocmp.Transform()) {
				t.Errorf("direction %v, reply %v", m.GetTrafficDirection(), m.GetIsReply())
			}
		})
	}
}

func TestLayer4(t *testing.T) {
	for _, c := range []struct {
		name, summary string
		kernel        abi.Event
		json          string
	}{
		{"all flags", "TCP Flags: SYN, ACK, RST, FIN, PSH, URG, ECE, CWR", abi.Event{Family: 4, Proto: 6, TCPFlags: 255},
			`{"TCP":{"flags":{"FIN":true,"SYN":true,"RST":true,"PSH":true,"ACK":true,"URG":true,"ECE":true,"CWR":true}}}`},
		{"UDP", "UDP", abi.Event{Family: 6, Proto: 17, Sport: abi.ToBE16(5), Dport: abi.ToBE16(53)}, `{"UDP":{"source_port":5,"destination_port":53}}`},
		{"SCTP", "SCTP", abi.Event{Family: 4, Proto: 132, Dport: abi.ToBE16(7)}, `{"SCTP":{"destination_port":7}}`},
		{"echo", "ICMPv4 EchoRequest", abi.Event{Family: 4, Proto: 1, ICMPType: 8}, `{"ICMPv4":{"type":8}}`},
		{"ICMP error", "ICMPv4 DestinationUnreachable (code 3)", abi.Event{Family: 4, Proto: 1, ICMPType: 3, ICMPCode: 3}, `{"ICMPv4":{"type":3,"code":3}}`},
		{"ICMPv6", "ICMPv6 PacketTooBig", abi.Event{Family: 6, Proto: 58, ICMPType: 2}, `{"ICMPv6":{"type":2}}`},
		{"rare ICMPv6", "ICMPv6 Type 200", abi.Event{Family: 6, Proto: 58, ICMPType: 200}, `{"ICMPv6":{"type":200}}`},
		{"VRRP", "VRRP", abi.Event{Family: 4, Proto: 112}, `{"VRRP":{}}`},
		{"IGMP", "IGMP", abi.Event{Family: 4, Proto: 2}, `{"IGMP":{}}`},
		{"GRE", "IP protocol 47", abi.Event{Family: 4, Proto: 47}, ``},
		{"not IP", "", abi.Event{Proto: 6, TCPFlags: 2}, ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := opening()
			c.kernel.Type = abi.EventDrop
			f.Kernel = c.kernel
			m := testConverter().Flow(f)
			if m.GetSummary() != c.summary { //nolint:staticcheck // clients print it
				t.Errorf("summary %q", m.GetSummary()) //nolint:staticcheck // likewise
			}
			var json string
			if m.GetL4() != nil {
				text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m.GetL4())
				if err != nil {
					t.Fatal(err)
				}
				json = strings.ReplaceAll(string(text), " ", "")
			}
			if json != c.json {
				t.Errorf("layer 4 %s, want %s", json, c.json)
			}
			if (m.GetIP() == nil) != (c.kernel.Family == 0) {
				t.Errorf("IP %v of family %d", m.GetIP(), c.kernel.Family)
			}
		})
	}
}

func TestTranslation(t *testing.T) {
	out := change(func(f *observe.Flow) {
		f.Destination, f.Kernel.SNATAddr, f.Kernel.SNATPort = world, abi.FromAddr(netip.MustParseAddr("192.0.2.1")), abi.ToBE16(61000)
	})
	m := testConverter().Flow(out)
	if m.GetIP().GetSourceXlated() != "192.0.2.1" {
		t.Errorf("masqueraded: %v", m.GetIP())
	}
	out.Kernel.Reply = 1
	if m := testConverter().Flow(out); m.GetIP().GetSourceXlated() != "" {
		t.Errorf("its answer: %v", m.GetIP())
	}
	in := change(func(f *observe.Flow) {
		f.Source, f.Destination, f.Published = host, web, 8080
		f.Kernel.Point, f.Kernel.DNATAddr, f.Kernel.DNATPort = abi.PointIngress, abi.FromAddr(netip.MustParseAddr("192.0.2.1")), abi.ToBE16(8080)
	})
	m = testConverter().Flow(in)
	want := &flowpb.Service{Name: "web", Namespace: "shop"}
	if !cmp.Equal(want, m.GetDestinationService(), protocmp.Transform()) || m.GetSourceService() != nil {
		t.Errorf("by a published port: from service %v to %v", m.GetSourceService(), m.GetDestinationService())
	}
	var s structpb.Struct
	if err := m.GetExtensions().UnmarshalTo(&s); err != nil || s.AsMap()["originalDestination"] != "192.0.2.1:8080" || s.AsMap()["publishedPort"] != 8080.0 {
		t.Errorf("extension %v, %v", s.AsMap(), err)
	}
	in.Source = world
	if m := testConverter().Flow(in); m.GetDestinationService() != nil {
		t.Errorf("from the world, to service %v, which Hubble's page would hide", m.GetDestinationService())
	}
	in.Source, in.Destination, in.Kernel.Reply = web, host, 1
	if m := testConverter().Flow(in); !cmp.Equal(want, m.GetSourceService(), protocmp.Transform()) {
		t.Errorf("the answer is from service %v", m.GetSourceService())
	}
}

func TestPolicies(t *testing.T) {
	rule := &observe.Rule{Policy: "shop/db", Place: "ingress[1]"}
	judged := func(kind uint8, reason abi.DropReason, side uint8) *flowpb.Flow {
		return testConverter().Flow(change(func(f *observe.Flow) {
			f.Kernel.Type, f.Kernel.Reason, f.Kernel.Side, f.Rule = kind, uint16(reason), side, rule
		}))
	}
	want := []*flowpb.Policy{{Name: "db", Namespace: "shop", Kind: "CiliumNetworkPolicy", Revision: 9, Labels: []string{"sluice:rule=ingress[1]"}}}
	for name, c := range map[string]struct {
		flow *flowpb.Flow
		by   func(*flowpb.Flow) []*flowpb.Policy
	}{
		"allowed out":  {judged(abi.EventVerdict, 0, abi.PolicyEgress), (*flowpb.Flow).GetEgressAllowedBy},
		"allowed in":   {judged(abi.EventVerdict, 0, abi.PolicyIngress), (*flowpb.Flow).GetIngressAllowedBy},
		"published":    {judged(abi.EventVerdict, 0, abi.PolicyPublish), (*flowpb.Flow).GetIngressAllowedBy},
		"denied out":   {judged(abi.EventVerdict, abi.DropPolicyDenied, abi.PolicyEgress), (*flowpb.Flow).GetEgressDeniedBy},
		"denied in":    {judged(abi.EventVerdict, abi.DropPolicyDenied, abi.PolicyIngress), (*flowpb.Flow).GetIngressDeniedBy},
		"dropped":      {judged(abi.EventDrop, abi.DropPolicyDenied, abi.PolicyIngress), (*flowpb.Flow).GetIngressDeniedBy},
		"only watched": {judged(abi.EventAudit, abi.DropPolicyDenied, abi.PolicyIngress), (*flowpb.Flow).GetIngressDeniedBy},
	} {
		if diff := cmp.Diff(want, c.by(c.flow), protocmp.Transform()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestNames(t *testing.T) {
	c := New(Options{Node: "a", Cluster: "east"})
	if c.NodeName() != "east/a" || c.Flow(opening()).GetNodeName() != "east/a" || c.Flow(opening()).GetSource().GetClusterName() != "east" {
		t.Errorf("in a cluster of its own: node %s, flow %v", c.NodeName(), c.Flow(opening()))
	}
	if m := c.Flow(change(func(f *observe.Flow) { f.Source = world })).GetSource(); m.GetClusterName() != "" || m.GetNamespace() != "" ||
		!cmp.Equal(m.GetLabels(), []string{"reserved:world"}) {
		t.Errorf("the world is %v", m)
	}
	stack := *web
	stack.Service = ""
	if name, kind := Workload(&stack); name != "shop-web-1" || kind != kindContainer {
		t.Errorf("workload without a service: %s %s", kind, name)
	}
}

func TestUUID(t *testing.T) {
	c := testConverter()
	a, b := c.UUID(opening()), c.UUID(opening())
	if a != b || len(a) != 36 || a[14] != '8' {
		t.Errorf("ids %s and %s of one flow", a, b)
	}
	seen := map[string]bool{a: true}
	for _, other := range []*observe.Flow{
		change(func(f *observe.Flow) { f.Kernel.Type = abi.EventVerdict }), change(func(f *observe.Flow) { f.Time = f.Time.Add(1) }),
		change(func(f *observe.Flow) { f.Kernel.Sport++ }),
	} {
		if id := c.UUID(other); seen[id] {
			t.Errorf("%s is the id of two flows", id)
		}
	}
	if New(Options{Node: "host-b"}).UUID(opening()) == a {
		t.Error("two nodes give one id")
	}
}

func TestLost(t *testing.T) {
	lost := &observe.Flow{Time: noon, Source: none, Destination: none, Lost: &api.Lost{Where: api.LostSubscriber, Count: 5}}
	c := testConverter()
	r := c.Response(lost, nil)
	if r.GetFlow() != nil || r.GetLostEvents().GetNumEventsLost() != 5 || r.GetLostEvents().GetSource() != flowpb.LostEventSource_HUBBLE_RING_BUFFER {
		t.Errorf("lost by a slow reader: %v", r)
	}
	lost.Lost.Where = api.LostKernel
	if e := c.Export(lost, nil); e.GetLostEvents().GetSource() != flowpb.LostEventSource_PERF_EVENT_RING_BUFFER || e.GetNodeName() != "host-a" {
		t.Errorf("lost in the kernel: %v", e)
	}
	if c.Flow(lost) != nil {
		t.Error("lost flows are a flow")
	}
}

func BenchmarkFlow(b *testing.B) {
	c, f := testConverter(), opening()
	b.ReportAllocs()
	for b.Loop() {
		c.Flow(f)
	}
}
