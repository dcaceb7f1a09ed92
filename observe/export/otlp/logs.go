package otlp

import (
	"fmt"
	"strings"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"

	"github.com/sluice-net/sluice/observe/export/sink"
)

// The names of events.
const (
	eventFlow = "hubble.flow"
	eventLost = "hubble.lost"
)

// logOf makes a log record of a flow, which is sent now.
func logOf(r sink.Record, now time.Time) *logs.LogRecord {
	out := &logs.LogRecord{
		TimeUnixNano: uint64(r.Flow.Time.UnixNano()), ObservedTimeUnixNano: uint64(now.UnixNano()), EventName: eventFlow,
	}
	if r.Lost != nil {
		var a attributes
		a.number("hubble.lost.count", r.Lost.GetNumEventsLost())
		a.text("hubble.lost.source", lower(r.Lost.GetSource().String()))
		out.EventName, out.Attributes = eventLost, a
		out.SeverityNumber, out.SeverityText = logs.SeverityNumber_SEVERITY_NUMBER_WARN, "WARN"
		out.Body = textValue(fmt.Sprintf("%d flows lost: %s", r.Lost.GetNumEventsLost(), r.Lost.GetSource()))
		return out
	}
	out.SeverityNumber, out.SeverityText = severity(r.Hubble.GetVerdict())
	out.Body = textValue(sentence(r.Hubble))
	a := describe(r, false)
	a.judged(r)
	out.Attributes = a
	if id := traceID(r); id != nil {
		out.TraceId, out.SpanId = id, spanID(id, r)
	}
	return out
}

// judged adds what became of the packet, and by which policy.
func (a *attributes) judged(r sink.Record) {
	f := r.Hubble
	a.text("hubble.uuid", f.GetUuid())
	if v := f.GetVerdict(); v != flowpb.Verdict_VERDICT_UNKNOWN {
		a.text("hubble.verdict", lower(v.String()))
	}
	if reason := f.GetDropReasonDesc(); reason != flowpb.DropReason_DROP_REASON_UNKNOWN {
		a.text("hubble.drop_reason", lower(reason.String()))
	}
	a.text("hubble.event_type", eventType(f))
	if f.GetIsReply() != nil {
		a.boolean("hubble.is_reply", f.GetIsReply().GetValue())
	}
	a.text("hubble.summary", f.GetSummary()) //nolint:staticcheck // what Hubble's clients print
	for _, side := range []struct {
		key  string
		list []*flowpb.Policy
	}{
		{"hubble.egress_allowed_by", f.GetEgressAllowedBy()}, {"hubble.ingress_allowed_by", f.GetIngressAllowedBy()},
		{"hubble.egress_denied_by", f.GetEgressDeniedBy()}, {"hubble.ingress_denied_by", f.GetIngressDeniedBy()},
	} {
		a.texts(side.key, policyNames(side.list))
		if len(side.list) > 0 && r.Flow.Rule != nil {
			a.text("hubble.policy.rule", r.Flow.Rule.Place)
		}
	}
}

func policyNames(list []*flowpb.Policy) (names []string) {
	for _, p := range list {
		name := p.GetName()
		if p.GetNamespace() != "" {
			name = p.GetNamespace() + "/" + name
		}
		names = append(names, name)
	}
	return names
}

// eventTypes are the kinds of events that flows come from (Cilium's numbers).
var eventTypes = map[int32]string{1: "drop", 4: "trace", 5: "policy-verdict", 7: "trace-sock", 129: "l7"}

func eventType(f *flowpb.Flow) string { return eventTypes[f.GetEventType().GetType()] }

// severity tells how bad a verdict is.
func severity(v flowpb.Verdict) (logs.SeverityNumber, string) {
	switch v {
	case flowpb.Verdict_DROPPED:
		return logs.SeverityNumber_SEVERITY_NUMBER_WARN, "WARN"
	case flowpb.Verdict_ERROR:
		return logs.SeverityNumber_SEVERITY_NUMBER_ERROR, "ERROR"
	case flowpb.Verdict_AUDIT:
		return logs.SeverityNumber_SEVERITY_NUMBER_INFO2, "INFO2"
	}
	return logs.SeverityNumber_SEVERITY_NUMBER_INFO, "INFO"
}

// sentence says a flow in a line, for people.
func sentence(f *flowpb.Flow) string {
	source, destination := endsOf(f, false)
	name, _, _ := transport(f)
	words := []string{name, source.String(), "->", destination.String()}
	if v := f.GetVerdict(); v != flowpb.Verdict_VERDICT_UNKNOWN {
		words = append(words, v.String())
	}
	if reason := f.GetDropReasonDesc(); reason != flowpb.DropReason_DROP_REASON_UNKNOWN {
		words = append(words, "("+reason.String()+")")
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

// String names an end, as Hubble's clients do.
func (e end) String() string {
	name := e.address
	switch {
	case e.endpoint.GetPodName() != "":
		name = e.endpoint.GetNamespace() + "/" + e.endpoint.GetPodName()
	case len(e.names) > 0:
		name = e.names[0]
	}
	if name == "" {
		name = "?"
	}
	if e.port != 0 {
		name = fmt.Sprintf("%s:%d", name, e.port)
	}
	return name
}

// lower writes a name of an enumeration as attributes have it.
func lower(s string) string { return strings.ToLower(s) }
