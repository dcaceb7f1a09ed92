package endpoint

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sluice-net/sluice/api"
)

// passesKept is how many passes Wait can still tell the results of.
const passesKept = 64

// The pauses before programs that could not be replaced are tried again, doubling from the first to the last.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// regeneration serialises the passes that make the kernel follow the records. One pass serves all changes made before
// it began: who comes late finds the work done.
type regeneration struct {
	mu      sync.Mutex // held during a pass, and while an endpoint leaves its slot
	wanted  chan struct{}
	state   sync.Mutex    // guards what follows
	applied uint64        // generation that the newest pass served
	ended   chan struct{} // closed and replaced when a pass ends
	passes  []pass        // the newest ones
	failure error         // why the newest pass could not be made
}

// pass is what one pass did: it served the generations after from, up to to.
type pass struct {
	from, to uint64
	results  []api.Regeneration
}

func (r *regeneration) init() {
	r.wanted = make(chan struct{}, 1)
	r.ended = make(chan struct{})
}

// currentGeneration returns the number of the newest change.
func (m *Manager) currentGeneration() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.generation
}

// requestRegeneration asks for a pass in the background; requests that come before it starts are one.
func (m *Manager) requestRegeneration() {
	select {
	case m.regeneration.wanted <- struct{}{}:
	default:
	}
}

// Run serves the requests for background passes until the context ends, and repeats those of which something failed.
func (m *Manager) Run(ctx context.Context) {
	retry := time.NewTimer(0)
	retry.Stop()
	defer retry.Stop()
	pause := firstRetry
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.regeneration.wanted:
			pause = firstRetry
		case <-retry.C:
			pause = min(2*pause, lastRetry)
		}
		err := m.catchUp(ctx)
		if err != nil {
			m.Log.WithError(err).Error("regenerate programs")
		}
		if err != nil || m.failing() {
			retry.Reset(pause)
		}
	}
}

// catchUp makes every program follow the changes made so far, and takes names back that nobody mentions any more.
func (m *Manager) catchUp(ctx context.Context) error {
	if err := m.relabelMentioned(ctx); err != nil {
		return err
	}
	return m.regenerate(ctx, "")
}

// failing reports whether an endpoint does not run what it should.
func (m *Manager) failing() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, r := range m.running {
		if r.failure != nil {
			return true
		}
	}
	return false
}

func (r *regeneration) appliedTo() uint64 {
	r.state.Lock()
	defer r.state.Unlock()
	return r.applied
}

// finish records a pass and wakes those who wait for it.
func (r *regeneration) finish(to uint64, results []api.Regeneration) {
	r.state.Lock()
	defer r.state.Unlock()
	r.passes = append(r.passes, pass{from: r.applied, to: to, results: results})
	if len(r.passes) > passesKept {
		r.passes = r.passes[1:]
	}
	r.applied, r.failure = max(r.applied, to), nil
	close(r.ended)
	r.ended = make(chan struct{})
}

// fail records why a pass could not be made.
func (r *regeneration) fail(err error) {
	r.state.Lock()
	defer r.state.Unlock()
	r.failure = err
}

// settle waits until no packet is in a replaced program any more. Where a replacement failed there is nothing to promise:
// what failed is the answer then.
func (m *Manager) settle(results []api.Regeneration) error {
	if slices.ContainsFunc(results, func(r api.Regeneration) bool { return r.Error != "" }) {
		return nil
	}
	return m.Programs.Settle()
}

// Wait returns when every program was made after the changes up to a generation, with the results of the pass that
// served it.
func (m *Manager) Wait(ctx context.Context, generation uint64) ([]api.Regeneration, error) {
	if newest := m.currentGeneration(); generation > newest {
		return nil, api.Errorf(api.CodeInvalid, "wait for revision %d: the newest is %d", generation, newest)
	}
	r := &m.regeneration
	for {
		r.state.Lock()
		applied, ended, failure := r.applied, r.ended, r.failure
		for _, p := range r.passes {
			if p.from < generation && generation <= p.to {
				r.state.Unlock()
				return p.results, m.settle(p.results)
			}
		}
		r.state.Unlock()
		if applied >= generation {
			return nil, m.settle(nil)
		}
		m.requestRegeneration()
		select {
		case <-ctx.Done():
			e := api.Errorf(api.CodeUnavailable, "wait for revision %d: the programs are at revision %d", generation, applied)
			if failure != nil {
				e = api.Errorf(api.CodeUnavailable, "wait for revision %d: the programs are at revision %d: %v", generation, applied, failure)
			}
			return nil, e
		case <-ended:
		}
	}
}
