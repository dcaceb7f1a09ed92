package syslog

import (
	"fmt"
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/export/sink"
)

// The header of every event (CEF, revision 25): CEF:0|vendor|product|version|class|name|severity|extension.
const cefHead = "CEF:0|Sluice|sluiced|"

// cef appends an event in the Common Event Format.
func cef(b []byte, version string, r sink.Record) []byte {
	class, name, severity := cefClass(r)
	b = append(b, cefHead...)
	for _, field := range []string{version, class, name} {
		b = append(appendHeader(b, field), '|')
	}
	b = strconv.AppendInt(b, int64(severity), 10)
	b = append(b, '|')
	e := &extension{b: b}
	e.add("rt", millis(r.Flow.Time))
	e.add("dvchost", r.Node)
	if r.Lost != nil {
		e.add("cnt", number(r.Lost.GetNumEventsLost()))
		e.add("reason", r.Lost.GetSource().String())
		return e.b
	}
	e.flow(r.Hubble)
	e.totals(r)
	return e.b
}

// cefClass returns what identifies the kind of an event, its description, and how bad it is, from 0 to 10.
func cefClass(r sink.Record) (class, name string, severity int) {
	if r.Lost != nil {
		return "lost", "Flows lost", 5
	}
	f := r.Hubble
	switch f.GetVerdict() {
	case flowpb.Verdict_DROPPED:
		class = "dropped"
		if reason := f.GetDropReasonDesc(); reason != flowpb.DropReason_DROP_REASON_UNKNOWN {
			class = strings.ToLower(reason.String())
		}
		return class, "Packet dropped", 6
	case flowpb.Verdict_AUDIT:
		return "audit", "Packet that policy would deny", 4
	case flowpb.Verdict_ERROR:
		return "error", "Error", 7
	case flowpb.Verdict_VERDICT_UNKNOWN:
		return "flow", "Flow", 1
	}
	return strings.ToLower(f.GetVerdict().String()), "Flow " + strings.ToLower(f.GetVerdict().String()), 1
}

// extension is the list of a CEF event's fields.
type extension struct {
	b     []byte
	begun bool
}

// add appends a field, unless it is empty.
func (e *extension) add(key, value string) {
	if value == "" {
		return
	}
	if e.begun {
		e.b = append(e.b, ' ')
	}
	e.begun = true
	e.b = append(append(e.b, key...), '=')
	e.b = appendValue(e.b, value)
}

// custom appends one of the six fields that a vendor may name (csN, csNLabel).
func (e *extension) custom(n int, label, value string) {
	if value != "" {
		key := "cs" + strconv.Itoa(n)
		e.add(key, value)
		e.add(key+"Label", label)
	}
}

func (e *extension) flow(f *flowpb.Flow) {
	e.add("act", strings.ToLower(verdict(f)))
	if reason := f.GetDropReasonDesc(); reason != flowpb.DropReason_DROP_REASON_UNKNOWN {
		e.add("reason", reason.String())
	}
	protocol, sport, dport := transport(f)
	e.add("proto", protocol)
	if f.GetIP().GetIpVersion() == flowpb.IPVersion_IPv6 { // src and dst are IPv4 addresses
		e.address(2, "Source IPv6 Address", f.GetIP().GetSource())
		e.address(3, "Destination IPv6 Address", f.GetIP().GetDestination())
	} else {
		e.add("src", f.GetIP().GetSource())
		e.add("dst", f.GetIP().GetDestination())
	}
	e.add("spt", number(uint64(sport)))
	e.add("dpt", number(uint64(dport)))
	if f.GetIP().GetIpVersion() != flowpb.IPVersion_IPv6 {
		e.add("sourceTranslatedAddress", f.GetIP().GetSourceXlated())
	}
	e.add("shost", party(f.GetSource(), f.GetSourceNames()))
	e.add("dhost", party(f.GetDestination(), f.GetDestinationNames()))
	switch f.GetTrafficDirection() { // of the connection, as the container sees it
	case flowpb.TrafficDirection_INGRESS:
		e.add("deviceDirection", "0")
	case flowpb.TrafficDirection_EGRESS:
		e.add("deviceDirection", "1")
	}
	e.add("deviceInboundInterface", f.GetInterface().GetName())
	e.custom(1, "policy", policies(f))
	e.custom(2, "sourceNamespace", f.GetSource().GetNamespace())
	e.custom(3, "destinationNamespace", f.GetDestination().GetNamespace())
	e.custom(4, "sourceWorkload", workload(f.GetSource()))
	e.custom(5, "destinationWorkload", workload(f.GetDestination()))
	e.custom(6, "reply", reply(f))
	e.add("externalId", f.GetUuid())
	e.add("msg", f.GetSummary()) //nolint:staticcheck // what Hubble's clients print
}

func (e *extension) address(n int, label, value string) {
	if value != "" {
		key := "c6a" + strconv.Itoa(n)
		e.add(key, value)
		e.add(key+"Label", label)
	}
}

// totals appends what a connection carried when it is over. CEF's in is what went from source to destination, out what
// came back.
func (e *extension) totals(r sink.Record) {
	opened := r.Flow.Opened()
	if !r.Flow.IsClosed() || opened.IsZero() {
		return
	}
	in, out := r.Flow.Sent().Bytes, r.Flow.Received().Bytes
	if r.Flow.Reply() == observe.ReplyTrue {
		in, out = out, in
	}
	e.add("start", millis(opened))
	e.add("end", millis(r.Flow.Time))
	e.add("in", strconv.FormatUint(in, 10))
	e.add("out", strconv.FormatUint(out, 10))
}

// number writes a number, nothing for 0.
func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func verdict(f *flowpb.Flow) string {
	if v := f.GetVerdict(); v != flowpb.Verdict_VERDICT_UNKNOWN {
		return v.String()
	}
	return ""
}

// transport returns the protocol above IP, and its ports.
func transport(f *flowpb.Flow) (name string, source, destination uint32) {
	l4 := f.GetL4()
	switch {
	case l4.GetTCP() != nil:
		return "TCP", l4.GetTCP().GetSourcePort(), l4.GetTCP().GetDestinationPort()
	case l4.GetUDP() != nil:
		return "UDP", l4.GetUDP().GetSourcePort(), l4.GetUDP().GetDestinationPort()
	case l4.GetSCTP() != nil:
		return "SCTP", l4.GetSCTP().GetSourcePort(), l4.GetSCTP().GetDestinationPort()
	case l4.GetICMPv4() != nil:
		return "ICMP", 0, 0
	case l4.GetICMPv6() != nil:
		return "ICMPv6", 0, 0
	}
	return "", 0, 0
}

// party names an end: its container, else its first domain.
func party(e *flowpb.Endpoint, names []string) string {
	switch {
	case e.GetPodName() != "":
		return e.GetPodName()
	case len(names) > 0:
		return names[0]
	}
	return ""
}

func workload(e *flowpb.Endpoint) string {
	if len(e.GetWorkloads()) == 0 {
		return ""
	}
	return e.GetWorkloads()[0].GetName()
}

func reply(f *flowpb.Flow) string {
	if f.GetIsReply() == nil {
		return ""
	}
	return strconv.FormatBool(f.GetIsReply().GetValue())
}

// policies names the policies that decided.
func policies(f *flowpb.Flow) string {
	var names []string
	for _, list := range [][]*flowpb.Policy{f.GetEgressDeniedBy(), f.GetIngressDeniedBy(), f.GetEgressAllowedBy(), f.GetIngressAllowedBy()} {
		for _, p := range list {
			name := p.GetName()
			if p.GetNamespace() != "" {
				name = fmt.Sprintf("%s/%s", p.GetNamespace(), name)
			}
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// appendHeader escapes a field of the header: backslash and pipe; line breaks cannot stand there.
func appendHeader(b []byte, s string) []byte {
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '\\' || r == '|':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			b = append(b, ' ')
		default:
			b = append(b, string(r)...)
		}
	}
	return b
}

// appendValue escapes the value of an extension field: backslash, equals sign and line breaks. Other control characters
// become spaces.
func appendValue(b []byte, s string) []byte {
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '\\' || r == '=':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r < ' ' || r == 0x7f:
			b = append(b, ' ')
		default:
			b = append(b, string(r)...)
		}
	}
	return b
}
