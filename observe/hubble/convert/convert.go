package convert

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"sync"
	"sync/atomic"
	"unsafe"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/observe"
)

// DefaultCluster is the name of the cluster of a daemon that was given none. Names of nodes do not mention it.
const DefaultCluster = "default"

// emitter is the program that flows come from, as clients show it.
const emitter = "Sluice"

// Options are what flows of one daemon have in common.
type Options struct {
	Node    string // name of this host
	Cluster string // empty: DefaultCluster
	Version string // of the daemon, without v
	// Labels of the node, key=value.
	Labels []string
	// Interface returns the name of a network interface, empty if it is not known. Nil: no flow has one.
	Interface func(index uint32) string
	// PolicyKind returns the kind of a policy document, empty if there is none of that name. Nil: no policy has one.
	PolicyKind func(policy string) string
}

// Converter makes messages of flows. It may be used from several goroutines.
type Converter struct {
	options Options
	node    string // as flows name it

	parties sync.Map // *observe.Party → *labelled
	known   atomic.Int64
}

// New returns a converter.
func New(o Options) *Converter {
	if o.Cluster == "" {
		o.Cluster = DefaultCluster
	}
	node := o.Node
	if o.Cluster != DefaultCluster {
		node = o.Cluster + "/" + node
	}
	return &Converter{options: o, node: node}
}

// NodeName returns the name of the host as flows have it: with the cluster before it, unless that is DefaultCluster.
func (c *Converter) NodeName() string { return c.node }

// Cluster returns the name of the cluster.
func (c *Converter) Cluster() string { return c.options.Cluster }

// NodeLabels returns the labels of the host.
func (c *Converter) NodeLabels() []string { return c.options.Labels }

// Interface returns the name of the interface on which the flow was seen, empty if it is not known.
func (c *Converter) Interface(f *observe.Flow) string {
	if f.Kernel.Ifindex == 0 || c.options.Interface == nil {
		return ""
	}
	return c.options.Interface(f.Kernel.Ifindex)
}

// Flow returns the message of a flow, nil of lost ones (see Lost).
func (c *Converter) Flow(f *observe.Flow) *flowpb.Flow { return c.Masked(f, nil) }

// Masked returns the message of a flow with the fields that the mask wants; what costs much is not made if it is not.
func (c *Converter) Masked(f *observe.Flow, mask *Mask) *flowpb.Flow {
	if f.IsLost() {
		return nil
	}
	m := c.Basic(f)
	if mask.wants("uuid") {
		m.Uuid = c.UUID(f)
	}
	if mask.wants("extensions") {
		m.Extensions = extension(f)
	}
	return mask.Apply(m)
}

// Basic returns the message of a flow that is not word of lost ones, without its id and extension, which cost most.
func (c *Converter) Basic(f *observe.Flow) *flowpb.Flow {
	e := &f.Kernel
	kind, sub := EventType(f)
	m := &flowpb.Flow{
		Time:             timestamppb.New(f.Time),
		Emitter:          &flowpb.Emitter{Name: emitter, Version: c.options.Version},
		Verdict:          Verdict(f),
		IP:               ip(f),
		L4:               layer4(f),
		Source:           c.endpoint(f.Source),
		Destination:      c.endpoint(f.Destination),
		Type:             flowpb.FlowType_L3_L4,
		NodeName:         c.node,
		NodeLabels:       c.options.Labels,
		SourceNames:      f.SourceNames,
		DestinationNames: f.DestinationNames,
		EventType:        &flowpb.CiliumEventType{Type: kind, SubType: sub},
		TrafficDirection: TrafficDirection(f),
		PolicyMatchType:  policyMatch(f),

		TraceObservationPoint: observationPoint(f),
		TraceReason:           traceReason(f),
		Summary:               summary(f),
	}
	if reply := f.Reply(); reply != observe.ReplyUnknown {
		is := reply == observe.ReplyTrue
		m.IsReply, m.Reply = wrapperspb.Bool(is), is //nolint:staticcheck // older clients read the latter
	}
	if reason := DropReason(f); reason != 0 {
		m.DropReasonDesc, m.DropReason = reason, uint32(reason) //nolint:staticcheck // likewise
	}
	if e.Ifindex != 0 {
		m.Interface = &flowpb.NetworkInterface{Index: e.Ifindex, Name: c.Interface(f)}
	}
	m.SourceService, m.DestinationService = service(SourceService(f)), service(DestinationService(f))
	c.policies(m, f)
	return m
}

// Response returns what GetFlows sends of a flow: its message, or word of lost ones.
func (c *Converter) Response(f *observe.Flow, mask *Mask) *observerpb.GetFlowsResponse {
	r := &observerpb.GetFlowsResponse{NodeName: c.node, Time: timestamppb.New(f.Time)}
	if f.IsLost() {
		r.ResponseTypes = &observerpb.GetFlowsResponse_LostEvents{LostEvents: Lost(f)}
	} else {
		r.ResponseTypes = &observerpb.GetFlowsResponse_Flow{Flow: c.Masked(f, mask)}
	}
	return r
}

// Export returns what an export writes of a flow; as JSON it is what `hubble observe -o jsonpb` prints.
func (c *Converter) Export(f *observe.Flow, mask *Mask) *observerpb.ExportEvent {
	r := &observerpb.ExportEvent{NodeName: c.node, Time: timestamppb.New(f.Time)}
	if f.IsLost() {
		r.ResponseTypes = &observerpb.ExportEvent_LostEvents{LostEvents: Lost(f)}
	} else {
		r.ResponseTypes = &observerpb.ExportEvent_Flow{Flow: c.Masked(f, mask)}
	}
	return r
}

// Lost returns the message of lost flows.
func Lost(f *observe.Flow) *flowpb.LostEvent {
	m := &flowpb.LostEvent{Source: flowpb.LostEventSource_UNKNOWN_LOST_EVENT_SOURCE}
	if f.Lost == nil {
		return m
	}
	m.NumEventsLost = f.Lost.Count
	switch f.Lost.Where {
	case api.LostKernel:
		m.Source = flowpb.LostEventSource_PERF_EVENT_RING_BUFFER
	case api.LostSubscriber:
		m.Source = flowpb.LostEventSource_HUBBLE_RING_BUFFER
	}
	return m
}

// UUID returns the id of a flow. It is made of the flow itself (RFC 9562, version 8), so that whoever converts it, now or
// after a restart, gives it the same.
func (c *Converter) UUID(f *observe.Flow) string {
	h := fnv.New128a()
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(f.Time.UnixNano()))
	h.Write(at[:])
	h.Write(unsafe.Slice((*byte)(unsafe.Pointer(&f.Kernel)), unsafe.Sizeof(f.Kernel)))
	h.Write([]byte(c.node))
	var id [16]byte
	h.Sum(id[:0])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return formatUUID(id)
}

func formatUUID(id [16]byte) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 36)
	for i, b := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			out = append(out, '-')
		}
		out = append(out, digits[b>>4], digits[b&15])
	}
	return string(out)
}

// ip fills the addresses, nil of what is not IP.
func ip(f *observe.Flow) *flowpb.IP {
	if f.Kernel.Family == 0 {
		return nil
	}
	return &flowpb.IP{
		Source: text(f.Src()), SourceXlated: text(SourceTranslated(f)), Destination: text(f.Dst()), IpVersion: IPVersion(f),
	}
}

func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// IPVersion returns the family of the flow's addresses.
func IPVersion(f *observe.Flow) flowpb.IPVersion {
	switch f.Kernel.Family {
	case 4:
		return flowpb.IPVersion_IPv4
	case 6:
		return flowpb.IPVersion_IPv6
	}
	return flowpb.IPVersion_IP_NOT_USED
}

// SourceTranslated returns the source of the packet after translation, invalid if it is not translated: that of
// masquerade for what the initiator sends.
func SourceTranslated(f *observe.Flow) netip.Addr {
	if f.Reply() == observe.ReplyTrue {
		return netip.Addr{}
	}
	return f.SNAT().Addr()
}
