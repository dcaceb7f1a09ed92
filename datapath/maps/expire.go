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

// gonePause is how long addresses that are gone are gathered, since every look at the flows is one at all of them.
const gonePause = 100 * time.Millisecond

// Expirer removes flows that are over and the masquerade ports that they held. The maps would do without it, since they
// throw out what was unused longest; but ports come free, lists stay short, and the flows' totals are told.
type Expirer struct {
	Flows *Flows
	NAT   *NAT
	Log   logrus.FieldLogger

	mu   sync.Mutex
	gone map[netip.Addr]uint64 // when, by the clock of Flow.Opened
	wake chan struct{}
}

// NewExpirer returns an expirer of these maps; Run makes it work.
func NewExpirer(flows *Flows, nat *NAT, log logrus.FieldLogger) *Expirer {
	return &Expirer{Flows: flows, NAT: nat, Log: log, gone: map[netip.Addr]uint64{}, wake: make(chan struct{}, 1)}
}

// Round is what one pass did.
type Round struct {
	Seen, Flows, Mappings int // entries looked at; removed flows and mappings
}

// Gone says that nobody has an address any more: its flows end, within a moment. Those that its next holder opens do not.
func (e *Expirer) Gone(addr netip.Addr) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return // the clock exists on every supported kernel
	}
	e.mu.Lock()
	e.gone[addr] = uint64(now.Nano())
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Once makes one pass.
func (e *Expirer) Once() (r Round, err error) {
	gone := e.takeGone()
	over := func(f Flow) bool { return f.Expired() || f.ofGone(gone) }
	if r.Seen, r.Flows, err = e.Flows.deleteIf(over); err != nil {
		return r, err
	}
	r.Mappings, err = e.NAT.Free(e.Flows)
	return r, err
}

// endGone ends the flows of addresses that are gone, and says whether there were such addresses.
func (e *Expirer) endGone() error {
	gone := e.takeGone()
	if len(gone) == 0 {
		return nil
	}
	_, _, err := e.Flows.deleteIf(func(f Flow) bool { return f.ofGone(gone) })
	return err
}

func (e *Expirer) takeGone() map[netip.Addr]uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	gone := e.gone
	e.gone = map[netip.Addr]uint64{}
	return gone
}

// ofGone tells whether the flow was opened before one of its ends was gone.
func (f Flow) ofGone(gone map[netip.Addr]uint64) bool {
	for _, a := range []netip.Addr{f.Initiator.Addr(), f.Responder.Addr()} {
		if when, ok := gone[a]; ok && f.State.Opened < when {
			return true
		}
	}
	return false
}

// Run makes passes until ctx ends: the more there is to remove, the more often.
func (e *Expirer) Run(ctx context.Context) {
	pause := minRound
	next := time.NewTimer(pause)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
			e.await(ctx, gonePause)
			if err := e.endGone(); err != nil {
				e.Log.WithError(err).Warn("end the flows of containers that are gone")
			}
			continue
		case <-next.C:
		}
		r, err := e.Once()
		if err != nil {
			e.Log.WithError(err).Warn("expire flows")
		} else {
			pause = nextPause(pause, r)
		}
		next.Reset(pause)
	}
}

func (e *Expirer) await(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
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
