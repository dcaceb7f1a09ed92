package maps

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// The bounds of the time between two rounds of an Expirer. The upper one is how late the totals of a flow may be told that
// ended in silence.
const (
	minRound = 10 * time.Second
	maxRound = time.Minute
)

// releasePause is how long addresses are collected that containers gave up.
const releasePause = 500 * time.Millisecond

// Expirer removes flows that are over and the masquerade ports that they held. The maps would do without it, since they
// throw out what was unused longest; but ports come free and lists stay short.
type Expirer struct {
	flows *Flows
	nat   *NAT
	log   logrus.FieldLogger

	mu       sync.Mutex
	released map[netip.Addr]uint64 // when their containers gave them up, CLOCK_MONOTONIC ns
	wake     chan struct{}
}

// NewExpirer returns an Expirer that Run starts.
func NewExpirer(flows *Flows, nat *NAT, log logrus.FieldLogger) *Expirer {
	return &Expirer{flows: flows, nat: nat, log: log, released: map[netip.Addr]uint64{}, wake: make(chan struct{}, 1)}
}

// Release says that the address has no container any more. The flows that it had are over: the container that gets it
// next begins with none.
func (e *Expirer) Release(addr netip.Addr) {
	e.mu.Lock()
	e.released[addr] = monotonic()
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// endReleased ends the flows that addresses had when they were given up.
func (e *Expirer) endReleased() error {
	e.mu.Lock()
	released := e.released
	e.released = map[netip.Addr]uint64{}
	e.mu.Unlock()
	_, _, err := e.flows.deleteIf(func(f Flow) bool {
		return f.State.Opened < max(released[f.Initiator.Addr()], released[f.Responder.Addr()])
	})
	return err
}

// monotonic is the clock of abi.Flow.Opened.
func monotonic() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // the clock exists on every supported kernel
	}
	return uint64(ts.Nano())
}

// Round is what one pass did.
type Round struct {
	Seen, Flows, Mappings int // entries looked at; removed flows and mappings
}

// Once makes one pass.
func (e *Expirer) Once() (r Round, err error) {
	if r.Seen, r.Flows, err = e.flows.deleteIf(Flow.Expired); err != nil {
		return r, err
	}
	r.Mappings, err = e.nat.Free(e.flows)
	return r, err
}

// Run makes passes until ctx ends: the more there is to remove, the more often.
func (e *Expirer) Run(ctx context.Context) {
	var releases sync.WaitGroup
	releases.Go(func() { e.followReleases(ctx) })
	defer releases.Wait()
	pause := minRound
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		r, err := e.Once()
		if err != nil {
			e.log.WithError(err).Warn("expire flows")
			continue
		}
		pause = nextPause(pause, r)
	}
}

// followReleases ends the flows of addresses soon after they were given up.
func (e *Expirer) followReleases(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(releasePause):
		}
		if err := e.endReleased(); err != nil {
			e.log.WithError(err).Warn("end flows of containers that are gone")
		}
	}
}

// nextPause shortens the pause by the share of flows that were over if that was more than a quarter, and lengthens it if
// hardly any was.
func nextPause(pause time.Duration, r Round) time.Duration {
	share := float64(r.Flows) / float64(max(r.Seen, 1))
	switch {
	case share > 0.25:
		pause = time.Duration(float64(pause) * (1 - share))
	case share < 0.05:
		pause += pause / 2
	}
	return min(max(pause, minRound), maxRound)
}
