package metrics

import (
	"time"

	"github.com/sluice-net/sluice/observe"
)

// leftPeriod is how long containers that are gone are remembered: flows of them come for a while, as connections expire.
const leftPeriod = 15 * time.Minute

// residents are the containers that are there, by the ids of their endpoints, and those that are not. The caller holds a
// lock.
type residents struct {
	list func() map[string]bool // those that are there now; nil: that cannot be told
	now  time.Time              // of the newest list
	here map[string]bool
	left map[string]time.Time // others, and since when; zero: since before the next list
}

func newResidents(list func() map[string]bool) *residents {
	return &residents{list: list, left: map[string]time.Time{}}
}

// refresh makes the list anew.
func (r *residents) refresh(now time.Time) {
	here := r.list()
	if here == nil {
		return
	}
	for id := range r.here {
		if !here[id] {
			r.left[id] = now
		}
	}
	for id, since := range r.left {
		switch {
		case here[id] || !since.IsZero() && now.Sub(since) > leftPeriod:
			delete(r.left, id)
		case since.IsZero():
			r.left[id] = now
		}
	}
	r.here, r.now = here, now
}

// note remembers a container that a flow is about. It may be newer than the list.
func (r *residents) note(id string) {
	if _, known := r.left[id]; !known && !r.here[id] {
		r.left[id] = r.now
	}
}

// gone reports whether a container is gone for so long that nothing is to be told of it any more.
func (r *residents) gone(id string) bool {
	since, left := r.left[id]
	return left && !since.IsZero() && r.now.Sub(since) >= gonePeriod
}

// goneParty is gone for a party, which need not be a container.
func (r *residents) goneParty(p *observe.Party) bool {
	return p.EndpointID != "" && r.gone(p.EndpointID)
}
