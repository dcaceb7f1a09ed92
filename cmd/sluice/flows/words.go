package flows

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/types/known/structpb"
)

// ends returns who speaks to whom.
func (p *Printer) ends(f *flowpb.Flow) (source, destination string) {
	if f.GetIP() == nil {
		return p.paint.host(clean(f.GetEthernet().GetSource())), p.paint.host(clean(f.GetEthernet().GetDestination()))
	}
	from, to := ports(f.GetL4())
	return p.end(f.GetIP().GetSource(), from, f.GetSource(), f.GetSourceService(), f.GetSourceNames()),
		p.end(f.GetIP().GetDestination(), to, f.GetDestination(), f.GetDestinationService(), f.GetDestinationNames())
}

// end returns shop/web:80 of a compose service, the container's name of another container, the domain or the address of
// whom the world or the host has, with what it is.
func (p *Printer) end(addr string, port uint32, e *flowpb.Endpoint, service *flowpb.Service, domains []string) string {
	text, entity := clean(p.name(e, service, domains)), ""
	if text == "" {
		text = addr
	}
	if port != 0 {
		text = p.paint.host(bracket(text)) + ":" + p.paint.port(strconv.Itoa(int(port)))
	} else {
		text = p.paint.host(text)
	}
	switch n := e.GetIdentity(); {
	case p.o.Numeric:
		entity = fmt.Sprintf(" (ID:%d)", n)
	case n > 0 && int(n) < len(reserved):
		entity = " (" + reserved[n] + ")"
	}
	return text + p.paint.identity(entity)
}

// bracket puts what has colons into brackets, so that a port can follow.
func bracket(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// name returns what people call an end, empty if it has no name.
func (p *Printer) name(e *flowpb.Endpoint, service *flowpb.Service, domains []string) string {
	if p.o.Numeric || !p.o.Names {
		return ""
	}
	switch {
	case e.GetPodName() != "":
		return container(e)
	case service.GetName() != "":
		return inNamespace(service.GetNamespace(), service.GetName())
	}
	return strings.Join(domains, ",")
}

// container returns project/service of a service's only container, project/service(container) of one of several, and the
// name of one that compose did not make.
func container(e *flowpb.Endpoint) string {
	project, name := e.GetNamespace(), e.GetPodName()
	if len(e.GetWorkloads()) == 0 || e.GetWorkloads()[0].GetName() == "" {
		return inNamespace(project, name)
	}
	service := e.GetWorkloads()[0].GetName()
	text := inNamespace(project, service)
	if name == service || name == project+"-"+service+"-1" {
		return text
	}
	return text + "(" + name + ")"
}

func inNamespace(namespace, name string) string {
	if namespace == "" || namespace == defaultNamespace {
		return name
	}
	return namespace + "/" + name
}

func ports(l *flowpb.Layer4) (source, destination uint32) {
	switch l := l.GetProtocol().(type) {
	case *flowpb.Layer4_TCP:
		return l.TCP.GetSourcePort(), l.TCP.GetDestinationPort()
	case *flowpb.Layer4_UDP:
		return l.UDP.GetSourcePort(), l.UDP.GetDestinationPort()
	case *flowpb.Layer4_SCTP:
		return l.SCTP.GetSourcePort(), l.SCTP.GetDestinationPort()
	}
	return 0, 0
}

// kind returns what a flow is about: where the packet was, why it was dropped, which policy was asked.
func kind(f *flowpb.Flow) string {
	if l7 := f.GetL7(); l7 != nil {
		name := "l7"
		switch l7.GetRecord().(type) {
		case *flowpb.Layer7_Http:
			name = "http"
		case *flowpb.Layer7_Dns:
			name = "dns"
		}
		return name + "-" + strings.ToLower(l7.GetType().String())
	}
	sub := f.GetEventType().GetSubType()
	switch f.GetEventType().GetType() {
	case typeTrace:
		if int(sub) < len(tracePoints) && sub >= 0 {
			return tracePoints[sub]
		}
		return "trace"
	case typeDrop:
		return reason(f)
	case typePolicyVerdict:
		return "policy-verdict:" + matchType(f.GetPolicyMatchType()) + " " + f.GetTrafficDirection().String()
	case typeTraceSock:
		return "trace-sock"
	case typeCapture:
		return "capture"
	}
	return strings.ToLower(f.GetType().String())
}

// reason names a drop: "Policy denied".
func reason(f *flowpb.Flow) string {
	r := f.GetDropReasonDesc()
	if r == 0 {
		r = flowpb.DropReason(f.GetEventType().GetSubType())
	}
	text := strings.ToLower(strings.ReplaceAll(r.String(), "_", " "))
	if own := clean(more(f)["reason"].GetStringValue()); own != "" {
		text = own
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// matchTypes says what of a packet the deciding rule was about.
var matchTypes = []string{"none", "L3-Only", "L3-L4", "L4-Only", "all", "L3-Proto", "Proto-Only"}

func matchType(n uint32) string {
	if int(n) < len(matchTypes) {
		return matchTypes[n]
	}
	return "unknown"
}

// verdict returns the verdict, of policies with their names.
func (p *Printer) verdict(f *flowpb.Flow) string {
	v := f.GetVerdict()
	word := v.String()
	allowed, denied := f.GetIngressAllowedBy(), f.GetIngressDeniedBy()
	if f.GetTrafficDirection() == flowpb.TrafficDirection_EGRESS {
		allowed, denied = f.GetEgressAllowedBy(), f.GetEgressDeniedBy()
	}
	policy := f.GetEventType().GetType() == typePolicyVerdict
	switch v {
	case flowpb.Verdict_FORWARDED, flowpb.Verdict_REDIRECTED:
		if policy {
			word = "ALLOWED" + p.by(allowed)
		}
		return p.paint.forwarded(word)
	case flowpb.Verdict_DROPPED, flowpb.Verdict_ERROR:
		if policy {
			word = "DENIED"
		}
		return p.paint.dropped(word + p.by(denied))
	case flowpb.Verdict_AUDIT:
		if policy {
			word = "AUDITED"
		}
		return p.paint.audit(word + p.by(denied))
	}
	return word
}

// by names policies.
func (p *Printer) by(policies []*flowpb.Policy) string {
	if !p.o.Policies {
		return ""
	}
	var names []string
	for _, policy := range policies {
		if policy.GetName() != "" {
			names = append(names, strings.TrimSpace(clean(policy.GetName())+" "+rule(policy)))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " BY " + strings.Join(names, ", ")
}

// rule is the place in the policy that decided, as Sluice's daemons tell it.
func rule(p *flowpb.Policy) string {
	for _, l := range p.GetLabels() {
		if place, ok := strings.CutPrefix(l, "sluice:rule="); ok {
			return clean(place)
		}
	}
	return ""
}

// summary returns what else there is to say, with what a connection carried that goes on or is over.
func summary(f *flowpb.Flow) string {
	var parts []string
	if id := f.GetIpTraceId().GetTraceId(); id > 0 {
		parts = append(parts, fmt.Sprintf("IP trace %d", id))
	}
	if text := clean(f.GetSummary()); text != "" { //nolint:staticcheck // Hubble's clients print it
		parts = append(parts, text)
	}
	x := more(f)
	if told(x["cause"], "closed") || told(x["cause"], "time") {
		parts = append(parts, fmt.Sprintf("%s sent, %s received in %s", Size(x["bytesSent"].GetNumberValue()),
			Size(x["bytesReceived"].GetNumberValue()), age(x["ageSeconds"].GetNumberValue())))
	}
	if told(x["cause"], "closed") {
		parts = append(parts, "closed")
	}
	return strings.Join(parts, ", ")
}

// more returns what Sluice's daemons tell beside Hubble's own fields, nil if nothing.
func more(f *flowpb.Flow) map[string]*structpb.Value {
	var s structpb.Struct
	if !f.GetExtensions().MessageIs(&s) || f.GetExtensions().UnmarshalTo(&s) != nil {
		return nil
	}
	return s.GetFields()
}

func told(list *structpb.Value, word string) bool {
	return slices.ContainsFunc(list.GetListValue().GetValues(), func(v *structpb.Value) bool { return v.GetStringValue() == word })
}

func age(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// Size writes bytes with a binary unit.
func Size(bytes float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for bytes >= 1024 && i < len(units)-1 {
		bytes, i = bytes/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%.0f B", bytes)
	}
	return fmt.Sprintf("%.1f %s", bytes, units[i])
}
