package driver

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	api "github.com/docker/go-plugins-helpers/network"

	"github.com/sluice-net/sluice/endpoint"
)

// networkMethods enters the methods of the network driver.
func (s *Server) networkMethods() {
	static := func(answer any) Method {
		return func(context.Context, []byte) (any, error) { return answer, nil }
	}
	s.methods["NetworkDriver.GetCapabilities"] = static(map[string]any{
		"Scope": api.LocalScope, "ConnectivityScope": api.LocalScope, "GwAllocChecker": true,
	})
	s.methods["NetworkDriver.GwAllocCheck"] = method(gwAllocCheck)
	s.methods["NetworkDriver.AllocateNetwork"] = method(s.allocateNetwork)
	s.methods["NetworkDriver.FreeNetwork"] = method(func(context.Context, *api.FreeNetworkRequest) (any, error) { return nil, nil })
	s.methods["NetworkDriver.DiscoverNew"] = method(func(context.Context, *api.DiscoveryNotification) (any, error) { return nil, nil })
	s.methods["NetworkDriver.DiscoverDelete"] = method(func(context.Context, *api.DiscoveryNotification) (any, error) { return nil, nil })
	s.methods["NetworkDriver.CreateNetwork"] = method(s.createNetwork)
	s.methods["NetworkDriver.DeleteNetwork"] = method(s.deleteNetwork)
	s.methods["NetworkDriver.CreateEndpoint"] = method(s.createEndpoint)
	s.methods["NetworkDriver.EndpointOperInfo"] = method(s.operInfo)
	s.methods["NetworkDriver.DeleteEndpoint"] = method(s.deleteEndpoint)
	s.methods["NetworkDriver.Join"] = method(s.join)
	s.methods["NetworkDriver.Leave"] = method(s.leave)
	s.methods["NetworkDriver.ProgramExternalConnectivity"] = method(s.program)
	s.methods["NetworkDriver.RevokeExternalConnectivity"] = method(s.revoke)
}

// gwAllocCheck is asked by engines from 28 on before anything is allocated: the moment to refuse options. Every network
// gets a gateway address, internal ones too: ICMP errors come from it.
func gwAllocCheck(_ context.Context, r *struct{ Options map[string]any }) (any, error) {
	if _, err := genericOptions(r.Options); err != nil {
		return nil, fmt.Errorf("create network: %w", err)
	}
	return map[string]bool{"SkipIPv4": false, "SkipIPv6": false}, nil
}

func (s *Server) allocateNetwork(context.Context, *api.AllocateNetworkRequest) (any, error) {
	return nil, fmt.Errorf("allocate network: the driver has scope local, swarm networks are not supported")
}

func (s *Server) createNetwork(ctx context.Context, r *api.CreateNetworkRequest) (any, error) {
	request, err := networkRequest(r)
	if err != nil {
		return nil, fmt.Errorf("create network: %w", err)
	}
	return nil, s.Networks.CreateNetwork(ctx, request)
}

func (s *Server) deleteNetwork(ctx context.Context, r *api.DeleteNetworkRequest) (any, error) {
	if err := checkIDs(r.NetworkID); err != nil {
		return nil, err
	}
	return nil, s.Networks.DeleteNetwork(ctx, r.NetworkID)
}

func (s *Server) createEndpoint(ctx context.Context, r *api.CreateEndpointRequest) (any, error) {
	request, err := endpointRequest(r)
	if err != nil {
		return nil, fmt.Errorf("create endpoint: %w", err)
	}
	answer, err := s.Endpoints.CreateEndpoint(ctx, request)
	if err != nil {
		return nil, err
	}
	var i api.EndpointInterface
	if answer.IPv4.IsValid() {
		i.Address = answer.IPv4.String()
	}
	if answer.IPv6.IsValid() {
		i.AddressIPv6 = answer.IPv6.String()
	}
	if answer.MAC != nil {
		i.MacAddress = answer.MAC.String()
	}
	if i == (api.EndpointInterface{}) {
		return api.CreateEndpointResponse{}, nil
	}
	return api.CreateEndpointResponse{Interface: &i}, nil
}

func (s *Server) operInfo(ctx context.Context, r *api.InfoRequest) (any, error) {
	if err := checkIDs(r.NetworkID, r.EndpointID); err != nil {
		return nil, err
	}
	value, err := s.Endpoints.OperInfo(ctx, r.NetworkID, r.EndpointID)
	return api.InfoResponse{Value: value}, err
}

func (s *Server) deleteEndpoint(ctx context.Context, r *api.DeleteEndpointRequest) (any, error) {
	if err := checkIDs(r.NetworkID, r.EndpointID); err != nil {
		return nil, err
	}
	return nil, s.Endpoints.DeleteEndpoint(ctx, r.NetworkID, r.EndpointID)
}

func (s *Server) join(ctx context.Context, r *api.JoinRequest) (any, error) {
	if err := checkIDs(r.NetworkID, r.EndpointID); err != nil {
		return nil, err
	}
	if r.SandboxKey == "" {
		return nil, fmt.Errorf("%w: SandboxKey is empty", errRequest)
	}
	exposed, ports, err := portOptions(r.Options)
	if err != nil {
		return nil, err
	}
	answer, err := s.Endpoints.Join(ctx, endpoint.JoinRequest{
		NetworkID: r.NetworkID, EndpointID: r.EndpointID, SandboxKey: r.SandboxKey, Exposed: exposed, Ports: ports,
	})
	if err != nil {
		return nil, err
	}
	return joinResponse(answer), nil
}

func joinResponse(a endpoint.JoinAnswer) api.JoinResponse {
	r := api.JoinResponse{
		InterfaceName:         api.InterfaceName{SrcName: a.SrcName, DstPrefix: a.DstPrefix},
		DisableGatewayService: a.DisableGatewayService,
	}
	if a.Gateway.IsValid() {
		r.Gateway = a.Gateway.String()
	}
	if a.Gateway6.IsValid() {
		r.GatewayIPv6 = a.Gateway6.String()
	}
	const nextHop, connected = 0, 1
	for _, route := range a.StaticRoutes {
		sr := &api.StaticRoute{Destination: route.Destination.String(), RouteType: connected}
		if route.NextHop.IsValid() {
			sr.RouteType, sr.NextHop = nextHop, route.NextHop.String()
		}
		r.StaticRoutes = append(r.StaticRoutes, sr)
	}
	return r
}

func (s *Server) leave(ctx context.Context, r *api.LeaveRequest) (any, error) {
	if err := checkIDs(r.NetworkID, r.EndpointID); err != nil {
		return nil, err
	}
	return nil, s.Endpoints.Leave(ctx, r.NetworkID, r.EndpointID)
}

func (s *Server) program(ctx context.Context, r *api.ProgramExternalConnectivityRequest) (any, error) {
	if err := checkIDs(r.NetworkID, r.EndpointID); err != nil {
		return nil, err
	}
	_, ports, err := portOptions(r.Options)
	if err != nil {
		return nil, err
	}
	split, err := boolOption(r.Options, optionSplit)
	if err != nil {
		return nil, err
	}
	return nil, s.Ports.Program(ctx, endpoint.PortsRequest{NetworkID: r.NetworkID, EndpointID: r.EndpointID, Ports: ports, Split: split})
}

func (s *Server) revoke(ctx context.Context, r *api.RevokeExternalConnectivityRequest) (any, error) {
	if err := checkIDs(r.NetworkID, r.EndpointID); err != nil {
		return nil, err
	}
	return nil, s.Ports.Revoke(ctx, r.NetworkID, r.EndpointID)
}

// checkIDs refuses what cannot be one of Docker's ids: they become keys of the store.
func checkIDs(ids ...string) error {
	for _, id := range ids {
		if len(id) < 1 || len(id) > 128 {
			return fmt.Errorf("%w: an id has %d characters", errRequest, len(id))
		}
		for _, c := range id {
			if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return fmt.Errorf("%w: id %q has other characters than letters and digits", errRequest, id)
			}
		}
	}
	return nil
}

// networkRequest reads the request to make a network.
func networkRequest(r *api.CreateNetworkRequest) (endpoint.NetworkRequest, error) {
	if err := checkIDs(r.NetworkID); err != nil {
		return endpoint.NetworkRequest{}, err
	}
	out := endpoint.NetworkRequest{ID: r.NetworkID}
	var err error
	if out.Internal, err = boolOption(r.Options, optionInternal); err != nil {
		return out, err
	}
	if out.Options, err = genericOptions(r.Options); err != nil {
		return out, err
	}
	if out.IPv4, err = subnets(r.IPv4Data, true); err != nil {
		return out, err
	}
	out.IPv6, err = subnets(r.IPv6Data, false)
	return out, err
}

// subnets reads the pools of one family.
func subnets(data []*api.IPAMData, is4 bool) ([]endpoint.Subnet, error) {
	var all []endpoint.Subnet
	for _, d := range data {
		if d == nil {
			return nil, fmt.Errorf("%w: a pool is null", errRequest)
		}
		pool, err := netip.ParsePrefix(d.Pool)
		if err != nil || pool.Addr().Is4() != is4 {
			return nil, fmt.Errorf("%w: pool %q", errRequest, d.Pool)
		}
		s := endpoint.Subnet{Space: d.AddressSpace, Pool: pool.Masked()}
		if d.Gateway != "" {
			g, err := netip.ParsePrefix(d.Gateway)
			if err != nil || g.Addr().Is4() != is4 {
				return nil, fmt.Errorf("%w: gateway %q", errRequest, d.Gateway)
			}
			s.Gateway = g.Addr()
		}
		for name, value := range d.AuxAddresses {
			text, _ := value.(string)
			p, err := netip.ParsePrefix(text)
			if err != nil {
				return nil, fmt.Errorf("%w: aux address %s: %v", errRequest, name, value)
			}
			if s.Aux == nil {
				s.Aux = map[string]netip.Addr{}
			}
			s.Aux[name] = p.Addr()
		}
		all = append(all, s)
	}
	return all, nil
}

// endpointRequest reads the request to make an endpoint.
func endpointRequest(r *api.CreateEndpointRequest) (endpoint.EndpointRequest, error) {
	if err := checkIDs(r.NetworkID, r.EndpointID); err != nil {
		return endpoint.EndpointRequest{}, err
	}
	out := endpoint.EndpointRequest{NetworkID: r.NetworkID, ID: r.EndpointID}
	var err error
	if out.Options, err = endpointOptions(r.Options); err != nil {
		return out, err
	}
	if out.DNS, err = serverOption(r.Options); err != nil {
		return out, err
	}
	if out.Exposed, out.Ports, err = portOptions(r.Options); err != nil {
		return out, err
	}
	if r.Interface == nil {
		return out, nil
	}
	if out.IPv4, err = optionalPrefix(r.Interface.Address, true); err != nil {
		return out, err
	}
	if out.IPv6, err = optionalPrefix(r.Interface.AddressIPv6, false); err != nil {
		return out, err
	}
	if r.Interface.MacAddress != "" {
		if out.MAC, err = net.ParseMAC(r.Interface.MacAddress); err != nil {
			return out, fmt.Errorf("%w: %w", errRequest, err)
		}
		if len(out.MAC) != 6 || out.MAC[0]&1 != 0 {
			return out, fmt.Errorf("MAC address %s is not an Ethernet address of one host", out.MAC)
		}
	}
	return out, nil
}

func optionalPrefix(s string, is4 bool) (netip.Prefix, error) {
	if s == "" {
		return netip.Prefix{}, nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4() != is4 {
		return netip.Prefix{}, fmt.Errorf("%w: address %q", errRequest, s)
	}
	return p, nil
}
