package observe

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
)

// filter is a checked api.EventFilter.
type filter struct {
	types     []string
	verdicts  []string
	endpoints []string
	protocols []string
	ports     []uint16
	prefixes  []netip.Prefix
	reasons   []string
	since     time.Time
}

// typeOf says which type of event has a verdict.
var typeOf = map[string]string{
	api.VerdictDropped: api.EventDrop, api.VerdictAllowed: api.EventVerdict, api.VerdictDenied: api.EventVerdict,
	api.VerdictForwarded: api.EventTrace, api.VerdictAudit: api.EventAudit, api.VerdictLearned: api.EventLearn,
}

// newFilter checks a filter. What it does not know is an error of api.CodeInvalid that lists what it knows.
func newFilter(f api.EventFilter) (*filter, error) {
	types := []string{api.EventDrop, api.EventVerdict, api.EventTrace, api.EventAudit, api.EventLearn}
	verdicts := []string{api.VerdictAllowed, api.VerdictDenied, api.VerdictDropped, api.VerdictForwarded, api.VerdictAudit,
		api.VerdictLearned}
	out := &filter{types: f.Types, verdicts: f.Verdicts, endpoints: f.Endpoints, ports: f.Ports, since: f.Since}
	if err := known("type", f.Types, types); err != nil {
		return nil, err
	}
	if err := known("verdict", f.Verdicts, verdicts); err != nil {
		return nil, err
	}
	for _, r := range f.Reasons {
		reason := strings.ToLower(strings.ReplaceAll(r, "_", " "))
		out.reasons = append(out.reasons, reason)
		if err := known("drop reason", []string{reason}, reasonNames()); err != nil {
			return nil, err
		}
	}
	for _, a := range f.Addresses {
		prefix, err := parsePrefix(a)
		if err != nil {
			return nil, api.Errorf(api.CodeInvalid, "filter events: %q is neither an address nor a CIDR", a)
		}
		out.prefixes = append(out.prefixes, prefix)
	}
	for _, p := range f.Protocols {
		name, err := protocolName(p)
		if err != nil {
			return nil, err
		}
		out.protocols = append(out.protocols, name)
	}
	if len(out.types) == 0 {
		out.types = defaultTypes(out)
	}
	if f.Last < 0 {
		return nil, api.Errorf(api.CodeInvalid, "filter events: last must not be negative")
	}
	return out, nil
}

// defaultTypes are the types of events that a filter without types means: those of its verdicts, else audits, and drops,
// which tell everything that a denied verdict tells.
func defaultTypes(f *filter) []string {
	if len(f.verdicts) == 0 {
		return []string{api.EventDrop, api.EventAudit}
	}
	var types []string
	for _, v := range f.verdicts {
		types = append(types, typeOf[v])
	}
	return types
}

func known(what string, values, all []string) error {
	for _, v := range values {
		if !slices.Contains(all, v) {
			return api.Errorf(api.CodeInvalid, "filter events: there is no %s %q, only %s", what, v, strings.Join(all, ", "))
		}
	}
	return nil
}

// reasonNames returns the names of all drop reasons in lower case.
func reasonNames() []string {
	var names []string
	for r := abi.DropNone + 1; r < abi.DropReasons; r++ {
		if r.Help() != "" {
			names = append(names, strings.ToLower(r.String()))
		}
	}
	return names
}

func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// protocolName returns a protocol as events call it, from its name or number.
func protocolName(s string) (string, error) {
	if n, err := strconv.ParseUint(s, 10, 8); err == nil {
		return protocol(uint8(n)), nil
	}
	name := strings.ToLower(s)
	for _, have := range protocols {
		if name == have {
			return name, nil
		}
	}
	return "", api.Errorf(api.CodeInvalid, "filter events: there is no protocol %q; name tcp, udp, icmp, icmpv6, sctp or a number", s)
}

func (f *filter) hasVerdict(v string) bool {
	return len(f.verdicts) == 0 || slices.Contains(f.verdicts, v)
}

// match reports whether a flow passes.
func (f *filter) match(flow *Flow) bool {
	return slices.Contains(f.types, flow.EventType()) && f.hasVerdict(flow.Verdict()) &&
		(len(f.protocols) == 0 || slices.Contains(f.protocols, flow.Protocol())) &&
		(len(f.reasons) == 0 || flow.Reason() != abi.DropNone && slices.Contains(f.reasons, strings.ToLower(flow.Reason().String()))) &&
		(len(f.ports) == 0 || slices.Contains(f.ports, flow.SourcePort()) || slices.Contains(f.ports, flow.DestinationPort())) &&
		(len(f.prefixes) == 0 || f.hasAddr(flow.Src()) || f.hasAddr(flow.Dst())) &&
		(len(f.endpoints) == 0 || f.hasParty(flow.Source) || f.hasParty(flow.Destination) || f.hasParty(flow.Endpoint)) &&
		(f.since.IsZero() || !flow.Time.Before(f.since))
}

func (f *filter) hasAddr(a netip.Addr) bool {
	return a.IsValid() && slices.ContainsFunc(f.prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// shortID is how many digits of an id other programs print.
const shortID = 12

// hasParty reports whether the filter names the party.
func (f *filter) hasParty(p *Party) bool {
	return p != nil && slices.ContainsFunc(f.endpoints, func(ref string) bool {
		if ref == "" {
			return false
		}
		if len(ref) >= shortID && (strings.HasPrefix(p.EndpointID, ref) || strings.HasPrefix(p.ContainerID, ref)) {
			return true
		}
		return ref == p.Container || (p.Service != "" && (ref == p.Service || ref == p.Project+"/"+p.Service))
	})
}
