package endpoint

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
)

// running is what the kernel runs for an endpoint. It is replaced, never changed.
type running struct {
	program datapath.Program
	print   string // program's fingerprint, as the kernel has it
	loaded  time.Time
	took    time.Duration
	failure error             // of the newest attempt, the program before runs on
	before  *datapath.Program // of the revision before, for events that are under way
}

// job is one endpoint in a pass: what it should run.
type job struct {
	endpoint  *Endpoint
	network   *Network
	resolvers []policy.Resolver
	dns       string // which resolvers
	capture   uint32 // bytes of its packets that its programs capture
	*planned         // nil if its policy cannot be resolved
	took      time.Duration
	err       error
}

// regenerate makes every program follow the changes made so far. An endpoint that is named must succeed.
func (m *Manager) regenerate(ctx context.Context, must string) error {
	wanted := m.currentGeneration()
	m.regeneration.mu.Lock()
	defer m.regeneration.mu.Unlock()
	if must == "" || m.regeneration.appliedTo() < wanted {
		if _, err := m.pass(context.WithoutCancel(ctx), nil); err != nil {
			return err
		}
	}
	if must == "" {
		return nil
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	r, ok := m.running[must]
	switch {
	case !ok:
		return fmt.Errorf("load programs of endpoint %s: it left meanwhile", short(must))
	case r.failure != nil:
		return fmt.Errorf("load programs of endpoint %s: %w", short(must), r.failure)
	}
	return nil
}

// Regenerate loads and swaps the endpoints' programs anew even if nothing changed.
func (m *Manager) Regenerate(ctx context.Context, ids []string) ([]api.Regeneration, error) {
	m.regeneration.mu.Lock()
	defer m.regeneration.mu.Unlock()
	forced := map[string]bool{}
	for _, id := range ids {
		forced[id] = true
	}
	results, err := m.pass(context.WithoutCancel(ctx), forced)
	return slices.DeleteFunc(results, func(r api.Regeneration) bool { return !forced[r.Endpoint] }), err
}

// pass makes the kernel follow the records: (1) compute what each endpoint should run, and reserve the revisions of
// changed tables, (2) load and swap beside running traffic, (3) only then let addresses name changed identities, so
// that every table knows an identity before a packet goes there, (4) release what nothing uses any more. What fails for
// one endpoint is that endpoint's failure: it keeps what it ran, and the others go on.
func (m *Manager) pass(ctx context.Context, forced map[string]bool) (_ []api.Regeneration, err error) {
	start := time.Now()
	defer func() { m.Recorder.Passed(time.Since(start), err) }()
	s := m.observe()
	if err := m.plan(ctx, s); err != nil {
		m.regeneration.fail(err)
		return nil, err
	}
	changed := m.changed(s.jobs, forced)
	m.swap(ctx, changed)
	m.publish(s.jobs)
	if !slices.ContainsFunc(s.jobs, func(j *job) bool { return j.err != nil }) {
		m.release(ctx, s.retiring)
	}
	var results []api.Regeneration
	for _, j := range s.jobs {
		if j.err != nil || slices.Contains(changed, j) {
			results = append(results, j.result())
		}
	}
	m.regeneration.finish(s.generation, results)
	return results, nil
}

// changed returns the jobs whose program differs from the running one, failed before, or is forced. Those without a
// plan have failed already.
func (m *Manager) changed(jobs []*job, forced map[string]bool) []*job {
	var changed []*job
	for _, j := range jobs {
		m.mu.RLock()
		r := m.running[j.endpoint.ID]
		m.mu.RUnlock()
		switch {
		case j.planned == nil:
			m.remember(j)
		case r == nil || r.failure != nil || forced[j.endpoint.ID] || r.print != j.print:
			changed = append(changed, j)
		}
	}
	return changed
}

// swap replaces the programs of the jobs in an order in which no packet carries an identity that a running table does
// not know: first the containers that keep their identity, then those that change it (each time when all others know
// the new one), at last those that open.
func (m *Manager) swap(ctx context.Context, jobs []*job) {
	var steady, moving, opening []*job
	for _, j := range jobs {
		m.mu.RLock()
		r := m.running[j.endpoint.ID]
		m.mu.RUnlock()
		switch {
		case r == nil || r.print == "" || r.program.Closed:
			opening = append(opening, j)
		case r.program.Identity != j.program.Identity:
			moving = append(moving, j)
		default:
			steady = append(steady, j)
		}
	}
	m.replace(ctx, steady)
	if len(moving) > 1 {
		m.replace(ctx, m.steps(moving))
	}
	m.replace(ctx, moving)
	m.replace(ctx, opening)
}

// steps returns, for jobs that change their identity at the same time, jobs that give them their new tables under the
// old identity.
func (m *Manager) steps(jobs []*job) []*job {
	var steps []*job
	for _, j := range jobs {
		m.mu.RLock()
		old := m.running[j.endpoint.ID].program.Identity
		m.mu.RUnlock()
		p := *j.planned
		p.program.Identity = old
		p.print = p.program.Fingerprint()
		steps = append(steps, &job{endpoint: j.endpoint, network: j.network, planned: &p})
	}
	return steps
}

// replace replaces the programs of the jobs, on all processors, and remembers what runs.
func (m *Manager) replace(ctx context.Context, jobs []*job) {
	queue := make(chan *job)
	var workers sync.WaitGroup
	for range min(runtime.NumCPU(), len(jobs)) {
		workers.Go(func() {
			for j := range queue {
				start := time.Now()
				j.err = m.Programs.Replace(ctx, j.program)
				j.took = time.Since(start)
				m.Recorder.Replaced(j.took, j.err)
				m.remember(j)
			}
		})
	}
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	workers.Wait()
}

// remember records the outcome of a job.
func (m *Manager) remember(j *job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.writeReplaced(j)
	old := m.running[j.endpoint.ID]
	if j.err != nil {
		failed := running{}
		if old != nil {
			failed = *old
		}
		failed.failure = j.err
		m.running[j.endpoint.ID] = &failed
		m.Log.WithError(j.err).WithField("endpoint", short(j.endpoint.ID)).Error("programs not replaced, the ones before run on")
		return
	}
	now := &running{program: j.program, print: j.print, loaded: m.Now(), took: j.took}
	if old != nil {
		now.before = old.before
		if old.program.Revision != j.program.Revision {
			now.before = &old.program
		}
	}
	m.running[j.endpoint.ID] = now
	m.parties.setRunning(now)
}

// publish lets the addresses of endpoints whose programs run name their identity and slot.
func (m *Manager) publish(jobs []*job) {
	for _, j := range jobs {
		m.mu.RLock()
		r := m.running[j.endpoint.ID]
		m.mu.RUnlock()
		if j.planned == nil || r == nil || r.program.Slot != j.program.Slot || r.program.Identity != j.program.Identity {
			continue // its first program failed, or the one before runs on: so does the address
		}
		a := datapath.Address{
			Ifindex: j.program.HostIfindex, Identity: j.program.Identity, Network: j.program.Network,
			Slot: j.program.Slot, MAC: j.program.MAC, Routed: !j.program.Masquerade && !j.program.Internal,
		}
		for _, addr := range j.endpoint.addrs() {
			if same(m.published[addr], a) {
				continue
			}
			if err := m.Addresses.Put(addr, a); err != nil {
				j.err = fmt.Errorf("publish address %s: %w", addr, err)
				m.remember(j)
				break
			}
			m.published[addr] = a
		}
	}
}

// same compares two entries of the address map.
func same(a, b datapath.Address) bool {
	return a.Ifindex == b.Ifindex && a.Identity == b.Identity && a.Network == b.Network && a.Slot == b.Slot &&
		a.Host == b.Host && slices.Equal(a.MAC, b.MAC)
}

// retire has the next pass release an identity that nothing uses any more.
func (m *Manager) retire(id identity.ID) {
	if id.Reserved() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.retired = append(m.retired, id)
	m.generation++
}

// release gives back the retired identities of which a pass has ended the use. Tables may still list them: the next
// pass, asked for here, drops them. What cannot be released now is tried again after the next pass.
func (m *Manager) release(ctx context.Context, ids []identity.ID) {
	var errs []error
	for _, id := range ids {
		if err := m.releaseIdentity(ctx, id); err != nil {
			errs = append(errs, err)
			continue
		}
		m.mu.Lock()
		i := slices.Index(m.retired, id)
		m.retired = slices.Delete(slices.Clone(m.retired), i, i+1)
		m.generation++
		m.mu.Unlock()
		m.requestRegeneration()
	}
	if err := errors.Join(errs...); err != nil {
		m.Log.WithError(err).Error("release identities")
	}
}

// result tells what became of a job.
func (j *job) result() api.Regeneration {
	r := api.Regeneration{
		Endpoint: j.endpoint.ID, Container: j.endpoint.Container.Name, Network: j.network.title(), Took: j.took,
	}
	if j.planned != nil {
		r.Revision = j.program.Revision
	}
	if j.err != nil {
		r.Error = j.err.Error()
	}
	return r
}
