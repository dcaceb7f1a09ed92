package policy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Direction is seen from the container that a rule selects.
type Direction uint8

// The directions.
const (
	Egress Direction = iota
	Ingress
	directions
)

// String is "egress" or "ingress".
func (d Direction) String() string {
	if d == Egress {
		return "egress"
	}
	return "ingress"
}

// Policy is one document: a name and the rules that it brings.
type Policy struct {
	Name        string
	Namespace   string // empty: every compose project
	Description string
	Origin      Origin
	Source      Source
	Rules       []Rule
}

// Origin is the front end that a policy came by.
type Origin uint8

// The origins.
const (
	OriginDocument  Origin = iota // applied through the API
	OriginDirectory               // a file of the policy directory
	OriginLabel                   // the labels of the container that it is about
)

var originNames = [...]string{OriginDocument: "document", OriginDirectory: "directory", OriginLabel: "label"}

// String is for people.
func (o Origin) String() string { return originNames[o] }

// Key is the policy's name in a Set: "namespace/name", or the name where there is no namespace.
func (p *Policy) Key() string {
	if p.Namespace == "" {
		return p.Name
	}
	return p.Namespace + "/" + p.Name
}

// Source is where a policy was read.
type Source struct {
	File string
	Line int // of the document's first line, from 1; 0: unknown
}

// String is "file:line", for people.
func (s Source) String() string {
	if s.Line == 0 {
		return s.File
	}
	return s.File + ":" + strconv.Itoa(s.Line)
}

// Rule says what the containers that Subject selects may do.
type Rule struct {
	Path    string // in the document, empty for spec: "specs[1]"
	Line    int
	Subject Selector
	// Close tells, per Direction, whether the rule puts the subject into default deny.
	Close   [directions]bool
	Clauses []Clause
	// Preset is the profile that the rule gives its subject.
	Preset Preset
	// Publish says who may reach the subject's published ports. It is judged beside Ingress.
	Publish []PublishRule
	// Enforcement is nil, rates and level are zero where the rule says nothing of them: see Set.Settings.
	Enforcement *Enforcement
	Rates       [directions]Rate
	Level       Level
}

// PublishRule allows peers to reach one published port, or all of them. Where a port has a rule of its own, the rules
// for all ports of the same policy do not count for it.
type PublishRule struct {
	Path     string // in the document: "publish.5432[0]"
	Line     int
	Port     uint16 // of the host; 0: every published port
	Protocol uint8  // 0: TCP, UDP and SCTP
	Peers    []Peer // alternatives; none: nobody
}

// Clause allows or denies one combination of peers and ports. It matches when one of Peers and one of Ports do.
type Clause struct {
	Path      string // in the document: "ingress[0]"
	Line      int
	Direction Direction
	Deny      bool
	// Peers are alternatives. No peers: the clause matches nothing (it still closes its direction).
	Peers []Peer
	// Ports are alternatives. No ports: nothing. AnyPort: every protocol and port, Ports is empty.
	AnyPort bool
	Ports   []PortRule
}

// Peer is one alternative of whom a clause is about: exactly one of its fields is set.
type Peer struct {
	Entity   Entity
	Selector *Selector // containers with these labels
	Prefix   netip.Prefix
	Domain   string // "example.com", "*.example.com" (one level), "**.example.com"; Validate refuses it until names are resolved
	// Except are holes in Prefix.
	Except []netip.Prefix
	// SameProject restricts Selector to the compose project of the rule's subject. A subject of no project has no such peers.
	SameProject bool
}

// Entity is a group of peers that has no labels.
type Entity string

// The entities. All that labels can select are containers; the rest is the host and the world.
const (
	EntityAll     Entity = "all"     // everything
	EntityWorld   Entity = "world"   // neither container nor host
	EntityHost    Entity = "host"    // this host
	EntityCluster Entity = "cluster" // this host and the containers of every Sluice network
	EntityNone    Entity = "none"    // nothing

	EntityNet      Entity = "net"      // the containers of the subject's own network
	EntityLAN      Entity = "lan"      // what Universe.LAN says of the world
	EntityInternet Entity = "internet" // the rest of the world
)

// PortRule is a list of alternatives that stand together in the document.
type PortRule struct {
	Path  string // in the document: "ingress[0].toPorts[1]"
	Line  int
	Ports []Port
}

// Protocol numbers that policies name (IANA protocol numbers).
const (
	ProtocolICMP   = 1
	ProtocolTCP    = 6
	ProtocolUDP    = 17
	ProtocolICMPv6 = 58
	ProtocolSCTP   = 132
)

// portProtocols are those that have ports: what ANY means together with one.
var portProtocols = []uint8{ProtocolTCP, ProtocolUDP, ProtocolSCTP}

// Port is a range of ports of one protocol, or a named port.
type Port struct {
	// AnyProtocol: TCP, UDP and SCTP if ports are restricted, else every protocol.
	AnyProtocol bool
	Protocol    uint8
	// Name is a named port of the destination; First and Last are then 0.
	Name string
	// First to Last are the ports, or type<<8 | code for ICMP and ICMPv6.
	First, Last uint16
}

// String is for people: "TCP 80-90", "UDP http", "ICMP type 8".
func (p Port) String() string {
	proto := "ANY"
	if !p.AnyProtocol {
		proto = protocolName(p.Protocol)
	}
	switch {
	case p.Name != "":
		return proto + " " + p.Name
	case p.First == 0 && p.Last == 0xffff:
		return proto
	case !p.AnyProtocol && (p.Protocol == ProtocolICMP || p.Protocol == ProtocolICMPv6):
		return fmt.Sprintf("%s type %d", proto, p.First>>8)
	case p.First == p.Last:
		return fmt.Sprintf("%s %d", proto, p.First)
	}
	return fmt.Sprintf("%s %d-%d", proto, p.First, p.Last)
}

var protocolNames = map[string]uint8{
	"ICMP": ProtocolICMP, "IGMP": 2, "IPIP": 4, "TCP": ProtocolTCP, "UDP": ProtocolUDP, "IPV6": 41, "GRE": 47,
	"ESP": 50, "AH": 51, "ICMPV6": ProtocolICMPv6, "VRRP": 112, "SCTP": ProtocolSCTP,
}

func protocolName(number uint8) string {
	for name, n := range protocolNames {
		if n == number {
			return strings.Replace(name, "ICMPV6", "ICMPv6", 1)
		}
	}
	return "protocol " + strconv.Itoa(int(number))
}

// NamedPort is what a container calls one of its ports.
type NamedPort struct {
	Name     string
	Protocol uint8
	Port     uint16
}
