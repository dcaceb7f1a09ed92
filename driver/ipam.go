package driver

import (
	"context"

	plugin "github.com/docker/go-plugins-helpers/ipam"
)

// The names of the address spaces; the driver has scope local, so the global one is never used off a swarm.
const (
	localSpace  = "SluiceLocal"
	globalSpace = "SluiceGlobal"
)

// IPAM gives and takes pools and addresses (implemented by ipam.Driver).
type IPAM interface {
	RequestPool(ctx context.Context, r plugin.RequestPoolRequest) (plugin.RequestPoolResponse, error)
	ReleasePool(ctx context.Context, r plugin.ReleasePoolRequest) error
	RequestAddress(ctx context.Context, r plugin.RequestAddressRequest) (plugin.RequestAddressResponse, error)
	ReleaseAddress(ctx context.Context, r plugin.ReleaseAddressRequest) error
}

// ipamMethods enters the methods of the IPAM driver. It needs no MAC and no replay: leases are in the store.
func (s *Server) ipamMethods() {
	s.methods["IpamDriver.GetCapabilities"] = func(context.Context, []byte) (any, error) {
		return map[string]bool{"RequiresMACAddress": false, "RequiresRequestReplay": false}, nil
	}
	s.methods["IpamDriver.GetDefaultAddressSpaces"] = func(context.Context, []byte) (any, error) {
		return plugin.AddressSpacesResponse{LocalDefaultAddressSpace: localSpace, GlobalDefaultAddressSpace: globalSpace}, nil
	}
	s.methods["IpamDriver.RequestPool"] = method(func(ctx context.Context, r *plugin.RequestPoolRequest) (any, error) {
		return s.IPAM.RequestPool(ctx, *r)
	})
	s.methods["IpamDriver.ReleasePool"] = method(func(ctx context.Context, r *plugin.ReleasePoolRequest) (any, error) {
		return nil, s.IPAM.ReleasePool(ctx, *r)
	})
	s.methods["IpamDriver.RequestAddress"] = method(func(ctx context.Context, r *plugin.RequestAddressRequest) (any, error) {
		return s.IPAM.RequestAddress(ctx, *r)
	})
	s.methods["IpamDriver.ReleaseAddress"] = method(func(ctx context.Context, r *plugin.ReleaseAddressRequest) (any, error) {
		return nil, s.IPAM.ReleaseAddress(ctx, *r)
	})
}
