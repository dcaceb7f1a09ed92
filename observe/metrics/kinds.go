package metrics

import (
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/hubble/convert"
	"github.com/sluice-net/sluice/observe/metrics/catalog"
)

// kind is a metric of flows.
type kind struct {
	name   string // in settings
	metric catalog.Metric
	flags  []string // options without value, beside the contexts
	// more are labels that a flag adds.
	more map[string]string
	// counts reports whether a flow is counted.
	counts func(w Wanted, f *observe.Flow) bool
	// detail is what the values depend on beside code; nil: nothing.
	detail func(f *observe.Flow) uint16
	// values are those of the metric's labels, then those of the flags'; message is the flow as Hubble tells it.
	values func(w Wanted, f *observe.Flow, message *flowpb.Flow) []string
}

// kinds are the metrics that a user can ask for.
var kinds = []kind{
	{
		name: "drop",
		metric: catalog.Metric{Name: "hubble_drop_total", Kind: catalog.Counter, Labels: []string{"reason", "protocol"},
			Help: "Dropped packets that were told as flows, each once (sluice_drop_packets_total counts all)"},
		counts: func(_ Wanted, f *observe.Flow) bool { return f.IsDrop() },
		values: func(_ Wanted, f *observe.Flow, m *flowpb.Flow) []string {
			return []string{m.GetDropReasonDesc().String(), protocol(f)}
		},
	},
	{
		name: "flow",
		metric: catalog.Metric{Name: "hubble_flows_processed_total", Kind: catalog.Counter,
			Labels: []string{"protocol", "type", "subtype", "verdict"}, Help: "Flows that were told: packets that say something new of their connection, drops, verdicts of policies"},
		counts: func(Wanted, *observe.Flow) bool { return true },
		values: func(_ Wanted, f *observe.Flow, m *flowpb.Flow) []string {
			kind, subtype := flowType(m)
			return []string{protocol(f), kind, subtype, m.GetVerdict().String()}
		},
	},
	{
		name: "flows-to-world",
		metric: catalog.Metric{Name: "hubble_flows_to_world_total", Kind: catalog.Counter, Labels: []string{"protocol", "verdict"},
			Help: "Flows to addresses that are neither a container's nor the host's, without replies; of drops those by policy, or with any-drop all"},
		flags:  []string{"any-drop", "port", "syn-only"},
		more:   map[string]string{"port": "port"},
		counts: toWorld,
		detail: (*observe.Flow).DestinationPort,
		values: func(w Wanted, f *observe.Flow, m *flowpb.Flow) []string {
			values := []string{protocol(f), m.GetVerdict().String()}
			if w.has("port") {
				values = append(values, strconv.Itoa(int(f.DestinationPort())))
			}
			return values
		},
	},
	{
		name: "icmp",
		metric: catalog.Metric{Name: "hubble_icmp_total", Kind: catalog.Counter, Labels: []string{"family", "type"},
			Help: "ICMP messages that were let through and told as flows"},
		counts: func(_ Wanted, f *observe.Flow) bool {
			return f.IsTrace() && (f.Kernel.Proto == unix.IPPROTO_ICMP || f.Kernel.Proto == unix.IPPROTO_ICMPV6)
		},
		detail: func(f *observe.Flow) uint16 { return uint16(f.Kernel.ICMPType) },
		values: func(_ Wanted, f *observe.Flow, m *flowpb.Flow) []string {
			_, name, _ := strings.Cut(m.GetSummary(), " ")
			name, _, _ = strings.Cut(name, " (")
			return []string{family(f), name}
		},
	},
	{
		name: "policy",
		metric: catalog.Metric{Name: "hubble_policy_verdicts_total", Kind: catalog.Counter, Labels: []string{"direction", "match", "action"},
			Help: "What policies said of connections, enforced or (action audit) only watched"},
		counts: func(_ Wanted, f *observe.Flow) bool { return f.IsVerdict() && f.Kernel.Type != abi.EventLearn },
		values: func(_ Wanted, f *observe.Flow, m *flowpb.Flow) []string {
			return []string{f.Direction().String(), matchName(m.GetPolicyMatchType()), strings.ToLower(m.GetVerdict().String())}
		},
	},
	{
		name: "port-distribution",
		metric: catalog.Metric{Name: "hubble_port_distribution_total", Kind: catalog.Counter, Labels: []string{"protocol", "port"},
			Help: "Flows that were let through by destination port, without replies"},
		counts: func(_ Wanted, f *observe.Flow) bool {
			return f.IsTrace() && f.HasPorts() && f.Reply() != observe.ReplyTrue
		},
		detail: (*observe.Flow).DestinationPort,
		values: func(_ Wanted, f *observe.Flow, _ *flowpb.Flow) []string {
			return []string{protocol(f), strconv.Itoa(int(f.DestinationPort()))}
		},
	},
	{
		name: "tcp",
		metric: catalog.Metric{Name: "hubble_tcp_flags_total", Kind: catalog.Counter, Labels: []string{"flag", "family"},
			Help: "TCP packets with SYN, SYN-ACK, FIN or RST that were let through and told as flows"},
		counts: func(_ Wanted, f *observe.Flow) bool { return f.IsTrace() && tcpFlag(f) != "" },
		detail: func(f *observe.Flow) uint16 { return uint16(f.Kernel.TCPFlags) },
		values: func(_ Wanted, f *observe.Flow, _ *flowpb.Flow) []string { return []string{tcpFlag(f), family(f)} },
	},
}

func kindOf(name string) *kind {
	for i := range kinds {
		if kinds[i].name == name {
			return &kinds[i]
		}
	}
	return nil
}

func kindNames() []string {
	var all []string
	for _, k := range kinds {
		all = append(all, k.name)
	}
	return all
}

// code packs what the values of labels depend on, beside the ends and the kind's detail.
func code(f *observe.Flow) uint64 {
	e := &f.Kernel
	packed := uint64(e.Type) | uint64(e.Point)<<4 | uint64(e.Reason)<<8 | uint64(e.Proto)<<24 | uint64(e.Family)<<32 |
		uint64(e.Side)<<36 | uint64(e.Reply&1)<<40 | uint64(e.Cause&abi.CauseNew)<<44
	if r := f.Rule; r != nil {
		packed |= 1 << 41
		if r.Policy != "" {
			packed |= 1 << 42
		}
		if r.Default {
			packed |= 1 << 43
		}
	}
	return packed
}

// toWorld chooses the flows of flows-to-world.
func toWorld(w Wanted, f *observe.Flow) bool {
	if !f.Destination.IsWorld() || f.Reply() == observe.ReplyTrue || !f.IsTrace() && !f.IsDrop() {
		return false
	}
	if f.IsDrop() && !f.ByPolicy() && !w.has("any-drop") {
		return false
	}
	return !w.has("syn-only") || tcpFlag(f) == "SYN"
}

func protocol(f *observe.Flow) string {
	if f.Kernel.Family == 0 {
		return "Unknown"
	}
	switch f.Kernel.Proto {
	case unix.IPPROTO_TCP:
		return "TCP"
	case unix.IPPROTO_UDP:
		return "UDP"
	case unix.IPPROTO_SCTP:
		return "SCTP"
	case unix.IPPROTO_ICMP:
		return "ICMPv4"
	case unix.IPPROTO_ICMPV6:
		return "ICMPv6"
	}
	return "Unknown"
}

func family(f *observe.Flow) string { return "IPv" + strconv.Itoa(int(f.Kernel.Family)) }

// tcpFlag is the flag by which a segment opens or ends a connection, empty of others.
func tcpFlag(f *observe.Flow) string {
	if f.Kernel.Family == 0 || f.Kernel.Proto != unix.IPPROTO_TCP {
		return ""
	}
	const fin, syn, rst, ack = 1, 2, 4, 16
	switch flags := f.Kernel.TCPFlags; {
	case flags&rst != 0:
		return "RST"
	case flags&fin != 0:
		return "FIN"
	case flags&(syn|ack) == syn|ack:
		return "SYN-ACK"
	case flags&syn != 0:
		return "SYN"
	}
	return ""
}

// points are the subtypes of traces that the programs tell, as Hubble's numbers.
var points = map[int32]string{
	0: "to-endpoint", 2: "to-host", 3: "to-stack", 5: "from-endpoint", 7: "from-host", 8: "from-stack", 10: "from-network", 11: "to-network",
}

// flowType names the type of a flow, and of a trace the point.
func flowType(m *flowpb.Flow) (kind, subtype string) {
	switch m.GetEventType().GetType() {
	case convert.TypeDrop:
		return "Drop", ""
	case convert.TypeTrace:
		return "Trace", points[m.GetEventType().GetSubType()]
	case convert.TypeVerdict:
		return "PolicyVerdict", ""
	}
	return "Unknown", ""
}

// matches are Hubble's ways in which a rule matched.
var matches = []string{"none", "l3-only", "l3-l4", "l4-only", "all", "l3-proto", "proto-only"}

func matchName(number uint32) string {
	if int(number) < len(matches) {
		return matches[number]
	}
	return "unknown"
}
