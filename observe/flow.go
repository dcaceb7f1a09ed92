package observe

import (
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
)

// Flow is one thing that the programs told of packets, with the names of that moment. Nobody changes it once it is in the
// ring (Flows): readers share it.
//
// A record of the kernel becomes up to two flows: what the policy said of the packet (abi.EventVerdict), if it was asked,
// and what became of the packet (abi.EventTrace, abi.EventDrop). What a flow means is asked of its methods (meaning.go,
// packet.go), not read out of the record.
type Flow struct {
	Seq  uint64 // place in the ring, from 1; it goes up by one from flow to flow, whatever the clock does
	Time time.Time
	// Kernel is the record. Its Type says what the flow is about; 0: flows were lost, and Lost is set.
	Kernel abi.Event
	// Source and Destination are the ends, never nil. Endpoint is the container whose program speaks, nil at an uplink.
	Source, Destination, Endpoint *Party
	// SourceNames and DestinationNames are the domains by which the addresses are known. They are shared: don't change them.
	SourceNames, DestinationNames []string
	// Rule is what decided, nil where no policy was asked.
	Rule *Rule
	// Published is the host port by which the initiator reached the container, 0 if by none.
	Published uint16
	Lost      *api.Lost

	learnt uint64 // flows of abi.EventLearn up to this one, which readers that lose flows count by
}

// Rule is what decided about a flow. It is shared by flows and never changed.
type Rule struct {
	Policy  string // document; empty: what holds without policy
	Place   string // in it
	Default bool   // no rule is about the peer: what holds for the rest
}

// String is "policy: place", for people.
func (r *Rule) String() string {
	switch {
	case r == nil:
		return ""
	case r.Policy == "":
		return r.Place
	}
	return r.Policy + ": " + r.Place
}
