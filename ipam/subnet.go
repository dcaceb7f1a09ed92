package ipam

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/sluice-net/sluice/internal/peer"
	"github.com/sluice-net/sluice/ipam/pool"
)

// ulaSize is the length of automatic IPv6 subnets.
const ulaSize = 64

// maxWaiting bounds the automatic pools that have no lease yet: dockerd asks again without end, keeping each answer,
// while it finds the answer to overlap a route of the host.
const maxWaiting = 64

// PoolRequest asks for the subnet of a network.
type PoolRequest struct {
	Subnet  netip.Prefix // invalid: an automatic one
	Range   netip.Prefix // where addresses are chosen; invalid: in the whole subnet
	IPv6    bool
	Options PoolOptions
}

// AddressRequest asks for one address.
type AddressRequest struct {
	PoolID  string
	Address netip.Addr // invalid: the next free one
	Gateway bool       // it becomes the network's gateway
	Name    string     // of the container, where known
}

// RequestPool gives a network the wanted subnet, or one of its own that nothing on the host uses.
func (a *Allocator) RequestPool(ctx context.Context, r PoolRequest) (Pool, error) {
	if r.Subnet.IsValid() {
		if err := a.dropAbandoned(ctx, r.Subnet); err != nil {
			return Pool{}, fmt.Errorf("request pool: %w", err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	subnet, err := r.Subnet, error(nil)
	if subnet.IsValid() {
		err = a.checkSubnet(r)
	} else {
		subnet, err = a.automatic(ctx, r)
	}
	if err != nil {
		return Pool{}, fmt.Errorf("request pool: %w", err)
	}
	subnet = subnet.Masked()
	p := Pool{
		ID: poolID(subnet), Subnet: subnet, Automatic: !r.Subnet.IsValid(), Since: a.Now().UTC(), By: peer.From(ctx),
	}
	if r.Range.IsValid() {
		p.Range = r.Range.Masked()
	}
	if err := a.add(p); err != nil {
		return Pool{}, fmt.Errorf("request pool: %w", err)
	}
	if err := a.save(ctx, put(poolKey(p.ID), p)); err != nil {
		delete(a.pools, p.ID)
		return Pool{}, fmt.Errorf("request pool %s: %w", p.ID, err)
	}
	return p, nil
}

// checkSubnet refuses what is no subnet of containers or overlaps another pool.
func (a *Allocator) checkSubnet(r PoolRequest) error {
	if err := pool.Valid(r.Subnet); err != nil {
		return err
	}
	if r.Subnet.Addr().Is6() != r.IPv6 {
		return fmt.Errorf("subnet %s is of the wrong family", r.Subnet)
	}
	if r.Options.Size != 0 {
		return fmt.Errorf("option %s is for automatic subnets, not for %s", optionSize, r.Subnet)
	}
	for _, s := range a.pools {
		if s.record.Subnet.Overlaps(r.Subnet) {
			return fmt.Errorf("subnet %s: %w %s of another network: choose another --subnet or remove that network",
				r.Subnet, ErrOverlap, s.record.Subnet)
		}
	}
	return nil
}

// automatic finds a subnet that overlaps neither pools nor what the host uses.
func (a *Allocator) automatic(ctx context.Context, r PoolRequest) (netip.Prefix, error) {
	if r.Range.IsValid() {
		return netip.Prefix{}, fmt.Errorf("range %s needs a subnet", r.Range)
	}
	used, err := a.usedByHost()
	if err != nil {
		return netip.Prefix{}, err
	}
	waiting := 0
	for _, s := range a.pools {
		used = append(used, s.record.Subnet)
		if s.record.Automatic && len(s.leases) == 0 && s.record.Subnet.Addr().Is6() == r.IPv6 {
			waiting++
		}
	}
	if waiting >= maxWaiting {
		return netip.Prefix{}, fmt.Errorf("%d automatic subnets wait for their first address: Docker refuses them, "+
			"perhaps since a route of the host covers them all; give the network a --subnet", waiting)
	}
	blocks, err := a.blocks(ctx, r)
	if err != nil {
		return netip.Prefix{}, err
	}
	for _, b := range blocks {
		if p, ok := b.Free(a.last[b], used); ok {
			a.last[b] = p
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("no automatic subnet is left in %v: give the network a --subnet, or Sluice more "+
		"address blocks", blocks)
}

// blocks are where a request's subnet may come from.
func (a *Allocator) blocks(ctx context.Context, r PoolRequest) ([]pool.Block, error) {
	if !r.IPv6 {
		if r.Options.Size == 0 {
			return a.Blocks, nil
		}
		var sized []pool.Block
		for _, b := range a.Blocks {
			if b.Size = r.Options.Size; b.Check() == nil {
				sized = append(sized, b)
			}
		}
		if sized == nil {
			return nil, fmt.Errorf("option %s=%d: no address block of %v can be cut so", optionSize, r.Options.Size, a.Blocks)
		}
		return sized, nil
	}
	if a.block.Base.IsValid() {
		return []pool.Block{a.block}, nil
	}
	b := pool.Block{Base: randomULA(), Size: ulaSize}
	if err := a.save(ctx, put(ulaKey, b.Base)); err != nil {
		return nil, fmt.Errorf("store the IPv6 prefix: %w", err)
	}
	a.block = b
	return []pool.Block{b}, nil
}

// randomULA is a locally assigned /48 with a random global id (RFC 4193, section 3.2).
func randomULA() netip.Prefix {
	var raw [16]byte
	_, _ = rand.Read(raw[:6]) // never fails
	raw[0] = 0xfd
	return netip.PrefixFrom(netip.AddrFrom16(raw), 48)
}

// usedByHost are the host's subnets and nameservers. Routes that split a default route in a few large pieces (as VPNs
// make them) use no subnet.
func (a *Allocator) usedByHost() ([]netip.Prefix, error) {
	routes, err := a.Host.Prefixes()
	if err != nil {
		return nil, fmt.Errorf("read the host's routes: %w", err)
	}
	var used []netip.Prefix
	for _, p := range routes {
		if p.Bits() >= 7 { // fc00::/7 is the largest prefix that means a site
			used = append(used, p.Masked())
		}
	}
	for _, file := range a.ResolvConf {
		servers, err := Nameservers(file)
		if err != nil {
			return nil, err
		}
		for _, addr := range servers {
			used = append(used, netip.PrefixFrom(addr, addr.BitLen()))
		}
	}
	return used, nil
}

// Nameservers reads the addresses that a resolv.conf(5) names; none if there is no such file.
func Nameservers(file string) ([]netip.Addr, error) {
	raw, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read nameservers: %w", err)
	}
	return nameservers(raw), nil
}

// nameservers reads the addresses of a resolv.conf(5).
func nameservers(raw []byte) []netip.Addr {
	var all []netip.Addr
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(f[1]); err == nil {
			all = append(all, addr.WithZone("").Unmap())
		}
	}
	return all
}
