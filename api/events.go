package api

import (
	"net/netip"
	"time"
)

// The types of events.
const (
	EventDrop    = "drop"    // a packet was dropped; Reason says why
	EventVerdict = "verdict" // a policy was judged
	EventTrace   = "trace"   // a packet passed an observation point
	EventAudit   = "audit"   // a policy that is not enforced denies a connection
	EventLearn   = "learn"   // a container that learns opened a connection, or was opened one to
	EventLost    = "lost"    // events were lost; only Lost and Time are set
)

// The verdicts of events.
const (
	VerdictAllowed   = "allowed"
	VerdictDenied    = "denied"  // by policy
	VerdictDropped   = "dropped" // for another reason
	VerdictForwarded = "forwarded"
	VerdictAudit     = "audit"   // let through; Reason says why enforcing would drop it
	VerdictLearned   = "learned" // let through; Reason says so if enforcing would drop it
)

// ReasonPolicyDenied is the reason of drops by policy; the others are listed in docs/reference/drops.md.
const ReasonPolicyDenied = "policy denied"

// The directions of policies, and the points of containers' programs.
const (
	Egress  = "egress"  // what leaves a container
	Ingress = "ingress" // what reaches it
	Publish = "publish" // what reaches it by its published ports: a policy only, no point
)

// The entities of parties that are no endpoint.
const (
	EntityHost  = "host"
	EntityWorld = "world"
)

// Event is one thing that a program told of a packet.
type Event struct {
	Type        string    `json:"type"`
	Time        time.Time `json:"time"`
	Verdict     string    `json:"verdict,omitempty"`
	Point       string    `json:"point,omitempty"` // egress, ingress, uplink or socket
	Endpoint    Party     `json:"endpoint,omitzero"`
	Source      Party     `json:"source,omitzero"`
	Destination Party     `json:"destination,omitzero"`
	Protocol    string    `json:"protocol,omitempty"` // tcp, udp, icmp, icmpv6, sctp or the number
	TCPFlags    string    `json:"tcpFlags,omitempty"` // for example SYN,ACK
	ICMPType    uint8     `json:"icmpType,omitempty"`
	ICMPCode    uint8     `json:"icmpCode,omitempty"`
	Reply       bool      `json:"reply,omitempty"`
	Length      uint32    `json:"length,omitempty"`    // of the packet, bytes
	Reason      string    `json:"reason,omitempty"`    // name of the drop reason
	Policy      string    `json:"policy,omitempty"`    // responsible document; empty: no rule, the default
	Rule        string    `json:"rule,omitempty"`      // place in it
	Direction   string    `json:"direction,omitempty"` // Egress, Ingress or Publish: the policy that was asked, where one was
	HostPort    uint16    `json:"hostPort,omitempty"`  // the published port by which it came, 0 if by none
	// Hint is the change that would allow what a policy denied, in one line; empty where nobody worked it out.
	Hint     string `json:"hint,omitempty"`
	Revision uint32 `json:"revision,omitempty"`
	Ifindex  uint32 `json:"ifindex,omitempty"`
	Lost     *Lost  `json:"lost,omitempty"`
}

// Party is one end of a packet, or the endpoint whose program speaks.
type Party struct {
	Addr      netip.Addr `json:"addr,omitzero"`
	Port      uint16     `json:"port,omitempty"`
	Endpoint  string     `json:"endpoint,omitempty"` // id
	Container string     `json:"container,omitempty"`
	// ContainerID is Docker's, Project and Service are compose's.
	ContainerID string            `json:"containerID,omitempty"`
	Project     string            `json:"project,omitempty"`
	Service     string            `json:"service,omitempty"`
	Network     string            `json:"network,omitempty"`
	Identity    uint32            `json:"identity,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Entity      string            `json:"entity,omitempty"` // host or world
}

// Where events are lost.
const (
	LostKernel     = "kernel"     // there were more than the programs may write
	LostSubscriber = "subscriber" // this reader was too slow
	LostStore      = "store"      // they were not written to the store on disk
)

// Lost says how many events are missing and why.
type Lost struct {
	Where string `json:"where"` // LostKernel, LostSubscriber or LostStore
	Count uint64 `json:"count"`
	Learn uint64 `json:"learn,omitempty"` // of these, those of type EventLearn
}

// EventFilter selects events. Values of one field are alternatives, fields add up. Without types it selects those of
// its verdicts, and without these audits and drops, which name the policy that denied a packet as a denied verdict does.
// Which verdicts and traces there are is a matter of the containers' level (sluice.observe).
type EventFilter struct {
	Types     []string `json:"types,omitempty"`
	Verdicts  []string `json:"verdicts,omitempty"`
	Endpoints []string `json:"endpoints,omitempty"` // either end: as package server resolves names
	Protocols []string `json:"protocols,omitempty"`
	Ports     []uint16 `json:"ports,omitempty"`     // either end
	Addresses []string `json:"addresses,omitempty"` // either end: address or CIDR
	Reasons   []string `json:"reasons,omitempty"`   // drop reasons by name
	// Last asks for that many events of the past first. Since asks for those not older.
	Last  int       `json:"last,omitempty"`
	Since time.Time `json:"since,omitzero"`
	// Follow keeps the stream open for new events.
	Follow bool `json:"follow,omitempty"`
}
