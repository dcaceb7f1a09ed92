package convert

import (
	"net/netip"

	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// The keys of the extension: what Sluice knows of a flow and Hubble's messages have no field for. It is a
// google.protobuf.Struct, which every client can read.
const (
	ExtPacketsSent     = "packetsSent" // by the initiator, up to now
	ExtBytesSent       = "bytesSent"
	ExtPacketsReceived = "packetsReceived" // by the initiator
	ExtBytesReceived   = "bytesReceived"
	ExtAge             = "ageSeconds" // of the flow
	ExtCause           = "cause"      // why the flow is told of: list of new, state, time, closed, packet
	ExtLength          = "length"     // of the packet, bytes
	ExtReason          = "reason"     // drop reason, as docs/reference/drops.md names it
	ExtPolicy          = "policy"     // document that decided
	ExtRule            = "rule"       // place in it
	ExtRevision        = "revision"   // of the policy
	ExtPublished       = "publishedPort"
	ExtDestination     = "originalDestination" // before translation, address:port
	ExtSource          = "translatedSource"    // after translation, address:port
	ExtSourceNetwork   = "sourceNetwork"       // Docker's name of it
	ExtSourceImage     = "sourceImage"
	ExtSourceID        = "sourceContainer" // Docker's id
	ExtDestNetwork     = "destinationNetwork"
	ExtDestImage       = "destinationImage"
	ExtDestID          = "destinationContainer"
)

var causes = []struct {
	bit  uint8
	name string
}{
	{abi.CauseNew, "new"}, {abi.CauseState, "state"}, {abi.CauseTime, "time"}, {abi.CauseClosed, "closed"}, {abi.CausePacket, "packet"},
}

// extension packs what Hubble's messages have no field for, nil if there is nothing.
func extension(f *observe.Flow) *anypb.Any {
	x := extended{}
	e := &f.Kernel
	if e.Opened != 0 {
		x.number(ExtPacketsSent, e.Sent.Packets)
		x.number(ExtBytesSent, e.Sent.Bytes)
		x.number(ExtPacketsReceived, e.Received.Packets)
		x.number(ExtBytesReceived, e.Received.Bytes)
		x[ExtAge] = structpb.NewNumberValue(f.Age().Seconds())
	}
	x.number(ExtLength, uint64(e.Length))
	x.number(ExtRevision, uint64(e.Revision))
	x.number(ExtPublished, uint64(f.Published))
	if reason := f.Reason(); reason != abi.DropNone {
		x.text(ExtReason, reason.String())
	}
	if f.Rule != nil {
		x.text(ExtPolicy, f.Rule.Policy)
		x.text(ExtRule, f.Rule.Place)
	}
	x.translated(ExtDestination, f.DNAT())
	x.translated(ExtSource, f.SNAT())
	x.causes(e.Cause)
	x.party(f.Source, ExtSourceNetwork, ExtSourceImage, ExtSourceID)
	x.party(f.Destination, ExtDestNetwork, ExtDestImage, ExtDestID)
	if len(x) == 0 {
		return nil
	}
	packed, err := anypb.New(&structpb.Struct{Fields: x})
	if err != nil { // only text that is not UTF-8 cannot be packed, and Docker has none
		return nil
	}
	return packed
}

// extended are the fields of an extension. Zeros and empty texts are left out.
type extended map[string]*structpb.Value

func (x extended) number(key string, n uint64) {
	if n != 0 {
		x[key] = structpb.NewNumberValue(float64(n))
	}
}

func (x extended) text(key, value string) {
	if value != "" {
		x[key] = structpb.NewStringValue(value)
	}
}

func (x extended) translated(key string, a netip.AddrPort) {
	if a.IsValid() {
		x.text(key, a.String())
	}
}

func (x extended) causes(bits uint8) {
	var names []*structpb.Value
	for _, c := range causes {
		if bits&c.bit != 0 {
			names = append(names, structpb.NewStringValue(c.name))
		}
	}
	if names != nil {
		x[ExtCause] = structpb.NewListValue(&structpb.ListValue{Values: names})
	}
}

func (x extended) party(p *observe.Party, network, image, id string) {
	x.text(network, p.Network)
	x.text(image, p.Image)
	x.text(id, p.ContainerID)
}
