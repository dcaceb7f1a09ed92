package driver

import (
	"context"

	"github.com/sluice-net/sluice/endpoint"
)

// Networks keeps Docker's networks (implemented by package endpoint).
//
// Docker sends no network's name and no labels, and replays nothing when it restarts: what is kept must be durable.
type Networks interface {
	// CreateNetwork makes a network durable. The same request again succeeds.
	CreateNetwork(ctx context.Context, r endpoint.NetworkRequest) error
	// DeleteNetwork forgets it; an unknown network succeeds. Its pools are already released.
	DeleteNetwork(ctx context.Context, networkID string) error
}

// Endpoints keeps the attachments of containers to networks (implemented by package endpoint). Docker calls it
// concurrently for different containers.
type Endpoints interface {
	// CreateEndpoint makes an endpoint; a failure leaves nothing behind, since Docker sends no DeleteEndpoint for it.
	// The same request again gives the same answer.
	CreateEndpoint(ctx context.Context, r endpoint.EndpointRequest) (endpoint.EndpointAnswer, error)
	// Join gives the interface that Docker moves into the container's namespace. After a failure Docker calls Leave
	// and DeleteEndpoint.
	Join(ctx context.Context, r endpoint.JoinRequest) (endpoint.JoinAnswer, error)
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
	Program(ctx context.Context, r endpoint.PortsRequest) error
	// Revoke withdraws them; it is not guaranteed to come: Leave withdraws as well. Unknown endpoints succeed.
	Revoke(ctx context.Context, networkID, endpointID string) error
}
