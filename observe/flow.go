package observe

import (
	"net/netip"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
)

// Flow is one thing that the programs told of packets, with the names of that moment. Nobody changes it once it is in the
// ring (Flows): readers share it.
//
// A record of the kernel becomes up to two flows: what the policy said of the packet (abi.EventVerdict), if it was asked,
// and what became of the packet (abi.EventTrace, abi.EventDrop).
type Flow struct {
	Seq  uint64 // place in the ring, from 1
	Time time.Time
	// Kernel is the record. Its Type says what the flow is about; 0: flows were lost, and Lost is set.
	Kernel abi.Event
	// Source and Destination are the ends, never nil. Endpoint is the container whose program speaks, nil at an uplink.
	Source, Destination, Endpoint *Party
	// SourceNames and DestinationNames are the domains by which the addresses were asked for last.
	SourceNames, DestinationNames []string
	// Rule is what decided, nil where no policy was asked.
	Rule *Rule
	// Published is the host port by which the initiator reached the container, 0 if by none.
	Published uint16
	Lost      *api.Lost
}

// Party is who has an address. It is shared by flows and never changed: what changes gets a new one.
type Party struct {
	Number      uint32 // of the endpoint on this host, 0 for others
	EndpointID  string // Docker's id of it
	Container   string // its name
	ContainerID string
	Image       string
	Project     string // of compose, or the stack of swarm
	Service     string
	Network     string // its name
	Identity    uint32
	Labels      map[string]string // of the identity
	Entity      string            // api.EntityHost or api.EntityWorld where there is no container
}

// Rule is what decided about a flow.
type Rule struct {
	Policy  string // document; empty: what holds without policy
	Place   string // in it
	Default bool   // no rule is about the peer: what holds for the rest
}

// Src returns the source address of the packet, invalid if it has none.
func (f *Flow) Src() netip.Addr { return f.addr(f.Kernel.Src) }

// Dst returns the destination address of the packet, invalid if it has none.
func (f *Flow) Dst() netip.Addr { return f.addr(f.Kernel.Dst) }

func (f *Flow) addr(a abi.IP) netip.Addr {
	if f.Kernel.Family == 0 {
		return netip.Addr{}
	}
	return a.Addr()
}
