package otlp

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"github.com/google/go-cmp/cmp"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/export/sinktest"
)

// values returns attributes as plain values, and tells if one stands twice.
func values(t *testing.T, all []*common.KeyValue) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, a := range all {
		if _, twice := out[a.GetKey()]; twice {
			t.Errorf("%s stands twice", a.GetKey())
		}
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			out[a.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			out[a.GetKey()] = int(v.IntValue)
		case *common.AnyValue_BoolValue:
			out[a.GetKey()] = v.BoolValue
		case *common.AnyValue_ArrayValue:
			var list []any
			for _, one := range v.ArrayValue.GetValues() {
				list = append(list, one.GetStringValue())
			}
			out[a.GetKey()] = list
		}
	}
	return out
}

// ends are the attributes of both ends of sinktest's flows, as the connection has them.
func attributesOf(family string) map[string]any {
	source, destination := "10.9.0.2", "10.9.0.3"
	if family == "ipv6" {
		source, destination = "fd09::2", "fd09::3"
	}
	return map[string]any{
		"source.address": source, "source.port": 40000, "destination.address": destination, "destination.port": 5432,
		"network.transport": "tcp", "network.type": family, "network.io.direction": "transmit",
		"hubble.source.namespace": "shop", "hubble.source.pod": "shop-web-1", "hubble.source.workload": "web", "hubble.source.identity": 256,
		"hubble.source.labels":         []any{"container:app=web", "k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"},
		"hubble.destination.namespace": "shop", "hubble.destination.pod": "shop-db-1", "hubble.destination.workload": "db",
		"hubble.destination.identity": 257, "hubble.destination.labels": []any{"container:app=db", "k8s:app=db", "k8s:io.kubernetes.pod.namespace=shop"},
		"service.namespace": "shop", "service.name": "web", "container.name": "shop-web-1", "container.id": "c1", "container.image.name": "nginx:1",
		"hubble.node": "node-1", "hubble.traffic_direction": "egress",
	}
}

func TestLog(t *testing.T) {
	r := sinktest.Record(sinktest.Dropped(6))
	got := logOf(r, sinktest.Start.Add(time.Hour))
	if got.GetEventName() != "hubble.flow" || got.GetSeverityNumber() != logs.SeverityNumber_SEVERITY_NUMBER_WARN || got.GetTraceId() != nil ||
		got.GetTimeUnixNano() != uint64(r.Flow.Time.UnixNano()) || got.GetObservedTimeUnixNano() != uint64(sinktest.Start.Add(time.Hour).UnixNano()) {
		t.Errorf("%v", got)
	}
	if body := got.GetBody().GetStringValue(); body != "tcp shop/shop-web-1:40000 -> shop/shop-db-1:5432 DROPPED (POLICY_DENY)" {
		t.Errorf("body %q", body)
	}
	want := attributesOf("ipv6")
	for key, value := range map[string]any{
		"hubble.tcp.flags": "SYN", "hubble.verdict": "dropped", "hubble.drop_reason": "policy_deny", "hubble.event_type": "drop",
		"hubble.summary": "TCP Flags: SYN", "hubble.egress_denied_by": []any{"shop/no-db"}, "hubble.policy.rule": "egress[0]", "hubble.uuid": r.Hubble.GetUuid(),
	} {
		want[key] = value
	}
	if diff := cmp.Diff(want, values(t, got.GetAttributes())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	lost := logOf(sinktest.Record(sinktest.Lost(12)), sinktest.Start)
	if lost.GetEventName() != "hubble.lost" || values(t, lost.GetAttributes())["hubble.lost.count"] != 12 {
		t.Errorf("%v", lost)
	}
}

func TestSpan(t *testing.T) {
	r := sinktest.Record(sinktest.Closed(4))
	got := spanOf(r)
	if got.GetName() != "tcp web -> db" || got.GetKind() != trace.Span_SPAN_KIND_CLIENT || len(got.GetTraceId()) != 16 || len(got.GetSpanId()) != 8 ||
		got.GetStartTimeUnixNano() != uint64(sinktest.Start.UnixNano()) || got.GetEndTimeUnixNano() != uint64(sinktest.Start.Add(1500*time.Millisecond).UnixNano()) {
		t.Errorf("%v", got)
	}
	want := attributesOf("ipv4")
	for key, value := range map[string]any{
		"hubble.tcp.flags": "FIN,ACK", "hubble.sent.bytes": 1000, "hubble.sent.packets": 10, "hubble.received.bytes": 50000, "hubble.received.packets": 20,
	} {
		want[key] = value
	}
	if diff := cmp.Diff(want, values(t, got.GetAttributes())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if log := logOf(r, time.Now()); !slices.Equal(log.GetTraceId(), got.GetTraceId()) || !slices.Equal(log.GetSpanId(), got.GetSpanId()) {
		t.Error("the log record of the flow does not point to the span")
	}
	open := sinktest.Closed(4)
	open.Kernel.Cause = abi.CauseTime
	for name, f := range map[string]*observe.Flow{"open": open, "dropped": sinktest.Dropped(4), "lost": sinktest.Lost(1)} {
		if span := spanOf(sinktest.Record(f)); span != nil {
			t.Errorf("%s: %v", name, span)
		}
	}
}

// mirror is the same packet as a reply would be told.
func mirror(f *observe.Flow) *observe.Flow {
	again := *f
	k := &again.Kernel
	k.Src, k.Dst, k.Sport, k.Dport, k.Reply = k.Dst, k.Src, k.Dport, k.Sport, 1
	again.Source, again.Destination = f.Destination, f.Source
	return &again
}

func TestSpanOfReply(t *testing.T) {
	want := spanOf(sinktest.Record(sinktest.Closed(4)))
	got := spanOf(sinktest.Record(mirror(sinktest.Closed(4))))
	if !slices.Equal(got.GetTraceId(), want.GetTraceId()) || !slices.Equal(got.GetSpanId(), want.GetSpanId()) || got.GetName() != want.GetName() || got.GetKind() != want.GetKind() {
		t.Errorf("%v\nwant %v", got, want)
	}
	if a := values(t, got.GetAttributes()); a["source.address"] != "10.9.0.2" || a["destination.port"] != 5432 || a["hubble.source.workload"] != "web" {
		t.Errorf("%v", a)
	}
}

// TestSidesMeet: a container's connection to a published port of another host is masqueraded here and translated there; both
// hosts find the same trace, and spans of their own.
func TestSidesMeet(t *testing.T) {
	here := sinktest.Closed(4) // 10.9.0.2:40000 to 192.0.2.2:8080, masqueraded as 192.0.2.1:61000
	here.Destination = sinktest.World
	here.Kernel.Dst, here.Kernel.Dport = abi.FromAddr(netip.MustParseAddr("192.0.2.2")), abi.ToBE16(8080)
	here.Kernel.SNATAddr, here.Kernel.SNATPort = abi.FromAddr(netip.MustParseAddr("192.0.2.1")), abi.ToBE16(61000)
	there := sinktest.Closed(4) // 192.0.2.1:61000 to 10.8.0.9:80, which was 192.0.2.2:8080
	there.Source, there.Endpoint = sinktest.World, sinktest.DB
	there.Kernel.Point = abi.PointIngress
	there.Kernel.Src, there.Kernel.Sport = abi.FromAddr(netip.MustParseAddr("192.0.2.1")), abi.ToBE16(61000)
	there.Kernel.Dst, there.Kernel.Dport = abi.FromAddr(netip.MustParseAddr("10.8.0.9")), abi.ToBE16(80)
	there.Kernel.DNATAddr, there.Kernel.DNATPort = abi.FromAddr(netip.MustParseAddr("192.0.2.2")), abi.ToBE16(8080)
	there.Time = there.Time.Add(3 * time.Millisecond) // another clock
	there.Kernel.Time, there.Kernel.Opened = there.Kernel.Time+uint64(time.Hour), there.Kernel.Opened+uint64(time.Hour)

	a, b := sinktest.Record(here), sinktest.Record(there)
	b.Node = "node-2"
	one, two := spanOf(a), spanOf(b)
	if !slices.Equal(one.GetTraceId(), two.GetTraceId()) || slices.Equal(one.GetSpanId(), two.GetSpanId()) {
		t.Errorf("traces %x, %x; spans %x, %x", one.GetTraceId(), two.GetTraceId(), one.GetSpanId(), two.GetSpanId())
	}
	if one.GetKind() != trace.Span_SPAN_KIND_CLIENT || two.GetKind() != trace.Span_SPAN_KIND_SERVER {
		t.Errorf("%v, %v", one.GetKind(), two.GetKind())
	}
	later := sinktest.Closed(4)
	later.Time = later.Time.Add(5 * time.Minute)
	other := sinktest.Closed(4)
	other.Kernel.Sport = abi.ToBE16(40001)
	udp := sinktest.Closed(4)
	udp.Kernel.Proto = 17
	first := spanOf(sinktest.Record(sinktest.Closed(4)))
	for name, f := range map[string]*observe.Flow{"later": later, "another port": other, "UDP": udp} {
		if slices.Equal(spanOf(sinktest.Record(f)).GetTraceId(), first.GetTraceId()) {
			t.Errorf("%s: the same trace", name)
		}
	}
}

func TestTraceContext(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for text, known := range map[string]bool{id: true, "": false, "00000000000000000000000000000000": false, "xyz": false, "4bf9": false} {
		r := sinktest.Record(sinktest.Closed(4))
		r.Hubble.TraceContext = &flowpb.TraceContext{Parent: &flowpb.TraceParent{TraceId: text}}
		if got := hex.EncodeToString(spanOf(r).GetTraceId()); (got == id) != known || len(got) != 32 {
			t.Errorf("%q: trace %s", text, got)
		}
	}
}

// TestMask: what the export's mask leaves out is not sent in another form.
func TestMask(t *testing.T) {
	r := sinktest.Record(sinktest.Closed(4))
	r.Hubble = &flowpb.Flow{Verdict: flowpb.Verdict_FORWARDED}
	for key, value := range values(t, logOf(r, time.Now()).GetAttributes()) {
		switch key {
		case "hubble.verdict", "network.io.direction", "hubble.sent.bytes", "hubble.sent.packets", "hubble.received.bytes", "hubble.received.packets":
		default:
			t.Errorf("%s is %v", key, value)
		}
	}
}
