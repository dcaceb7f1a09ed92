package datapath

import (
	"net"
	"net/netip"

	"github.com/sluice-net/sluice/policy"
)

// Program is everything that a container's pair of programs is made from. Equal values give equal programs.
type Program struct {
	Slot        uint32
	Identity    uint32
	Network     uint32 // number of the network, not 0
	Revision    uint32 // of the policy, not 0
	HostIfindex int
	HostMAC     net.HardwareAddr
	MAC         net.HardwareAddr
	IPv4, IPv6  netip.Prefix // the container's address with its subnet's length; invalid: none
	Gateway4    netip.Addr   // invalid: none
	Gateway6    netip.Addr
	Closed      bool // only ARP and ND pass
	Internal    bool // nothing to or from the world
	Masquerade  bool
	// Egress and Ingress are nil where nothing restricts the direction.
	Egress, Ingress *policy.Table
	// Publish says who may reach the container by its published ports, by protocol and the host's port, besides Ingress; nil:
	// whoever Ingress admits.
	Publish *policy.Table
	// Enforcement says what becomes of connections that these tables deny. Under audit and learn they are let through and told; a
	// program that enforces asks again about them. That containers of other networks need a rule holds in any case.
	Enforcement policy.Enforcement
	// KeepDenies: what these tables say is an administrator's deny holds under audit and learn, too (policy.Settings).
	KeepDenies bool
	// EgressRate and IngressRate limit what the container sends and is sent; zero: no limit.
	EgressRate, IngressRate policy.Rate
	// Level says what is told of the container's packets. Unset and LevelFlows give the same programs.
	Level policy.Level
	// Capture is how many bytes of every packet the programs write into the ring captures, at most abi.CaptureMax; 0: none.
	Capture uint32
}

// Address is what the map endpoints knows of one address.
type Address struct {
	Ifindex  int
	Identity uint32
	Network  uint32
	Slot     uint32
	MAC      net.HardwareAddr
	Host     bool
	Routed   bool // a container's whose network is not masqueraded: the outside knows its address
}

// Veth is one pre-made pair with its two doors attached for Slot. The peer is still in the host's namespace, down.
type Veth struct {
	Slot    uint32
	Host    string // name of the host's side
	Ifindex int    // of the host's side
	HostMAC net.HardwareAddr
	Peer    string // name of the container's side
}

// LinkConfig is how a veth pair of a container is set up.
type LinkConfig struct {
	MAC      net.HardwareAddr
	MTU      int
	Addrs    []netip.Addr // the container's, one /32 or /128 route each
	Gateways []netip.Addr // the network's on the host, preferred sources of those routes
}
