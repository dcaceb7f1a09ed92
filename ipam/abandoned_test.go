package ipam

import (
	"context"
	"errors"
	"net/netip"
	"os/exec"
	"testing"

	"github.com/sluice-net/sluice/internal/peer"
)

// listed are Docker's subnets.
type listed struct {
	subnets []string
	err     error
}

func (l listed) Subnets(context.Context) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, s := range l.subnets {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all, l.err
}

// TestAbandonedPool: a subnet whose asker is gone is free at once, unless Docker has a network there.
func TestAbandonedPool(t *testing.T) {
	gone := exec.Command("sleep", "60")
	if err := gone.Start(); err != nil {
		t.Fatal(err)
	}
	ended := peer.Of(gone.Process.Pid)
	_ = gone.Process.Kill()
	_ = gone.Wait()
	for name, tt := range map[string]struct {
		by     peer.Process
		docker Networks
		wanted string
		ok     bool
	}{
		"the asker was killed":           {ended, listed{subnets: []string{"10.1.0.0/16"}}, "10.9.0.0/24", true},
		"and asks for a part":            {ended, listed{}, "10.9.0.128/25", true},
		"and for IPv6":                   {ended, listed{}, "fd09::/64", true},
		"it lives":                       {peer.Of(1), listed{}, "10.9.0.0/24", false},
		"it is not known":                {"", listed{}, "10.9.0.0/24", false},
		"Docker made the network":        {ended, listed{subnets: []string{"10.9.0.0/24", "fd09::/64"}}, "10.9.0.0/24", false},
		"Docker does not tell":           {ended, listed{err: errors.New("no answer")}, "10.9.0.0/24", false},
		"there is nobody who could tell": {ended, nil, "10.9.0.0/24", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			for _, subnet := range []string{"10.9.0.0/24", "fd09::/64"} {
				p := f.pool(subnet, "")
				f.pools[p.ID].record.By = tt.by
				f.lease(p.ID, "") // writes the record
			}
			f.restart()
			f.Networks = tt.docker
			p, err := f.request(tt.wanted, "")
			if tt.ok != (err == nil) || !tt.ok && !errors.Is(err, ErrOverlap) {
				t.Fatalf("request of %s: %v", tt.wanted, err)
			}
			if tt.ok {
				f.lease(p.ID, p.Subnet.Addr().Next().String()) // the lease that was there is gone too
			}
		})
	}
}
