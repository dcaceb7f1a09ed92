package api

import (
	"fmt"
	"strconv"
	"strings"
)

// Compact returns an event as one line for people, in local time:
//
//	Nov 22 17:00:01.123 DENIED web(172.30.0.2):40212 -> db(172.30.0.3):5432 tcp SYN policy denied by allow-web/ingress[0] (egress of web)
func (e Event) Compact() string {
	words := []string{e.Time.Local().Format("Jan _2 15:04:05.000")}
	if e.Type == EventLost {
		words = append(words, e.Lost.String())
		if name := e.Endpoint.Name(); name != "" {
			words = append(words, "of "+name)
		}
		return strings.Join(words, " ")
	}
	words = append(words, strings.ToUpper(e.Verdict))
	if e.Source.Addr.IsValid() || e.Destination.Addr.IsValid() {
		words = append(words, e.Source.String(), "->", e.Destination.String())
	}
	words = append(words, e.Protocol, e.detail())
	if e.Reply {
		words = append(words, "reply")
	}
	words = append(words, e.why())
	if e.Type == EventTrace && e.Length > 0 {
		words = append(words, strconv.Itoa(int(e.Length))+" bytes")
	}
	words = append(words, e.where())
	if e.Hint != "" {
		words = append(words, "; to allow it: "+e.Hint)
	}
	return strings.ReplaceAll(strings.Join(nonEmpty(words), " "), " ; ", "; ")
}

// String returns "LOST 12 events (the kernel's buffer was full)".
func (l *Lost) String() string {
	if l == nil {
		return "LOST events"
	}
	cause := "this reader was too slow"
	switch l.Where {
	case LostKernel:
		cause = "more at once than programs may report"
	case LostStore:
		cause = "they are not in the store"
	}
	return fmt.Sprintf("LOST %d events (%s)", l.Count, cause)
}

// String returns "web(172.30.0.2):40212"; without a name the address alone, IPv6 in brackets before a port.
func (p Party) String() string {
	addr := ""
	if p.Addr.IsValid() {
		addr = p.Addr.String()
	}
	name := p.Name()
	switch {
	case name != "" && addr != "":
		addr = name + "(" + addr + ")"
	case name != "":
		addr = name
	case p.Addr.Is6() && p.Port != 0:
		addr = "[" + addr + "]"
	}
	if p.Port != 0 {
		addr += ":" + strconv.Itoa(int(p.Port))
	}
	return addr
}

// Name returns what people call a party: its container, the beginning of its id, or its entity.
func (p Party) Name() string {
	switch {
	case p.Container != "":
		return p.Container
	case p.Endpoint != "":
		return p.Endpoint[:min(12, len(p.Endpoint))]
	case p.Entity == EntityWorld:
		return ""
	}
	return p.Entity
}

// detail returns the TCP flags or what kind of ICMP message it is.
func (e Event) detail() string {
	switch e.Protocol {
	case "icmp", "icmpv6":
		if name := icmpNames[e.Protocol][e.ICMPType]; name != "" {
			return name
		}
		return fmt.Sprintf("type %d code %d", e.ICMPType, e.ICMPCode)
	}
	return e.TCPFlags
}

// icmpNames are the messages that are seen often.
var icmpNames = map[string]map[uint8]string{
	"icmp": {0: "echo-reply", 3: "unreachable", 5: "redirect", 8: "echo-request", 11: "time-exceeded"},
	"icmpv6": {1: "unreachable", 2: "too-big", 3: "time-exceeded", 128: "echo-request", 129: "echo-reply",
		133: "router-solicitation", 134: "router-advertisement", 135: "neighbour-solicitation", 136: "neighbour-advertisement"},
}

// why returns the reason and the rule.
func (e Event) why() string {
	rule := strings.Trim(e.Policy+"/"+e.Rule, "/")
	reason := e.Reason
	if reason == "" && (e.Type == EventVerdict || e.Type == EventLearn) {
		reason = "policy " + VerdictAllowed
	}
	switch {
	case rule != "":
		return strings.TrimSpace(reason + " by " + rule)
	case e.Direction != "" && e.Reason != "":
		return reason + ", no rule allows it"
	case reason != "" && e.Reason == "":
		return reason + " by default"
	}
	return reason
}

// where returns whose program spoke.
func (e Event) where() string {
	name, point := e.Endpoint.Name(), e.Point
	if e.Direction != "" {
		point = e.Direction
	}
	if e.HostPort != 0 && e.Direction == Publish {
		point += " " + strconv.Itoa(int(e.HostPort))
	}
	switch {
	case point == "":
		return ""
	case name == "":
		return "(" + point + ")"
	}
	return "(" + point + " of " + name + ")"
}

func nonEmpty(words []string) []string {
	out := words[:0]
	for _, w := range words {
		if w != "" {
			out = append(out, w)
		}
	}
	return out
}
