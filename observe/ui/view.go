package ui

import (
	"net/netip"
	"time"

	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/ui/servicemap"
	"github.com/sluice-net/sluice/observe/ui/words"
)

// Flow is a flow as the page shows it.
type Flow struct {
	Seq         uint64    `json:"seq"`
	Time        time.Time `json:"time"`
	Type        string    `json:"type"`    // as api.Event
	Verdict     string    `json:"verdict"` // forwarded, dropped or audit
	Source      End       `json:"source"`
	Destination End       `json:"destination"`
	Protocol    string    `json:"protocol"`
	Port        uint16    `json:"port,omitempty"` // of who accepts the connection
	Reply       bool      `json:"reply,omitempty"`
	Flags       string    `json:"flags,omitempty"` // of TCP
	ICMP        *[2]uint8 `json:"icmp,omitempty"`  // type and code
	Length      uint32    `json:"length,omitempty"`
	Direction   string    `json:"direction,omitempty"` // of the connection, as the container sees it that tells of it
	Reason      string    `json:"reason,omitempty"`
	Side        string    `json:"side,omitempty"`   // policy that was asked
	Policy      string    `json:"policy,omitempty"` // document
	Rule        string    `json:"rule,omitempty"`   // place in it
	Published   uint16    `json:"published,omitempty"`
	Age         float64   `json:"age,omitempty"` // of the connection, seconds
	Closed      bool      `json:"closed,omitempty"`
	Sent        uint64    `json:"sent,omitempty"` // bytes of the connection so far, by its initiator
	Received    uint64    `json:"received,omitempty"`
	Packets     uint64    `json:"packets,omitempty"` // likewise, both ways
	DNAT        string    `json:"dnat,omitempty"`    // destination before translation
	SNAT        string    `json:"snat,omitempty"`    // source after it
	Revision    uint32    `json:"revision,omitempty"`
	Hint        string    `json:"hint,omitempty"` // what would allow it
}

// End is one end of a flow.
type End struct {
	ID      string   `json:"id"` // of the map's node
	Address string   `json:"address,omitempty"`
	Port    uint16   `json:"port,omitempty"`
	Names   []string `json:"names,omitempty"` // domains
	Project string   `json:"project,omitempty"`
	Service string   `json:"service,omitempty"`
	Network string   `json:"network,omitempty"`
}

// view shows a flow.
func (s *Server) view(f *observe.Flow) Flow {
	v := Flow{
		Seq: f.Seq, Time: f.Time, Type: f.EventType(), Verdict: words.Verdict(f),
		Source:      end(f.Source, f.Src(), f.SourcePort(), f.SourceNames),
		Destination: end(f.Destination, f.Dst(), f.DestinationPort(), f.DestinationNames),
		Protocol:    f.Protocol(), Port: servicemap.Service(f), Reply: f.Reply() == observe.ReplyTrue, Flags: f.TCPFlags(),
		Length: f.Kernel.Length, Reason: servicemap.Reason(f), Side: f.Side(), Published: f.Published,
		Age: f.Age().Seconds(), Closed: f.IsClosed(), Sent: f.Sent().Bytes, Received: f.Received().Bytes,
		Packets: f.Sent().Packets + f.Received().Packets, Revision: f.Kernel.Revision,
	}
	if d := f.Direction(); d != observe.DirectionUnknown {
		v.Direction = d.String()
	}
	if v.Protocol == "icmp" || v.Protocol == "icmpv6" {
		v.ICMP = &[2]uint8{f.Kernel.ICMPType, f.Kernel.ICMPCode}
	}
	if f.Rule != nil {
		v.Policy, v.Rule = f.Rule.Policy, f.Rule.Place
	}
	if nat := f.DNAT(); nat.IsValid() {
		v.DNAT = nat.String()
	}
	if nat := f.SNAT(); nat.IsValid() {
		v.SNAT = nat.String()
	}
	if v.Verdict != "forwarded" && s.o.Hint != nil {
		v.Hint = s.o.Hint(f)
	}
	return v
}

func end(p *observe.Party, addr netip.Addr, port uint16, names []string) End {
	e := End{ID: servicemap.ID(p), Port: port, Names: names, Project: p.Project, Service: p.Service, Network: p.Network}
	if addr.IsValid() {
		e.Address = addr.String()
	}
	return e
}
