package integration

import (
	"net/netip"
	"slices"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

type flow = flowpb.Flow

// filterCase is one set of filters as a client takes them, and what they mean, said of the flows that it prints.
type filterCase struct {
	args    string   // split at blanks
	quoted  []string // further ones, as they are
	match   func(*flow) bool
	newOnly bool // the older client does not know it
	both    bool // the older client is asked, too
}

// either reports whether one of the ends is as f says.
func either(f func(e *flowpb.Endpoint) bool) func(*flow) bool {
	return func(x *flow) bool { return f(x.GetSource()) || f(x.GetDestination()) }
}

func from(f func(e *flowpb.Endpoint) bool) func(*flow) bool {
	return func(x *flow) bool { return f(x.GetSource()) }
}

func to(f func(e *flowpb.Endpoint) bool) func(*flow) bool {
	return func(x *flow) bool { return f(x.GetDestination()) }
}

func and(all ...func(*flow) bool) func(*flow) bool {
	return func(x *flow) bool {
		return !slices.ContainsFunc(all, func(f func(*flow) bool) bool { return !f(x) })
	}
}

func or(all ...func(*flow) bool) func(*flow) bool {
	return func(x *flow) bool { return slices.ContainsFunc(all, func(f func(*flow) bool) bool { return f(x) }) }
}

func not(f func(*flow) bool) func(*flow) bool { return func(x *flow) bool { return !f(x) } }

func podIs(namespace, prefix string) func(*flowpb.Endpoint) bool {
	return func(e *flowpb.Endpoint) bool {
		return e.GetPodName() != "" && (namespace == "" || e.GetNamespace() == namespace) && strings.HasPrefix(e.GetPodName(), prefix)
	}
}

func namespaceIs(name string) func(*flowpb.Endpoint) bool {
	return func(e *flowpb.Endpoint) bool { return e.GetNamespace() == name }
}

func identityIs(id uint32) func(*flowpb.Endpoint) bool {
	return func(e *flowpb.Endpoint) bool { return e.GetIdentity() == id }
}

func labelIs(text string) func(*flowpb.Endpoint) bool {
	return func(e *flowpb.Endpoint) bool {
		return slices.ContainsFunc(e.GetLabels(), func(l string) bool {
			_, plain, _ := strings.Cut(l, ":")
			return l == text || plain == text
		})
	}
}

func hasLabel(key string) func(*flowpb.Endpoint) bool {
	return func(e *flowpb.Endpoint) bool {
		return slices.ContainsFunc(e.GetLabels(), func(l string) bool {
			_, plain, _ := strings.Cut(l, ":")
			name, _, _ := strings.Cut(plain, "=")
			return name == key
		})
	}
}

func workloadIs(name string) func(*flowpb.Endpoint) bool {
	return func(e *flowpb.Endpoint) bool {
		return slices.ContainsFunc(e.GetWorkloads(), func(w *flowpb.Workload) bool { return w.GetName() == name })
	}
}

func verdictIs(v flowpb.Verdict) func(*flow) bool {
	return func(x *flow) bool { return x.GetVerdict() == v }
}

func typeIs(t int32) func(*flow) bool {
	return func(x *flow) bool { return x.GetEventType().GetType() == t }
}

func subtypeIs(t, sub int32) func(*flow) bool {
	return func(x *flow) bool { return x.GetEventType().GetType() == t && x.GetEventType().GetSubType() == sub }
}

func reasonIs(r flowpb.DropReason) func(*flow) bool {
	return func(x *flow) bool { return x.GetDropReasonDesc() == r }
}

func ports(x *flow) (source, destination uint32) {
	switch {
	case x.GetL4().GetTCP() != nil:
		return x.GetL4().GetTCP().GetSourcePort(), x.GetL4().GetTCP().GetDestinationPort()
	case x.GetL4().GetUDP() != nil:
		return x.GetL4().GetUDP().GetSourcePort(), x.GetL4().GetUDP().GetDestinationPort()
	}
	return 0, 0
}

func portIs(n uint32) func(*flow) bool {
	return func(x *flow) bool { s, d := ports(x); return s == n || d == n }
}

func toPort(n uint32) func(*flow) bool {
	return func(x *flow) bool { _, d := ports(x); return d == n }
}

func fromPort(n uint32) func(*flow) bool {
	return func(x *flow) bool { s, _ := ports(x); return s == n }
}

func isTCP(x *flow) bool   { return x.GetL4().GetTCP() != nil }
func isUDP(x *flow) bool   { return x.GetL4().GetUDP() != nil }
func isICMP4(x *flow) bool { return x.GetL4().GetICMPv4() != nil }
func isICMP6(x *flow) bool { return x.GetL4().GetICMPv6() != nil }
func isV4(x *flow) bool    { return x.GetIP().GetIpVersion() == flowpb.IPVersion_IPv4 }
func isV6(x *flow) bool    { return x.GetIP().GetIpVersion() == flowpb.IPVersion_IPv6 }
func isNothing(*flow) bool { return false }
func isAny(*flow) bool     { return true }

func within(prefix, addr string) bool {
	p, a := netip.MustParsePrefix(prefix), netip.Addr{}
	a, err := netip.ParseAddr(addr)
	return err == nil && p.Contains(a)
}

func fromIP(prefix string) func(*flow) bool {
	return func(x *flow) bool { return within(prefix, x.GetIP().GetSource()) }
}

func toIP(prefix string) func(*flow) bool {
	return func(x *flow) bool { return within(prefix, x.GetIP().GetDestination()) }
}

func translatedTo(prefix string) func(*flow) bool {
	return func(x *flow) bool { return within(prefix, x.GetIP().GetSourceXlated()) }
}

func direction(d flowpb.TrafficDirection) func(*flow) bool {
	return func(x *flow) bool { return x.GetTrafficDirection() == d }
}

func replies(want bool) func(*flow) bool {
	return func(x *flow) bool {
		return (x.GetIsReply() != nil || x.GetVerdict() == flowpb.Verdict_DROPPED) && x.GetIsReply().GetValue() == want
	}
}

func flags(all ...func(*flowpb.TCPFlags) bool) func(*flow) bool {
	return func(x *flow) bool {
		f := x.GetL4().GetTCP().GetFlags()
		return f != nil && !slices.ContainsFunc(all, func(g func(*flowpb.TCPFlags) bool) bool { return !g(f) })
	}
}
