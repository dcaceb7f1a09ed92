package ipam

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	plugin "github.com/docker/go-plugins-helpers/ipam"
)

const (
	optionSize    = "sluice.size"
	dockerOptions = "com.docker.network."
	addressType   = "RequestAddressType"
	gatewayType   = "com.docker.network.gateway"
	endpointName  = "com.docker.network.endpoint.name"
)

// PoolOptions are the parsed options of docker network create --ipam-opt.
type PoolOptions struct {
	Size int // length of an automatic IPv4 subnet; 0: as the address block says
}

// ParsePoolOptions refuses unknown options and bad values. Docker's own options are left alone.
func ParsePoolOptions(options map[string]string) (PoolOptions, error) {
	var o PoolOptions
	for _, key := range slices.Sorted(maps.Keys(options)) {
		value := options[key]
		switch {
		case strings.HasPrefix(key, dockerOptions):
		case key == optionSize:
			n, err := strconv.Atoi(value)
			if err != nil || n < 8 || n > 30 {
				return o, fmt.Errorf("ipam option %s=%q: the length of an IPv4 subnet from 8 to 30 is wanted", key, value)
			}
			o.Size = n
		default:
			return o, fmt.Errorf("unknown ipam option %q: valid is %s=LENGTH", key, optionSize)
		}
	}
	return o, nil
}

// Driver answers the requests of Docker's IPAM protocol.
type Driver struct{ Allocator *Allocator }

// RequestPool answers IpamDriver.RequestPool.
func (d Driver) RequestPool(ctx context.Context, r plugin.RequestPoolRequest) (plugin.RequestPoolResponse, error) {
	var none plugin.RequestPoolResponse
	options, err := ParsePoolOptions(r.Options)
	if err != nil {
		return none, err
	}
	want := PoolRequest{IPv6: r.V6, Options: options}
	if want.Subnet, err = parsePrefix("subnet", r.Pool); err != nil {
		return none, err
	}
	if want.Range, err = parsePrefix("range", r.SubPool); err != nil {
		return none, err
	}
	if want.IPv6 {
		want.Options.Size = 0 // Docker passes the options with both families' requests
	}
	p, err := d.Allocator.RequestPool(ctx, want)
	if err != nil {
		return none, err
	}
	return plugin.RequestPoolResponse{PoolID: p.ID, Pool: p.Subnet.String(), Data: map[string]string{}}, nil
}

// ReleasePool answers IpamDriver.ReleasePool.
func (d Driver) ReleasePool(ctx context.Context, r plugin.ReleasePoolRequest) error {
	return d.Allocator.ReleasePool(ctx, r.PoolID)
}

// RequestAddress answers IpamDriver.RequestAddress.
func (d Driver) RequestAddress(ctx context.Context, r plugin.RequestAddressRequest) (plugin.RequestAddressResponse, error) {
	var none plugin.RequestAddressResponse
	addr, err := parseAddr(r.Address)
	if err != nil {
		return none, err
	}
	prefix, err := d.Allocator.RequestAddress(ctx, AddressRequest{
		PoolID: r.PoolID, Address: addr, Gateway: r.Options[addressType] == gatewayType, Name: r.Options[endpointName],
	})
	if err != nil {
		return none, err
	}
	return plugin.RequestAddressResponse{Address: prefix.String(), Data: map[string]string{}}, nil
}

// ReleaseAddress answers IpamDriver.ReleaseAddress.
func (d Driver) ReleaseAddress(ctx context.Context, r plugin.ReleaseAddressRequest) error {
	addr, err := parseAddr(r.Address)
	if err != nil {
		return err
	}
	return d.Allocator.ReleaseAddress(ctx, r.PoolID, addr)
}

// parsePrefix reads a CIDR; "" is the invalid prefix.
func parsePrefix(what, s string) (netip.Prefix, error) {
	if s == "" {
		return netip.Prefix{}, nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%s %q is not of the form address/length", what, s)
	}
	return p, nil
}

// parseAddr reads an address, also one with a length; "" is the invalid address.
func parseAddr(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	host, _, _ := strings.Cut(s, "/")
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", s)
	}
	return addr.Unmap(), nil
}
