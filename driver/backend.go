package driver

import (
	"context"
	"net"
	"net/netip"

	"github.com/sluice-net/sluice/service"
)

// Networks keeps Docker's networks (implemented by package endpoint).
//
// Docker sends no network's name and no labels, and replays nothing when it restarts: what is kept must be durable.
type Networks interface {
	// CreateNetwork makes a network durable. The same request again succeeds.
	CreateNetwork(ctx context.Context, r NetworkRequest) error
	// DeleteNetwork forgets it; an unknown network succeeds. Its pools are already released.
	DeleteNetwork(ctx context.Context, networkID string) error
}

// Endpoints keeps the attachments of containers to networks (implemented by package endpoint). Docker calls it
// concurrently for different containers.
type Endpoints interface {
	// CreateEndpoint makes an endpoint; a failure leaves nothing behind, since Docker sends no DeleteEndpoint for it.
	// The same request again gives the same answer.
	CreateEndpoint(ctx context.Context, r EndpointRequest) (EndpointAnswer, error)
	// Join gives the interface that Docker moves into the container's namespace. After a failure Docker calls Leave
	// and DeleteEndpoint.
	Join(ctx context.Context, r JoinRequest) (JoinAnswer, error)
	// Leave may come twice, and for unknown endpoints: both succeed.
	Leave(ctx context.Context, networkID, endpointID string) error
	// DeleteEndpoint may come for unknown endpoints, and after the interface is gone: both succeed.
	DeleteEndpoint(ctx context.Context, networkID, endpointID string) error
	// OperInfo returns what docker inspect may show of the endpoint; it always follows the endpoint's Join. An unknown
	// endpoint gives an empty map.
	OperInfo(ctx context.Context, networkID, endpointID string) (map[string]string, error)
}

// Ports publishes containers' ports on the host (implemented by package endpoint).
type Ports interface {
	// Program publishes r.Ports. It may be repeated without a Revoke, and come for two endpoints of one sandbox with
	// the same ports. It may be the only call that carries the ports' final form.
	Program(ctx context.Context, r PortsRequest) error
	// Revoke withdraws them; it is not guaranteed to come: Leave withdraws as well. Unknown endpoints succeed.
	Revoke(ctx context.Context, networkID, endpointID string) error
}

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

// Policy says when a network's containers are closed.
type Policy string

// The values of Policy.
const (
	PolicyDefault Policy = "default" // a direction that a rule selects is closed but for its rules
	PolicyAlways  Policy = "always"  // both directions are closed but for rules
	PolicyNever   Policy = "never"   // rules are not enforced
)

// NetworkOptions are the parsed options of docker network create -o; ParseNetworkOptions fills in the defaults.
type NetworkOptions struct {
	MTU        int // 0: the uplink's
	Policy     Policy
	Masquerade bool
	Isolate    bool
}

// EndpointRequest is an endpoint to be made. What is invalid or nil must be chosen by the receiver and answered.
type EndpointRequest struct {
	NetworkID, ID string
	IPv4, IPv6    netip.Prefix     // the container's address with its subnet's length; invalid: none was allocated
	MAC           net.HardwareAddr // nil: none was asked for
	Exposed       []ExposedPort    // up to engine 28 all exposed ports, from 29 on only published ones
	Ports         []service.Mapping
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
}
