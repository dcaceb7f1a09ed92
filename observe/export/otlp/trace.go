package otlp

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/export/sink"
)

// grain is how exactly the two sides of a connection must agree on when it was opened. Their clocks differ, and a tuple of
// ports is not used again that soon.
const grain = time.Minute

// ends are the initiator and the responder of a flow's connection, as they appear between the hosts: the source after
// masquerading, the destination before it was translated. That is what both sides see of it.
func ends(f *observe.Flow) (initiator, responder netip.AddrPort) {
	initiator = netip.AddrPortFrom(f.Src(), f.SourcePort())
	responder = netip.AddrPortFrom(f.Dst(), f.DestinationPort())
	if f.Reply() == observe.ReplyTrue {
		initiator, responder = responder, initiator
	}
	if a := f.SNAT(); a.IsValid() {
		initiator = a
	}
	if a := f.DNAT(); a.IsValid() {
		responder = a
	}
	return initiator, responder
}

// traceID is the trace that a record belongs to: the one of its W3C trace context, if it has one, else one that follows
// from the connection, so that whoever sees the connection finds the same. Nil: the packet is in no connection.
func traceID(r sink.Record) []byte {
	if id, err := hex.DecodeString(r.Hubble.GetTraceContext().GetParent().GetTraceId()); err == nil && len(id) == 16 && [16]byte(id) != [16]byte{} {
		return id
	}
	opened := r.Flow.Opened()
	if opened.IsZero() {
		return nil
	}
	initiator, responder := ends(r.Flow)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %s %d", r.Flow.Protocol(), initiator, responder, opened.Round(grain).Unix()))
	return sum[:16]
}

// spanID is the span of a connection as this node sees it.
func spanID(trace []byte, r sink.Record) []byte {
	initiator, responder := ends(r.Flow)
	sum := sha256.Sum256(fmt.Appendf(nil, "%x %s %s %s", trace, initiator, responder, r.Node))
	return sum[:8]
}
