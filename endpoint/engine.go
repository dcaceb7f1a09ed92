package endpoint

import (
	"context"
	"errors"
	"net/netip"
)

// ErrUnknown is returned by an Engine that does not know the object yet.
var ErrUnknown = errors.New("not known to the engine yet")

// Attachment is what Docker knows of an endpoint of a running container.
type Attachment struct {
	EndpointID  string
	NetworkName string
	Container   Container
}

// EngineNetwork is one of Docker's networks with its attachments.
type EngineNetwork struct {
	ID, Name    string
	Attachments []Attachment
}

// Engine asks Docker (implemented over internal/dockerapi). None of its calls but Domains may be made to wait for a
// lock that Docker holds during a plugin request: only lists and network inspect.
type Engine interface {
	// Attachment returns the container of an endpoint; ErrUnknown while Docker does not list it.
	Attachment(ctx context.Context, networkID, endpointID string) (Attachment, error)
	// Networks returns the networks of this driver with all attachments of running containers.
	Networks(ctx context.Context) ([]EngineNetwork, error)
	// ContainerIDs returns the ids of all containers, stopped ones included.
	ContainerIDs(ctx context.Context) ([]string, error)
	// Domains returns by which names others ask Docker's DNS for a container, by endpoint. Unlike the others it may wait as
	// long as a request for the container is under way.
	Domains(ctx context.Context, containerID string) (map[string][]string, error)
}

// Leases are the addresses that IPAM has given away (implemented by ipam).
type Leases interface {
	// Reclaim frees every lease and pool that is not in use and not young, and returns the freed addresses.
	Reclaim(ctx context.Context, inUse []netip.Addr) ([]netip.Addr, error)
}
