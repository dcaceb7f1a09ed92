package service

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
)

// Errors of the Registry.
var (
	ErrTaken     = errors.New("port is already allocated") // by another container or a socket of the host
	ErrExhausted = errors.New("no free port in the range")
)

// Reserver holds ports of the host, so that no socket of the host takes them while they are published.
type Reserver interface {
	// Reserve holds an address and port (an unspecified address: all of its family) until the Closer is closed. A port
	// that a socket of the host has is an error.
	Reserve(f Frontend) (io.Closer, error)
}

// Ephemeral is the range that host ports are taken from when a Mapping names none.
type Ephemeral struct{ First, Last uint16 }

// Registry says which host ports belong to which owner. It may be used from several goroutines.
type Registry struct {
	reserver  Reserver
	ephemeral Ephemeral

	mu     sync.Mutex
	owners map[string]*holding
	taken  map[Frontend]reserved
	next   uint16 // ephemeral port to try first
}

// holding is what an owner has.
type holding struct {
	sandbox   string
	split     bool
	published []Published
}

// reserved is a frontend that is held.
type reserved struct {
	owner string
	io.Closer
}

// NewRegistry makes an empty registry.
func NewRegistry(r Reserver, e Ephemeral) *Registry {
	return &Registry{reserver: r, ephemeral: e, owners: map[string]*holding{}, taken: map[Frontend]reserved{}, next: e.First}
}

// Publish allocates host ports for a claim, and returns what each owner of the sandbox has now. The same claim again
// gives the same answer; another one of the same owner replaces what it had, and keeps the ports that both name. Errors
// wrap ErrTaken (then they are a TakenError) or ErrExhausted and change nothing.
//
// A frontend that another owner of the sandbox has for the same port stays there, and this owner does without. There
// is one exception, for Docker from 29 on, where the owner that had both families is not told that it lost IPv4: a
// Split claim takes IPv4 from an owner whose claim was not Split. It takes nothing else; only where another Split owner
// has IPv4 already is it for IPv6.
func (r *Registry) Publish(c Claim) (map[string][]Published, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.attempt(c)
	for _, m := range c.Mappings {
		if err := a.allocate(m); err != nil {
			a.undo()
			return nil, fmt.Errorf("publish %s: %w", m, err)
		}
	}
	a.commit()
	all := map[string][]Published{}
	for owner, h := range r.owners {
		if owner == c.Owner || c.Sandbox != "" && h.sandbox == c.Sandbox {
			all[owner] = slices.Clone(h.published)
		}
	}
	return all, nil
}

// Hold gives an owner exactly these frontends, as after a restart. What it had and they don't name is given back, what
// another owner of its sandbox has is taken from that one. Frontends that cannot be held are the owner's all the same,
// and the error, of TakenErrors, says which.
func (r *Registry) Hold(owner, sandbox string, split bool, published []Published) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.attempt(Claim{Owner: owner, Sandbox: sandbox, Split: split})
	var errs []error
	for _, p := range published {
		h, held := r.taken[p.Frontend]
		if held && h.owner != owner && a.sibling(h.owner) != nil {
			a.moved = append(a.moved, p.Frontend)
		} else if err := a.hold(p); err != nil {
			errs = append(errs, err)
		}
		a.published = append(a.published, p)
	}
	a.commit()
	return errors.Join(errs...)
}

// Withdraw gives back everything that an owner has.
func (r *Registry) Withdraw(owner string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for f, h := range r.taken {
		if h.owner == owner {
			r.release(f)
		}
	}
	delete(r.owners, owner)
}

// release gives a frontend back.
func (r *Registry) release(f Frontend) {
	_ = r.taken[f].Close() // a bound socket, nothing was written to it
	delete(r.taken, f)
}

// candidates yields the ports to try, in order: first the one that the owner has, so that a repeated request and one
// after a restart keep it.
func (r *Registry) candidates(m Mapping, has uint16) func(yield func(uint16) bool) {
	first, last := m.HostPort, max(m.HostPort, m.HostPortEnd)
	start := first
	if m.HostPort == 0 {
		first, last, start = r.ephemeral.First, r.ephemeral.Last, r.next
	}
	return func(yield func(uint16) bool) {
		if has != 0 && !yield(has) {
			return
		}
		size := int(last) - int(first) + 1
		for i := range size {
			port := first + uint16((int(start)-int(first)+i)%size)
			if !yield(port) {
				if m.HostPort == 0 {
					r.next = first + uint16((int(port)-int(first)+1)%size)
				}
				return
			}
		}
	}
}

// conflicts reports whether one packet could belong to both frontends.
func (f Frontend) conflicts(g Frontend) bool {
	return f.Port == g.Port && f.Proto == g.Proto && f.Addr.Is4() == g.Addr.Is4() &&
		(f.Addr == g.Addr || f.Addr.IsUnspecified() || g.Addr.IsUnspecified())
}

// String returns address:port/protocol.
func (f Frontend) String() string {
	return fmt.Sprintf("%s/%s", netip.AddrPortFrom(f.Addr, f.Port), f.Proto)
}
