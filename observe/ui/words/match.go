package words

import (
	"net/netip"
	"strings"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/ui/servicemap"
)

// Verdict says what became of a flow, in Hubble's words: forwarded, dropped or audit; empty where flows were lost.
func Verdict(f *observe.Flow) string {
	switch f.Verdict() {
	case api.VerdictAudit:
		return "audit"
	case api.VerdictDropped, api.VerdictDenied:
		return "dropped"
	case "":
		return ""
	}
	return "forwarded"
}

var verdicts = map[string]func(*observe.Flow) bool{
	"forwarded": func(f *observe.Flow) bool { return Verdict(f) == "forwarded" },
	"allowed":   func(f *observe.Flow) bool { return Verdict(f) == "forwarded" },
	"dropped":   func(f *observe.Flow) bool { return Verdict(f) == "dropped" },
	"denied":    func(f *observe.Flow) bool { return Verdict(f) == "dropped" && f.ByPolicy() },
	"audit":     func(f *observe.Flow) bool { return Verdict(f) == "audit" },
}

var types = map[string]func(*observe.Flow) bool{
	"trace":          (*observe.Flow).IsTrace,
	"drop":           (*observe.Flow).IsDrop,
	"policy-verdict": (*observe.Flow).IsVerdict,
	"audit":          func(f *observe.Flow) bool { return f.EventType() == api.EventAudit },
	"learn":          func(f *observe.Flow) bool { return f.EventType() == api.EventLearn },
}

// Match reports whether a flow fits. What policies said of a packet is left out unless types are asked for: the flow that
// says what became of it names the policy too.
func (f Filter) Match(flow *observe.Flow) bool {
	if flow.IsLost() {
		return true // no filter's business
	}
	if !f.types && flow.IsVerdict() && flow.EventType() != api.EventAudit {
		return false
	}
	for _, t := range f.terms {
		if t.match(flow) == t.not {
			return false
		}
	}
	return true
}

func (t term) match(f *observe.Flow) bool {
	for _, v := range t.values {
		switch {
		case t.key == "" && free(f, v.text),
			v.is != nil && v.is(f),
			v.is == nil && t.key != "" && t.side != destination && v.end(t.key, f, true),
			v.is == nil && t.key != "" && t.side != source && v.end(t.key, f, false):
			return true
		}
	}
	return false
}

// end reports whether the value fits an end of a flow, or, for keys of a whole flow, the flow.
func (v value) end(key string, f *observe.Flow, atSource bool) bool {
	party, addr, port, domains := f.Destination, f.Dst(), f.DestinationPort(), f.DestinationNames
	if atSource {
		party, addr, port, domains = f.Source, f.Src(), f.SourcePort(), f.SourceNames
	}
	switch key {
	case "pod":
		return v.like(party.Container) || party.Project != "" && v.like(party.Project+"/"+party.Container)
	case "namespace":
		return v.like(party.Namespace())
	case "service":
		return v.like(party.Service) || party.Project != "" && v.like(party.Project+"/"+party.Service)
	case "ip":
		return addr.IsValid() && v.prefix.Contains(addr)
	case "port":
		return f.HasPorts() && uint64(port) == v.number
	case "label":
		return v.label(party.Labels)
	case "identity":
		return uint64(party.Identity) == v.number
	case "dns":
		for _, d := range domains {
			if v.like(d) {
				return true
			}
		}
		return false
	case "any":
		return v.anyName(party, addr, domains)
	}
	return v.flow(key, f)
}

// flow reports whether the value fits a flow as a whole.
func (v value) flow(key string, f *observe.Flow) bool {
	switch key {
	case "protocol":
		p := f.Protocol()
		return v.like(p) || v.text == "icmp" && p == "icmpv6" || v.text == "icmpv4" && p == "icmp"
	case "reason":
		return v.like(strings.ToLower(servicemap.Reason(f))) || v.like(strings.ReplaceAll(servicemap.Reason(f), " ", "_"))
	case "policy":
		return f.Rule != nil && (v.like(f.Rule.Policy) || v.like(f.Rule.Policy+"/"+f.Rule.Place))
	case "reply":
		return (f.Reply() == observe.ReplyTrue) == (v.text == "true")
	case "network":
		return v.like(f.Source.Network) || v.like(f.Destination.Network)
	case "seq":
		return f.Seq == v.number
	}
	return false
}

// anyName is what from: and to: compare with.
func (v value) anyName(p *observe.Party, addr netip.Addr, domains []string) bool {
	if prefix, err := parsePrefix(v.text); err == nil {
		return addr.IsValid() && prefix.Contains(addr)
	}
	for _, name := range append([]string{p.Container, p.Service, p.Project, p.Entity, "@" + p.Entity, p.Project + "/" + p.Service}, domains...) {
		if v.like(name) {
			return true
		}
	}
	return false
}

// label compares with key, key=value or a pattern of either.
func (v value) label(labels map[string]string) bool {
	key, want, hasValue := strings.Cut(v.text, "=")
	for k, have := range labels {
		if strings.ToLower(k) == key && (!hasValue || glob(strings.Split(want, "*"), strings.ToLower(have))) {
			return true
		}
	}
	return false
}

// like compares with a name; * stands for any text.
func (v value) like(name string) bool { return name != "" && glob(v.pattern, strings.ToLower(name)) }

// glob matches a pattern that is cut at its stars.
func glob(pattern []string, text string) bool {
	first, last := pattern[0], pattern[len(pattern)-1]
	if len(pattern) == 1 {
		return text == first
	}
	if len(text) < len(first)+len(last) || !strings.HasPrefix(text, first) || !strings.HasSuffix(text, last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range pattern[1 : len(pattern)-1] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return true
}

// free looks for text in everything that a line of the table shows.
func free(f *observe.Flow, text string) bool {
	for _, p := range []*observe.Party{f.Source, f.Destination} {
		for _, s := range []string{p.Container, p.Service, p.Project, p.Network, p.Entity, p.Image} {
			if strings.Contains(strings.ToLower(s), text) {
				return true
			}
		}
	}
	for _, s := range append([]string{f.Protocol(), servicemap.Reason(f), f.Src().String(), f.Dst().String()},
		append(f.SourceNames, f.DestinationNames...)...) {
		if strings.Contains(strings.ToLower(s), text) {
			return true
		}
	}
	return f.Rule != nil && strings.Contains(strings.ToLower(f.Rule.Policy+"/"+f.Rule.Place), text)
}
