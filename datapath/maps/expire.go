package maps

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"
)

// The bounds of the time between two rounds of an Expirer. The upper one is how late the totals of a flow may be told that
// ended in silence.
const (
	minRound = 10 * time.Second
	maxRound = time.Minute
)

// Expirer removes flows that are over and the masquerade ports that they held. The maps would do without it, since they
// throw out what was unused longest; but ports come free and lists stay short.
type Expirer struct {
	Flows *Flows
	NAT   *NAT
	Log   logrus.FieldLogger
}

// Round is what one pass did.
type Round struct {
	Seen, Flows, Mappings int // entries looked at; removed flows and mappings
}

// Once makes one pass.
func (e *Expirer) Once() (r Round, err error) {
	if r.Seen, r.Flows, err = e.Flows.deleteIf(Flow.Expired); err != nil {
		return r, err
	}
	r.Mappings, err = e.NAT.Free(e.Flows)
	return r, err
}

// Run makes passes until ctx ends: the more there is to remove, the more often.
func (e *Expirer) Run(ctx context.Context) {
	pause := minRound
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		r, err := e.Once()
		if err != nil {
			e.Log.WithError(err).Warn("expire flows")
			continue
		}
		pause = nextPause(pause, r)
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
