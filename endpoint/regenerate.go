package endpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/store"
)

// passesKept is how many passes Wait can still tell the results of.
const passesKept = 64

// regeneration serialises the passes that make the kernel follow the records. One pass serves all changes made before
// it began: who comes late finds the work done.
type regeneration struct {
	mu      sync.Mutex // held during a pass, and while an endpoint leaves its slot
	wanted  chan struct{}
	applied uint64        // generation that the newest pass served; guarded by state
	ended   chan struct{} // closed and replaced when a pass ends; guarded by state
	passes  []pass        // the newest ones; guarded by state
	state   sync.Mutex
}

// pass is what one pass did: it served the generations after from, up to to.
type pass struct {
	from, to uint64
	results  []api.Regeneration
}

// running is what the kernel runs for an endpoint. It is replaced, never changed.
type running struct {
	program datapath.Program
	adopted bool // found in the kernel, not loaded by this process
	loaded  time.Time
	took    time.Duration
	failure error             // of the newest attempt, the program before runs on
	before  *datapath.Program // of the revision before, for events that are under way
}

// job is one endpoint in a pass: what it should run.
type job struct {
	endpoint *Endpoint
	network  *Network
	program  datapath.Program
	took     time.Duration
	err      error
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

// Run serves the requests for background passes until the context ends.
func (m *Manager) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.regeneration.wanted:
			if err := m.regenerate(ctx, ""); err != nil {
				m.Log.WithError(err).Error("regenerate programs")
			}
		}
	}
}

// regenerate makes every program follow the changes made so far. An endpoint that is named must succeed.
func (m *Manager) regenerate(ctx context.Context, must string) error {
	wanted := m.currentGeneration()
	m.regeneration.mu.Lock()
	defer m.regeneration.mu.Unlock()
	if m.regeneration.appliedTo() < wanted {
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

// pass makes the kernel follow the records: (1) compute what each endpoint should run, (2) reserve the revisions of
// changed tables, (3) load and swap beside running traffic, (4) only then let addresses name changed identities, so
// that every table knows an identity before a packet carries it, (5) release what nothing uses any more.
func (m *Manager) pass(ctx context.Context, forced map[string]bool) ([]api.Regeneration, error) {
	generation := m.currentGeneration()
	jobs, err := m.plan(ctx)
	if err != nil {
		return nil, err
	}
	changed := m.changed(jobs, forced)
	m.swap(ctx, changed)
	err = m.publish(jobs)
	if err == nil {
		err = m.retire(ctx)
	}
	results := make([]api.Regeneration, 0, len(changed))
	for _, j := range changed {
		results = append(results, j.result())
	}
	if err == nil {
		m.regeneration.finish(generation, results)
	}
	return results, err
}

// plan computes the programs that all joined endpoints should run, with durable revisions.
func (m *Manager) plan(ctx context.Context) ([]*job, error) {
	m.mu.RLock()
	var jobs []*job
	for _, e := range m.endpoints {
		if n := m.networks[e.NetworkID]; e.joined() && n != nil {
			jobs = append(jobs, &job{endpoint: e, network: n})
		}
	}
	universe := m.universe(jobs)
	policies := m.policies
	m.mu.RUnlock()
	slices.SortFunc(jobs, func(a, b *job) int { return strings.Compare(a.endpoint.ID, b.endpoint.ID) })

	fresh := map[string]Judgement{}
	for _, j := range jobs {
		egress, ingress, err := m.resolve(policies, universe, j)
		if err != nil {
			return nil, fmt.Errorf("resolve policy of endpoint %s: %w", short(j.endpoint.ID), err)
		}
		judgement, isFresh := m.judge(j.endpoint.ID, egress, ingress)
		if isFresh {
			fresh[j.endpoint.ID] = judgement
		}
		j.program = m.program(j, judgement.Revision, egress, ingress)
	}
	return jobs, m.reserve(ctx, fresh)
}

// reserve makes new revisions durable, all at once.
func (m *Manager) reserve(ctx context.Context, fresh map[string]Judgement) error {
	if len(fresh) == 0 {
		return nil
	}
	var ops []store.Op
	for id, j := range fresh {
		op, err := put(judgePrefix+id, j)
		if err != nil {
			return err
		}
		ops = append(ops, op)
	}
	if err := m.Store.Apply(ctx, ops...); err != nil {
		return fmt.Errorf("reserve policy revisions: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.Copy(m.judgements, fresh)
	return nil
}

// judge returns the judgement of an endpoint's tables, and whether it is a new one, to be reserved.
func (m *Manager) judge(id string, egress, ingress *policy.Table) (Judgement, bool) {
	tables := egress.Hash() + "/" + ingress.Hash()
	m.mu.RLock()
	defer m.mu.RUnlock()
	j := m.judgements[id]
	if j.Tables == tables && j.Revision != 0 {
		return j, false
	}
	return Judgement{Revision: j.Revision + 1, Tables: tables}, true
}

// resolve returns the tables of a job's endpoint, none while its labels are unknown.
func (m *Manager) resolve(set *policy.Set, u *policy.Universe, j *job) (egress, ingress *policy.Table, err error) {
	if !j.endpoint.named() {
		return nil, nil, nil
	}
	mode, err := policy.ParseMode(string(j.network.Options.Policy))
	if err != nil {
		return nil, nil, err
	}
	labels, _ := m.identities.Labels(j.endpoint.Identity)
	return policy.Resolve(set, policy.Subject{Labels: labels, Mode: mode, Isolate: j.network.Options.Isolate}, u)
}

// program puts together what an endpoint's programs are made from.
func (m *Manager) program(j *job, revision uint32, egress, ingress *policy.Table) datapath.Program {
	e, n := j.endpoint, j.network
	mac, _ := net.ParseMAC(e.MAC)
	p := datapath.Program{
		Slot: e.Veth.Slot, Identity: uint32(e.Identity), Network: n.Number, Revision: revision,
		HostIfindex: e.Veth.Ifindex, HostMAC: e.Veth.HostMAC, MAC: mac, IPv4: e.IPv4, IPv6: e.IPv6,
		Closed: !e.named(), Internal: n.Internal, Masquerade: n.Options.Masquerade && !n.Internal,
		Egress: egress, Ingress: ingress,
	}
	for _, a := range e.addrs() {
		s, _ := n.subnet(a)
		if a.Is4() {
			p.Gateway4 = s.Gateway
		} else {
			p.Gateway6 = s.Gateway
		}
	}
	return p
}

// universe lists the identities that packets may carry: those of the records and those that still run.
func (m *Manager) universe(jobs []*job) *policy.Universe {
	ids := map[identity.ID]bool{}
	for _, j := range jobs {
		ids[j.endpoint.Identity] = true
		if r := m.running[j.endpoint.ID]; r != nil {
			ids[identity.ID(r.program.Identity)] = true
		}
	}
	var known []policy.KnownIdentity
	for id := range ids {
		if labels, ok := m.identities.Labels(id); ok {
			known = append(known, policy.KnownIdentity{ID: id, Labels: labels})
		}
	}
	return policy.NewUniverse(known...)
}

// changed returns the jobs whose program differs from the running one, failed before, or is forced.
func (m *Manager) changed(jobs []*job, forced map[string]bool) []*job {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var changed []*job
	for _, j := range jobs {
		r := m.running[j.endpoint.ID]
		if r == nil || r.failure != nil || forced[j.endpoint.ID] || r.program.Fingerprint() != j.program.Fingerprint() {
			changed = append(changed, j)
		}
	}
	return changed
}

// swap replaces the programs of the jobs, on all processors, and remembers what runs.
func (m *Manager) swap(ctx context.Context, jobs []*job) {
	queue := make(chan *job)
	var workers sync.WaitGroup
	for range min(runtime.NumCPU(), len(jobs)) {
		workers.Go(func() {
			for j := range queue {
				start := time.Now()
				j.err = m.Programs.Replace(ctx, j.program)
				j.took = time.Since(start)
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
	now := &running{program: j.program, loaded: time.Now(), took: j.took}
	if old != nil && old.program.Revision != j.program.Revision {
		now.before = &old.program
	}
	m.running[j.endpoint.ID] = now
}

// publish lets the addresses of endpoints whose programs run name their identity and slot.
func (m *Manager) publish(jobs []*job) error {
	for _, j := range jobs {
		m.mu.RLock()
		r := m.running[j.endpoint.ID]
		m.mu.RUnlock()
		if r == nil || r.program.Slot != j.program.Slot || r.program.Identity != j.program.Identity {
			continue // its first program failed, or the one before runs on: so does the address
		}
		a := datapath.Address{
			Ifindex: j.program.HostIfindex, Identity: j.program.Identity, Network: j.program.Network,
			Slot: j.program.Slot, MAC: j.program.MAC,
		}
		for _, addr := range j.endpoint.addrs() {
			if err := m.Addresses.Put(addr, a); err != nil {
				return fmt.Errorf("publish address %s: %w", addr, err)
			}
		}
	}
	return nil
}

// retire releases the replaced identities that no program uses any more. Tables still list them: the next pass, asked
// for here, drops them.
func (m *Manager) retire(ctx context.Context) error {
	m.mu.Lock()
	inUse := map[identity.ID]bool{}
	for id, r := range m.running {
		if e := m.endpoints[id]; e != nil && uint32(e.Identity) != r.program.Identity {
			inUse[identity.ID(r.program.Identity)] = true
		}
	}
	var done []identity.ID
	m.retired = slices.DeleteFunc(m.retired, func(id identity.ID) bool {
		if !inUse[id] {
			done = append(done, id)
		}
		return !inUse[id]
	})
	m.mu.Unlock()
	var errs []error
	for _, id := range done {
		errs = append(errs, m.releaseIdentity(ctx, id))
	}
	if len(done) > 0 {
		m.mu.Lock()
		m.generation++
		m.mu.Unlock()
		m.requestRegeneration()
	}
	return errors.Join(errs...)
}

// result tells what became of a job.
func (j *job) result() api.Regeneration {
	r := api.Regeneration{
		Endpoint: j.endpoint.ID, Container: j.endpoint.Container.Name, Network: j.network.title(),
		Revision: j.program.Revision, Took: j.took,
	}
	if j.err != nil {
		r.Error = j.err.Error()
	}
	return r
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
	r.applied = max(r.applied, to)
	close(r.ended)
	r.ended = make(chan struct{})
}

// Wait returns when every program was made after the changes up to a generation, with the results of the pass that
// served it.
func (m *Manager) Wait(ctx context.Context, generation uint64) ([]api.Regeneration, error) {
	r := &m.regeneration
	for {
		r.state.Lock()
		applied, ended := r.applied, r.ended
		for _, p := range r.passes {
			if p.from < generation && generation <= p.to {
				r.state.Unlock()
				return p.results, nil
			}
		}
		r.state.Unlock()
		if applied >= generation {
			return nil, nil
		}
		m.requestRegeneration()
		select {
		case <-ctx.Done():
			return nil, api.Errorf(api.CodeUnavailable, "wait for revision %d: the programs are at revision %d", generation, applied)
		case <-ended:
		}
	}
}
