package otlp

import (
	flowpb "github.com/cilium/cilium/api/v1/flow"
	common "go.opentelemetry.io/proto/otlp/common/v1"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/export/sink"
)

// schema is the version of OpenTelemetry's semantic conventions whose names are used.
const schema = "https://opentelemetry.io/schemas/1.37.0"

func text(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: textValue(value)}
}

func textValue(value string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}
}

// attributes is a list of attributes without empty ones.
type attributes []*common.KeyValue

func (a *attributes) text(key, value string) {
	if value != "" {
		*a = append(*a, text(key, value))
	}
}

func (a *attributes) texts(key string, values []string) {
	if len(values) == 0 {
		return
	}
	list := &common.ArrayValue{}
	for _, v := range values {
		list.Values = append(list.Values, textValue(v))
	}
	*a = append(*a, &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: list}}})
}

// number adds a number, also 0.
func (a *attributes) number(key string, value uint64) {
	*a = append(*a, &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: int64(value)}}})
}

func (a *attributes) boolean(key string, value bool) {
	*a = append(*a, &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: value}}})
}

// end is one end of a flow: source or destination.
type end struct {
	address  string
	port     uint32
	endpoint *flowpb.Endpoint
	names    []string
	service  *flowpb.Service
}

// endsOf returns the ends of a record; of a reply the other way round if it is the connection that matters.
func endsOf(f *flowpb.Flow, turn bool) (source, destination end) {
	_, sport, dport := transport(f)
	source = end{f.GetIP().GetSource(), sport, f.GetSource(), f.GetSourceNames(), f.GetSourceService()}
	destination = end{f.GetIP().GetDestination(), dport, f.GetDestination(), f.GetDestinationNames(), f.GetDestinationService()}
	if turn {
		return destination, source
	}
	return source, destination
}

// addEnd adds what is known of an end; which is "source" or "destination".
func (a *attributes) addEnd(which string, e end) {
	a.text(which+".address", e.address)
	if e.port != 0 {
		a.number(which+".port", uint64(e.port))
	}
	a.texts("hubble."+which+".names", e.names)
	if e.endpoint == nil {
		return
	}
	a.text("hubble."+which+".namespace", e.endpoint.GetNamespace())
	a.text("hubble."+which+".pod", e.endpoint.GetPodName())
	a.text("hubble."+which+".workload", workload(e.endpoint))
	if id := e.endpoint.GetIdentity(); id != 0 {
		a.number("hubble."+which+".identity", uint64(id))
	}
	a.texts("hubble."+which+".labels", e.endpoint.GetLabels())
}

// describe returns the attributes of a record, with the ends of its connection instead of the packet's if turn.
func describe(r sink.Record, turn bool) attributes {
	f := r.Hubble
	var a attributes
	source, destination := endsOf(f, turn)
	a.addEnd("source", source)
	a.addEnd("destination", destination)
	name, _, _ := transport(f)
	a.text("network.transport", name)
	a.text("network.type", networkTypes[f.GetIP().GetIpVersion()])
	a.container(r)
	a.text("hubble.node", f.GetNodeName())
	if d := f.GetTrafficDirection(); d != flowpb.TrafficDirection_TRAFFIC_DIRECTION_UNKNOWN {
		a.text("hubble.traffic_direction", lower(d.String()))
	}
	a.text("network.interface.name", f.GetInterface().GetName())
	if flags := r.Flow.TCPFlags(); f.GetL4().GetTCP().GetFlags() != nil {
		a.text("hubble.tcp.flags", flags)
	}
	if !r.Flow.Opened().IsZero() {
		a.number("hubble.sent.bytes", r.Flow.Sent().Bytes)
		a.number("hubble.sent.packets", r.Flow.Sent().Packets)
		a.number("hubble.received.bytes", r.Flow.Received().Bytes)
		a.number("hubble.received.packets", r.Flow.Received().Packets)
	}
	if at := r.Flow.DNAT(); at.IsValid() && f.GetIP() != nil {
		a.text("hubble.frontend", at.String())
	}
	if at := r.Flow.SNAT(); at.IsValid() && f.GetIP() != nil {
		a.text("hubble.masquerade", at.String())
	}
	return a
}

// container adds the container whose program speaks, by the names of the semantic conventions, as far as the export's
// mask lets its name through.
func (a *attributes) container(r sink.Record) {
	own, party := r.Hubble.GetSource(), r.Flow.Source
	direction := "transmit"
	switch r.Flow.Kernel.Point {
	case abi.PointEgress:
	case abi.PointIngress:
		own, party, direction = r.Hubble.GetDestination(), r.Flow.Destination, "receive"
	default:
		return
	}
	a.text("network.io.direction", direction)
	a.text("service.namespace", own.GetNamespace())
	a.text("service.name", workload(own))
	if own.GetPodName() != "" {
		a.text("container.name", own.GetPodName())
		a.text("container.id", party.ContainerID)
		a.text("container.image.name", party.Image)
	}
}

var networkTypes = map[flowpb.IPVersion]string{flowpb.IPVersion_IPv4: "ipv4", flowpb.IPVersion_IPv6: "ipv6"}

// transport returns the protocol above IP, and its ports.
func transport(f *flowpb.Flow) (name string, source, destination uint32) {
	l4 := f.GetL4()
	switch {
	case l4.GetTCP() != nil:
		return "tcp", l4.GetTCP().GetSourcePort(), l4.GetTCP().GetDestinationPort()
	case l4.GetUDP() != nil:
		return "udp", l4.GetUDP().GetSourcePort(), l4.GetUDP().GetDestinationPort()
	case l4.GetSCTP() != nil:
		return "sctp", l4.GetSCTP().GetSourcePort(), l4.GetSCTP().GetDestinationPort()
	case l4.GetICMPv4() != nil:
		return "icmp", 0, 0
	case l4.GetICMPv6() != nil:
		return "icmpv6", 0, 0
	}
	return "", 0, 0
}

func workload(e *flowpb.Endpoint) string {
	if len(e.GetWorkloads()) == 0 {
		return ""
	}
	return e.GetWorkloads()[0].GetName()
}

// isReply tells whether the packet answers the one that opened its connection.
func isReply(r sink.Record) bool { return r.Flow.Reply() == observe.ReplyTrue }
