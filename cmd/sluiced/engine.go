package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/sluice-net/sluice/endpoint"
	"github.com/sluice-net/sluice/internal/dockerapi"
	"github.com/sluice-net/sluice/ipam"
)

// engine shows a Docker client as the use-cases want it.
type engine struct{ client *dockerapi.Client }

var _ endpoint.Engine = engine{}

func (e engine) Attachment(ctx context.Context, networkID, endpointID string) (endpoint.Attachment, error) {
	name, a, err := e.client.Attachment(ctx, networkID, endpointID)
	if errors.Is(err, dockerapi.ErrNotListed) {
		err = fmt.Errorf("%w: %w", endpoint.ErrUnknown, err)
	}
	return attachment(name, a), err
}

func (e engine) Networks(ctx context.Context) ([]endpoint.EngineNetwork, error) {
	networks, err := e.client.Networks(ctx)
	var all []endpoint.EngineNetwork
	for _, n := range networks {
		out := endpoint.EngineNetwork{ID: n.ID, Name: n.Name}
		for _, a := range n.Attachments {
			out.Attachments = append(out.Attachments, attachment(n.Name, a))
		}
		all = append(all, out)
	}
	return all, err
}

func (e engine) Domains(ctx context.Context, containerID string) (map[string][]string, error) {
	return e.client.Domains(ctx, containerID)
}

func (e engine) ContainerIDs(ctx context.Context) ([]string, error) {
	containers, err := e.client.Containers(ctx)
	ids := make([]string, 0, len(containers))
	for _, c := range containers {
		ids = append(ids, c.ID)
	}
	return ids, err
}

func attachment(network string, a dockerapi.Attachment) endpoint.Attachment {
	return endpoint.Attachment{
		EndpointID: a.EndpointID, NetworkName: network,
		Container: endpoint.Container{ID: a.Container.ID, Name: a.Container.Name, Image: a.Container.Image, Labels: a.Container.Labels},
	}
}

// leases reclaims what our networks do not use, and spares networks of other drivers that use our IPAM.
type leases struct {
	allocator *ipam.Allocator
	client    *dockerapi.Client
}

func (l leases) Reclaim(ctx context.Context, inUse []netip.Addr) ([]netip.Addr, error) {
	foreign, err := l.client.ForeignSubnets(ctx)
	if err != nil {
		return nil, err
	}
	for _, lease := range l.allocator.Leases() {
		if slices.ContainsFunc(foreign, func(p netip.Prefix) bool { return p.Contains(lease.Addr) }) {
			inUse = append(inUse, lease.Addr)
		}
	}
	return l.allocator.Reclaim(ctx, inUse)
}
