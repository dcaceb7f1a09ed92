package endpoint

import (
	"net"
	"net/netip"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/service"
)

// NetworkRequest is a network to be made.
type NetworkRequest struct {
	ID         string
	IPv4, IPv6 []Subnet // in Docker's order
	Internal   bool     // no way to or from the outside: Join must not answer a gateway
	Options    NetworkOptions
}

// Subnet is one address pool of a network.
type Subnet struct {
	Space   string // the IPAM driver's address space
	Pool    netip.Prefix
	Gateway netip.Addr // invalid: none was allocated
	// Aux are further addresses that Docker keeps free, by name.
	Aux map[string]netip.Addr
}

// Mode says when a network's containers are closed.
type Mode string

// The values of Mode.
const (
	PolicyDefault Mode = "default" // a direction that a rule selects is closed but for its rules
	PolicyAlways  Mode = "always"  // both directions are closed but for rules
	PolicyNever   Mode = "never"   // rules are not enforced
)

// NetworkOptions are the parsed options of docker network create -o; ParseNetworkOptions fills in the defaults.
type NetworkOptions struct {
	MTU        int // 0: the uplink's
	Policy     Mode
	Masquerade bool
	Isolate    bool
	Observe    string // the level of what is told of packets; empty: the daemon's
}

// Level is what Observe says; zero: nothing, or nothing that there is.
func (o NetworkOptions) Level() policy.Level {
	level, _ := policy.ParseLevel(o.Observe)
	return level
}

// EndpointRequest is an endpoint to be made. What is invalid or nil must be chosen by the receiver and answered.
type EndpointRequest struct {
	NetworkID, ID string
	IPv4, IPv6    netip.Prefix     // the container's address with its subnet's length; invalid: none was allocated
	MAC           net.HardwareAddr // nil: none was asked for
	Exposed       []ExposedPort    // up to engine 28 all exposed ports, from 29 on only published ones
	Ports         []service.Mapping
	Options       map[string]string // driver options of the endpoint, as the user gave them
	DNS           []netip.Addr      // the container's or the engine's own servers, none: the host's
}

// EndpointAnswer carries only what arrived invalid or nil in the request: Docker takes anything else as an error.
type EndpointAnswer struct {
	IPv4, IPv6 netip.Prefix
	MAC        net.HardwareAddr
}

// ExposedPort is a port that an image or docker run --expose names.
type ExposedPort struct {
	Proto service.Protocol
	Port  uint16
}

// JoinRequest attaches an endpoint to a sandbox, which is a container's network namespace or several containers'.
type JoinRequest struct {
	NetworkID, EndpointID string
	SandboxKey            string // path of the namespace; up to engine 27 it doesn't exist yet
	Exposed               []ExposedPort
	Ports                 []service.Mapping
}

// JoinAnswer is how Docker sets up the container's side.
type JoinAnswer struct {
	SrcName   string // the interface in the host's namespace that Docker moves
	DstPrefix string // its name in the container, without the number
	// Gateway and Gateway6 become default routes. Invalid: none, as internal networks need; without one on any other
	// network Docker adds an interface of docker_gwbridge.
	Gateway, Gateway6     netip.Addr
	StaticRoutes          []StaticRoute
	DisableGatewayService bool // never add docker_gwbridge
}

// StaticRoute is a further route in the container.
type StaticRoute struct {
	Destination netip.Prefix
	NextHop     netip.Addr // invalid: on the link
}

// PortsRequest is what Program publishes.
type PortsRequest struct {
	NetworkID, EndpointID string
	Ports                 []service.Mapping
	// Split says that another endpoint of the sandbox publishes them for one of the families.
	Split bool
}
