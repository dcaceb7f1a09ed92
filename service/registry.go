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
	taken  map[Frontend]string // owner
	next   uint16              // ephemeral port to try first
}

// holding is what an owner has.
type holding struct {
	published []Published
	requests  []Mapping
	addrs     []netip.Addr
	closers   map[Frontend]io.Closer
}

// NewRegistry makes an empty registry.
func NewRegistry(r Reserver, e Ephemeral) *Registry {
	return &Registry{reserver: r, ephemeral: e, owners: map[string]*holding{}, taken: map[Frontend]string{}, next: e.First}
}

// Publish allocates host ports for the mappings of an owner that has these addresses. The same request again gives the
// same answer; another one replaces what the owner had, and keeps the ports that both name. Errors wrap ErrTaken or
// ErrExhausted and change nothing.
func (r *Registry) Publish(owner string, addrs []netip.Addr, mappings []Mapping) ([]Published, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.owners[owner]
	if old != nil && slices.Equal(old.requests, mappings) && slices.Equal(old.addrs, addrs) {
		return slices.Clone(old.published), nil
	}
	fresh := &holding{requests: slices.Clone(mappings), addrs: slices.Clone(addrs), closers: map[Frontend]io.Closer{}}
	for _, m := range mappings {
		if err := r.allocate(owner, old, fresh, m); err != nil {
			r.drop(fresh, old)
			return nil, fmt.Errorf("publish %s: %w", m, err)
		}
	}
	r.drop(old, fresh)
	r.owners[owner] = fresh
	for f := range fresh.closers {
		r.taken[f] = owner
	}
	return slices.Clone(fresh.published), nil
}

// Withdraw gives back everything that an owner has.
func (r *Registry) Withdraw(owner string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(r.owners[owner], nil)
	delete(r.owners, owner)
}

// drop releases the frontends of a holding that another one does not keep.
func (r *Registry) drop(h, keep *holding) {
	if h == nil {
		return
	}
	for f, c := range h.closers {
		if keep != nil && keep.closers[f] != nil {
			continue
		}
		_ = c.Close() // a bound socket, nothing was written to it
		delete(r.taken, f)
	}
}

// allocate finds a host port for one mapping: the same port for both families.
func (r *Registry) allocate(owner string, old, fresh *holding, m Mapping) error {
	backends := backendsOf(m, fresh.addrs)
	if len(backends) == 0 {
		return fmt.Errorf("the container has no address of the family of %s", m.HostIP)
	}
	var last error
	for port := range r.candidates(m, old.port(m, backends)) {
		frontends := make([]Published, 0, len(backends))
		for host, b := range backends {
			frontends = append(frontends, Published{Frontend{host, port, m.Proto}, Backend{b, m.Port}})
		}
		slices.SortFunc(frontends, func(a, b Published) int { return a.Frontend.Addr.Compare(b.Frontend.Addr) })
		if last = r.hold(owner, old, fresh, frontends); last == nil {
			fresh.published = append(fresh.published, frontends...)
			return nil
		}
	}
	if m.HostPort != 0 && (m.HostPortEnd == 0 || m.HostPortEnd == m.HostPort) {
		return last
	}
	return fmt.Errorf("%w, the last one: %w", ErrExhausted, last)
}

// backendsOf returns the container's address by host address to listen on: one for each family asked for.
func backendsOf(m Mapping, addrs []netip.Addr) map[netip.Addr]netip.Addr {
	out := map[netip.Addr]netip.Addr{}
	for _, a := range addrs {
		switch {
		case !m.HostIP.IsValid() && a.Is4():
			out[netip.IPv4Unspecified()] = a
		case !m.HostIP.IsValid():
			out[netip.IPv6Unspecified()] = a
		case m.HostIP.Is4() == a.Is4():
			out[m.HostIP] = a
		}
	}
	if m.HostIP.IsValid() && len(out) == 0 && m.HostIP.Is6() {
		// An IPv6 address of the host for a container that has only IPv4: the host's own sockets reach it.
		for _, a := range addrs {
			out[m.HostIP] = a
		}
	}
	return out
}

// port is the host port that a mapping has already; 0: none.
func (h *holding) port(m Mapping, backends map[netip.Addr]netip.Addr) uint16 {
	if h == nil {
		return 0
	}
	for _, p := range h.published {
		f := p.Frontend
		inRange := m.HostPort == 0 || f.Port >= m.HostPort && f.Port <= max(m.HostPort, m.HostPortEnd)
		if inRange && f.Proto == m.Proto && p.Backend.Port == m.Port && backends[f.Addr].IsValid() {
			return f.Port
		}
	}
	return 0
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

// hold takes all of the frontends for the fresh holding, or none.
func (r *Registry) hold(owner string, old, fresh *holding, all []Published) error {
	var done []Frontend
	for _, p := range all {
		closer, err := r.holdOne(owner, old, fresh, p.Frontend)
		if err != nil {
			for _, f := range done {
				if old == nil || old.closers[f] == nil {
					_ = fresh.closers[f].Close()
				}
				delete(fresh.closers, f)
			}
			return err
		}
		fresh.closers[p.Frontend] = closer
		done = append(done, p.Frontend)
	}
	return nil
}

// holdOne takes one frontend, or keeps it if the owner has it already.
func (r *Registry) holdOne(owner string, old, fresh *holding, f Frontend) (io.Closer, error) {
	for other := range fresh.closers {
		if other.conflicts(f) {
			return nil, fmt.Errorf("%s: %w to the same container", f, ErrTaken)
		}
	}
	if old != nil && old.closers[f] != nil {
		return old.closers[f], nil
	}
	for other, holder := range r.taken {
		if holder != owner && other.conflicts(f) {
			return nil, fmt.Errorf("%s: %w to endpoint %.12s", f, ErrTaken, holder)
		}
	}
	closer, err := r.reserver.Reserve(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", f, ErrTaken, err)
	}
	return closer, nil
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
