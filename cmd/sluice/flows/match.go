package flows

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
)

// test tells whether a flow has what one field of a filter asks for.
type test func(f *flowpb.Flow) bool

// NewMatcher returns what a request's filters select, for flows that no server selects.
func NewMatcher(req *observerpb.GetFlowsRequest) (func(*flowpb.Flow) bool, error) {
	allow, err := compileAll(req.GetWhitelist())
	if err != nil {
		return nil, err
	}
	deny, err := compileAll(req.GetBlacklist())
	if err != nil {
		return nil, err
	}
	return func(f *flowpb.Flow) bool {
		return (len(allow) == 0 || anyOf(allow, f)) && !anyOf(deny, f)
	}, nil
}

func anyOf(tests []test, f *flowpb.Flow) bool {
	return slices.ContainsFunc(tests, func(t test) bool { return t(f) })
}

func compileAll(filters []*flowpb.FlowFilter) (all []test, err error) {
	for _, f := range filters {
		fields, err := compile(f)
		if err != nil {
			return nil, err
		}
		all = append(all, func(f *flowpb.Flow) bool {
			return !slices.ContainsFunc(fields, func(t test) bool { return !t(f) })
		})
	}
	return all, nil
}

// compile returns the tests that a filter consists of; all must pass.
func compile(w *flowpb.FlowFilter) ([]test, error) {
	if len(w.GetExperimental().GetCelExpression()) > 0 {
		return nil, fmt.Errorf("select flows of a file: CEL expressions are not supported there")
	}
	var all []test
	some := func(wanted bool, t test) {
		if wanted {
			all = append(all, t)
		}
	}
	some(len(w.GetUuid()) > 0, func(f *flowpb.Flow) bool { return slices.Contains(w.GetUuid(), f.GetUuid()) })
	some(len(w.GetVerdict()) > 0, func(f *flowpb.Flow) bool { return slices.Contains(w.GetVerdict(), f.GetVerdict()) })
	some(len(w.GetDropReasonDesc()) > 0, func(f *flowpb.Flow) bool {
		return slices.Contains(w.GetDropReasonDesc(), f.GetDropReasonDesc())
	})
	some(len(w.GetTrafficDirection()) > 0, func(f *flowpb.Flow) bool {
		return slices.Contains(w.GetTrafficDirection(), f.GetTrafficDirection())
	})
	some(len(w.GetIpVersion()) > 0, func(f *flowpb.Flow) bool {
		return slices.Contains(w.GetIpVersion(), f.GetIP().GetIpVersion())
	})
	some(len(w.GetReply()) > 0, func(f *flowpb.Flow) bool {
		return f.GetIsReply() != nil && slices.Contains(w.GetReply(), f.GetIsReply().GetValue())
	})
	some(len(w.GetEncrypted()) > 0, func(f *flowpb.Flow) bool { return slices.Contains(w.GetEncrypted(), f.GetIP().GetEncrypted()) })
	some(len(w.GetTraceId()) > 0, func(f *flowpb.Flow) bool {
		return slices.Contains(w.GetTraceId(), f.GetTraceContext().GetParent().GetTraceId())
	})
	some(len(w.GetIpTraceId()) > 0, func(f *flowpb.Flow) bool {
		return slices.Contains(w.GetIpTraceId(), f.GetIpTraceId().GetTraceId())
	})
	some(len(w.GetEventType()) > 0, func(f *flowpb.Flow) bool { return hasType(w.GetEventType(), f.GetEventType()) })
	some(len(w.GetProtocol()) > 0, func(f *flowpb.Flow) bool { return hasProtocol(w.GetProtocol(), f) })
	some(len(w.GetTcpFlags()) > 0, func(f *flowpb.Flow) bool { return hasTCPFlags(w.GetTcpFlags(), f.GetL4().GetTCP()) })
	some(len(w.GetInterface()) > 0, func(f *flowpb.Flow) bool { return hasInterface(w.GetInterface(), f.GetInterface()) })
	some(len(w.GetNodeName()) > 0, func(f *flowpb.Flow) bool { return hasNode(w.GetNodeName(), f.GetNodeName()) })
	some(len(w.GetNodeLabels()) > 0, func(f *flowpb.Flow) bool { return hasLabels(w.GetNodeLabels(), f.GetNodeLabels()) })
	ends, err := compileEnds(w)
	if err != nil {
		return nil, err
	}
	http, err := compileL7(w)
	return slices.Concat(all, ends, http), err
}

// compileEnds returns the tests about source and destination.
func compileEnds(w *flowpb.FlowFilter) (all []test, err error) {
	for _, at := range []struct {
		want endFields
		end  func(*flowpb.Flow) oneEnd
	}{{sourceOf(w), sourceEndOf}, {destinationOf(w), destinationEndOf}} {
		for _, e := range []struct {
			wanted int
			test   func(want endFields, have oneEnd) bool
		}{
			{len(*at.want.pod), func(want endFields, have oneEnd) bool {
				return slices.ContainsFunc(*want.pod, func(s string) bool {
					return parsePod(s).matches(have.endpoint.GetNamespace(), have.endpoint.GetPodName())
				})
			}},
			{len(*at.want.fqdn), func(want endFields, have oneEnd) bool { return hasDomain(*want.fqdn, have.domains) }},
			{len(*at.want.label), func(want endFields, have oneEnd) bool { return hasLabels(*want.label, have.endpoint.GetLabels()) }},
			{len(*at.want.port), func(want endFields, have oneEnd) bool {
				return slices.Contains(*want.port, strconv.Itoa(int(have.port)))
			}},
			{len(*at.want.clusters), func(want endFields, have oneEnd) bool {
				return slices.Contains(*want.clusters, have.endpoint.GetClusterName())
			}},
			{len(*at.want.workload), func(want endFields, have oneEnd) bool {
				return hasWorkload(*want.workload, have.endpoint.GetWorkloads())
			}},
			{len(*at.want.identity), func(want endFields, have oneEnd) bool {
				return slices.Contains(*want.identity, have.endpoint.GetIdentity())
			}},
		} {
			if e.wanted > 0 {
				all = append(all, func(f *flowpb.Flow) bool { return e.test(at.want, at.end(f)) })
			}
		}
		addresses, err := compileAddresses(*at.want.ip, func(f *flowpb.Flow) string { return at.end(f).addr })
		if err != nil {
			return nil, err
		}
		all = append(all, addresses...)
	}
	translated, err := compileAddresses(w.GetSourceIpXlated(), func(f *flowpb.Flow) string { return f.GetIP().GetSourceXlated() })
	all = append(all, translated...)
	if len(w.GetSourceService()) > 0 {
		all = append(all, func(f *flowpb.Flow) bool { return hasService(w.GetSourceService(), f.GetSourceService()) })
	}
	if len(w.GetDestinationService()) > 0 {
		all = append(all, func(f *flowpb.Flow) bool { return hasService(w.GetDestinationService(), f.GetDestinationService()) })
	}
	return all, err
}

// oneEnd is what a flow says of one end.
type oneEnd struct {
	addr     string
	port     uint32
	endpoint *flowpb.Endpoint
	domains  []string
}

func sourceEndOf(f *flowpb.Flow) oneEnd {
	port, _ := ports(f.GetL4())
	return oneEnd{f.GetIP().GetSource(), port, f.GetSource(), f.GetSourceNames()}
}

func destinationEndOf(f *flowpb.Flow) oneEnd {
	_, port := ports(f.GetL4())
	return oneEnd{f.GetIP().GetDestination(), port, f.GetDestination(), f.GetDestinationNames()}
}

func compileAddresses(wanted []string, of func(*flowpb.Flow) string) ([]test, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	var prefixes []netip.Prefix
	for _, s := range wanted {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return nil, fmt.Errorf("select flows by address %q: it is neither an address nor a CIDR", s)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		prefixes = append(prefixes, p.Masked())
	}
	return []test{func(f *flowpb.Flow) bool {
		a, err := netip.ParseAddr(of(f))
		return err == nil && slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	}}, nil
}

func hasType(wanted []*flowpb.EventTypeFilter, have *flowpb.CiliumEventType) bool {
	return slices.ContainsFunc(wanted, func(w *flowpb.EventTypeFilter) bool {
		return have != nil && w.GetType() == have.GetType() && (!w.GetMatchSubType() || w.GetSubType() == have.GetSubType())
	})
}

// hasProtocol tells whether a flow is of one of the protocols: transports, http, dns.
func hasProtocol(wanted []string, f *flowpb.Flow) bool {
	var have []string
	switch f.GetL4().GetProtocol().(type) {
	case *flowpb.Layer4_TCP:
		have = append(have, "tcp")
	case *flowpb.Layer4_UDP:
		have = append(have, "udp")
	case *flowpb.Layer4_SCTP:
		have = append(have, "sctp")
	case *flowpb.Layer4_ICMPv4:
		have = append(have, "icmp", "icmpv4")
	case *flowpb.Layer4_ICMPv6:
		have = append(have, "icmp", "icmpv6")
	case *flowpb.Layer4_IGMP:
		have = append(have, "igmp")
	case *flowpb.Layer4_VRRP:
		have = append(have, "vrrp")
	}
	if f.GetL7().GetDns() != nil {
		have = append(have, "dns")
	}
	if f.GetL7().GetHttp() != nil {
		have = append(have, "http")
	}
	return slices.ContainsFunc(wanted, func(w string) bool { return slices.Contains(have, strings.ToLower(w)) })
}

// hasTCPFlags tells whether a segment has all flags of one of the sets.
func hasTCPFlags(wanted []*flowpb.TCPFlags, have *flowpb.TCP) bool {
	if have == nil {
		return false
	}
	fields := (&flowpb.TCPFlags{}).ProtoReflect().Descriptor().Fields()
	return slices.ContainsFunc(wanted, func(w *flowpb.TCPFlags) bool {
		for i := range fields.Len() {
			if w.ProtoReflect().Get(fields.Get(i)).Bool() && !have.GetFlags().ProtoReflect().Get(fields.Get(i)).Bool() {
				return false
			}
		}
		return true
	})
}

func hasInterface(wanted []*flowpb.NetworkInterface, have *flowpb.NetworkInterface) bool {
	return slices.ContainsFunc(wanted, func(w *flowpb.NetworkInterface) bool {
		return have != nil && (w.GetName() == "" || w.GetName() == have.GetName()) && (w.GetIndex() == 0 || w.GetIndex() == have.GetIndex())
	})
}

// hasNode matches CLUSTER/NODE with wildcards.
func hasNode(wanted []string, have string) bool {
	return slices.ContainsFunc(wanted, func(w string) bool {
		name := have
		if !strings.Contains(w, "/") {
			name = path.Base(have)
		}
		matched, err := path.Match(w, name)
		return err == nil && matched
	})
}

func hasService(wanted []string, have *flowpb.Service) bool {
	return slices.ContainsFunc(wanted, func(w string) bool { return parsePod(w).matches(have.GetNamespace(), have.GetName()) })
}

func hasWorkload(wanted, have []*flowpb.Workload) bool {
	return slices.ContainsFunc(wanted, func(w *flowpb.Workload) bool {
		return slices.ContainsFunc(have, func(h *flowpb.Workload) bool {
			return (w.GetName() == "" || w.GetName() == h.GetName()) && (w.GetKind() == "" || strings.EqualFold(w.GetKind(), h.GetKind()))
		})
	})
}

// hasDomain matches with * for any part of a name.
func hasDomain(wanted, have []string) bool {
	return slices.ContainsFunc(wanted, func(w string) bool {
		pattern := "(?i)^" + strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSuffix(w, ".")), `\*`, ".*") + `\.?$`
		re, err := regexp.Compile(pattern)
		return err == nil && slices.ContainsFunc(have, re.MatchString)
	})
}
