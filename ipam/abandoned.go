package ipam

import (
	"context"
	"net/netip"
	"slices"
	"time"
)

// Networks tells which subnets Docker's networks have (implemented over internal/dockerapi).
type Networks interface {
	// Subnets returns the subnets of the networks of all drivers.
	Subnets(ctx context.Context) ([]netip.Prefix, error)
}

// askTime bounds the question to Docker.
const askTime = 500 * time.Millisecond

// dropAbandoned forgets the pools in the way of a wanted subnet whose asker ended before it made a network of them: an
// engine that is killed in the middle of docker network create asks for the same subnet again when the user does. No
// creation is under way for a process that is gone, and what it finished Docker lists.
func (a *Allocator) dropAbandoned(ctx context.Context, wanted netip.Prefix) error {
	if a.Networks == nil {
		return nil
	}
	suspects := a.orphans(wanted)
	if len(suspects) == 0 {
		return nil
	}
	asked, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	used, err := a.Networks.Subnets(asked)
	if err != nil {
		return nil // the subnet is refused as any other that is taken
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range suspects {
		now := a.pools[p.ID]
		if now == nil || now.record.By != p.By || slices.ContainsFunc(used, p.Subnet.Overlaps) {
			continue
		}
		if err := a.releasePool(ctx, p.ID); err != nil {
			return err
		}
	}
	return nil
}

// orphans returns the pools that overlap a subnet and whose asker ended.
func (a *Allocator) orphans(wanted netip.Prefix) []Pool {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []Pool
	for _, s := range a.pools {
		if s.record.Subnet.Overlaps(wanted) && s.record.By.Ended() {
			all = append(all, s.record)
		}
	}
	return all
}
