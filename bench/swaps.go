package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/bench/load"
	"github.com/sluice-net/sluice/internal/netns"
)

const (
	// swapsWanted is how many program-array slots are written under load; a quick run writes a tenth.
	swapsWanted = 10_000
	// swapsPerCall is two programs for each of two containers.
	swapsPerCall = 4
	// swapsLimit ends the swaps, however few there were.
	swapsLimit = 2 * time.Minute
)

// swapResult is what became of packets while programs were swapped.
type swapResult struct {
	wanted, swaps    int
	sent, received   uint64 // by the devices of both containers
	stalls, datagram int64  // bursts without answer, datagrams that did not arrive
}

// lost counts the packets that one device sent and the other did not receive.
func (r swapResult) lost() int64 { return int64(r.sent) - int64(r.received) }

// measureSwaps swaps the programs of both containers as fast as the daemon can while they exchange all kinds of load,
// and compares the counters of their devices.
func (s *scene) measureSwaps(ctx context.Context, o options) (swapResult, error) {
	wanted := swapsWanted
	if o.quick {
		wanted /= 10
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := s.paths[pathSluice]
	ends, err := openEnds(p)
	if err != nil {
		return swapResult{}, err
	}
	defer ends.close()
	before, err := ends.count()
	if err != nil {
		return swapResult{}, err
	}
	r := swapResult{wanted: wanted}
	swapping := make(chan error, 1)
	var ended atomic.Bool
	go func() {
		defer ended.Store(true)
		var err error
		r.swaps, err = s.swap(ctx, wanted)
		swapping <- err
	}()
	if err := s.loadWhile(ctx, o, &r, func() bool { return !ended.Load() }); err != nil {
		cancel()
		<-swapping
		return r, err
	}
	if err := <-swapping; err != nil {
		return r, err
	}
	after, err := ends.count()
	if err != nil {
		return r, err
	}
	r.sent = after.sent - before.sent
	r.received = after.received - before.received
	return r, nil
}

// swap regenerates both containers until there were so many swaps, or the time is over.
func (s *scene) swap(ctx context.Context, wanted int) (done int, err error) {
	for end := time.Now().Add(swapsLimit); done < wanted && time.Now().Before(end); done += swapsPerCall {
		results, err := s.api.Regenerate(ctx, api.RegenerateRequest{Refs: []string{"client", "server"}})
		if err != nil {
			return done, fmt.Errorf("swap programs: %w", err)
		}
		for _, r := range results {
			if r.Error != "" {
				return done, fmt.Errorf("swap programs of %s: %s", r.Container, r.Error)
			}
		}
	}
	return done, nil
}

// loadWhile runs every kind of load in turn; one that fails is a connection that did not survive.
func (s *scene) loadWhile(ctx context.Context, o options, r *swapResult, more func() bool) error {
	for modes, i := []load.Mode{load.UDP, load.CRR, load.RR, load.Stream}, 0; more() || i < len(modes); i++ {
		sample, err := s.send(ctx, task{pathSluice, modes[i%len(modes)]}, o.slice, o.cpu)
		if err != nil {
			return fmt.Errorf("load during swaps: %w", err)
		}
		if modes[i%len(modes)] == load.UDP {
			r.stalls += int64(sample.Client.Stalls)
			r.datagram += sample.Lost()
		}
	}
	return nil
}

// ends are the devices in the two containers.
type ends struct {
	handles [2]*netlink.Handle
}

type counters struct{ sent, received uint64 }

func openEnds(p path) (*ends, error) {
	e := &ends{}
	for i, name := range []string{p.client, p.server} {
		n, err := netns.Open(name)
		if err != nil {
			return nil, err
		}
		e.handles[i], err = n.Netlink()
		n.Close()
		if err != nil {
			return nil, err
		}
	}
	return e, e.quiet()
}

// quiet makes the neighbours permanent, so that the devices carry nothing but the load.
func (e *ends) quiet() error {
	for _, h := range e.handles {
		neighbours, err := h.NeighList(0, netlink.FAMILY_V4)
		if err != nil {
			return fmt.Errorf("list neighbours: %w", err)
		}
		for _, n := range neighbours {
			if len(n.HardwareAddr) == 0 {
				continue
			}
			n.State = netlink.NUD_PERMANENT
			if err := h.NeighSet(&n); err != nil {
				return fmt.Errorf("keep neighbour %v: %w", n.IP, err)
			}
		}
	}
	return nil
}

func (e *ends) close() {
	for _, h := range e.handles {
		h.Close()
	}
}

// count adds what both devices sent, and what both received.
func (e *ends) count() (counters, error) {
	var c counters
	for _, h := range e.handles {
		link, err := h.LinkByName("eth0")
		if err != nil {
			return c, fmt.Errorf("count packets of eth0: %w", err)
		}
		c.sent += link.Attrs().Statistics.TxPackets
		c.received += link.Attrs().Statistics.RxPackets
	}
	return c, nil
}
