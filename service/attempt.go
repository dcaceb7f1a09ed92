package service

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// attempt is what a claim would become. Nothing of it is seen before commit.
type attempt struct {
	*Registry
	Claim
	four, six bool // the families that it is for
	published []Published
	left      []Published // what another owner of the sandbox keeps instead
	reserved  []Frontend  // new in taken
	moved     []Frontend  // from another owner of the sandbox
}

func (r *Registry) attempt(c Claim) *attempt {
	a := &attempt{Registry: r, Claim: c, four: true, six: true}
	if c.Split {
		a.four = !a.splitHasIPv4()
		a.six = !a.four
	}
	return a
}

// sibling returns what another owner of the sandbox has, nil if the owner is none.
func (a *attempt) sibling(owner string) *holding {
	h := a.owners[owner]
	if h == nil || owner == a.Owner || a.Sandbox == "" || h.sandbox != a.Sandbox {
		return nil
	}
	return h
}

// splitHasIPv4 reports whether another Split owner of the sandbox has ports of IPv4.
func (a *attempt) splitHasIPv4() bool {
	for owner := range a.owners {
		h := a.sibling(owner)
		if h != nil && h.split && slices.ContainsFunc(h.published, func(p Published) bool { return p.Frontend.Addr.Is4() }) {
			return true
		}
	}
	return false
}

// allocate finds a host port for one mapping: the same port for both families.
func (a *attempt) allocate(m Mapping) error {
	backends := a.backendsOf(m)
	if len(backends) == 0 {
		if a.Split {
			return nil // it is for the other owner
		}
		return noAddress(m)
	}
	var last error
	for port := range a.candidates(m, a.port(m)) {
		var all []Published
		for host, b := range backends {
			all = append(all, Published{Frontend{host, port, m.Proto}, Backend{b, m.Port}})
		}
		slices.SortFunc(all, func(x, y Published) int { return x.Frontend.Addr.Compare(y.Frontend.Addr) })
		if last = a.take(all); last == nil {
			return nil
		}
	}
	if m.HostPort != 0 && (m.HostPortEnd == 0 || m.HostPortEnd == m.HostPort) {
		return last
	}
	return fmt.Errorf("%w, the last one: %w", ErrExhausted, last)
}

// backendsOf returns the container's address by host address to listen on: one for each family asked for.
func (a *attempt) backendsOf(m Mapping) map[netip.Addr]netip.Addr {
	out := map[netip.Addr]netip.Addr{}
	for _, addr := range a.Addrs {
		switch {
		case addr.Is4() && !a.four || !addr.Is4() && !a.six:
		case !m.HostIP.IsValid() && addr.Is4():
			out[netip.IPv4Unspecified()] = addr
		case !m.HostIP.IsValid():
			out[netip.IPv6Unspecified()] = addr
		case m.HostIP.Is4() == addr.Is4():
			out[m.HostIP] = addr
		}
	}
	if len(out) == 0 && a.six && m.HostIP == netip.IPv6Loopback() && m.Proto == TCP {
		// Of a container that has only IPv4: processes of the host reach it, whose sockets are translated when they
		// connect. Packets of IPv6 cannot become such of IPv4 and keep their source.
		for _, addr := range a.Addrs {
			out[m.HostIP] = addr
		}
	}
	return out
}

// noAddress is the error for a host address of a family that the container has no address of.
func noAddress(m Mapping) error {
	if m.HostIP.Is4() {
		return errors.New("the container has no IPv4 address: publish on an IPv6 address of the host, or attach it to a network with IPv4")
	}
	return errors.New("the container has no IPv6 address: publish on an IPv4 address of the host, or attach it to a network with --ipv6")
}

// port is the host port that the owner, or another one of the sandbox, has for a mapping already; 0: none.
func (a *attempt) port(m Mapping) uint16 {
	has := func(h *holding) uint16 {
		for _, p := range h.published {
			f := p.Frontend
			inRange := m.HostPort == 0 || f.Port >= m.HostPort && f.Port <= max(m.HostPort, m.HostPortEnd)
			used := slices.ContainsFunc(slices.Concat(a.published, a.left), func(q Published) bool { return q.Frontend == f })
			sameHost := f.Addr == m.HostIP || !m.HostIP.IsValid() && f.Addr.IsUnspecified()
			if inRange && sameHost && !used && f.Proto == m.Proto && p.Backend.Port == m.Port {
				return f.Port
			}
		}
		return 0
	}
	if h := a.owners[a.Owner]; h != nil {
		if port := has(h); port != 0 {
			return port
		}
	}
	for owner := range a.owners {
		if h := a.sibling(owner); h != nil {
			if port := has(h); port != 0 {
				return port
			}
		}
	}
	return 0
}

// take takes all of the frontends, or none.
func (a *attempt) take(all []Published) error {
	before := *a
	for _, p := range all {
		if err := a.takeOne(p); err != nil {
			for _, f := range a.reserved[len(before.reserved):] {
				a.release(f)
			}
			*a = before
			return err
		}
	}
	return nil
}

// takeOne takes one frontend: keeps it if the owner has it, shares it with the sandbox's other owner, or reserves it.
func (a *attempt) takeOne(p Published) error {
	for _, other := range slices.Concat(a.published, a.left) {
		if other.Frontend.conflicts(p.Frontend) {
			return &TakenError{Frontend: p.Frontend, Cause: errors.New("to the same container")}
		}
	}
	if h := a.sibling(a.taken[p.Frontend].owner); h != nil {
		i := slices.IndexFunc(h.published, func(q Published) bool { return q.Frontend == p.Frontend })
		switch {
		case h.published[i].Backend.Port != p.Backend.Port:
			return &TakenError{Frontend: p.Frontend, Owner: a.taken[p.Frontend].owner}
		case a.Split && !h.split && p.Frontend.Addr.Is4():
			a.moved = append(a.moved, p.Frontend)
		default:
			a.left = append(a.left, h.published[i])
			return nil
		}
	} else if err := a.hold(p); err != nil {
		return err
	}
	a.published = append(a.published, p)
	return nil
}

// hold reserves a frontend, unless the owner has it already.
func (a *attempt) hold(p Published) error {
	if h, ok := a.taken[p.Frontend]; ok && h.owner == a.Owner {
		return nil
	}
	for other, h := range a.taken {
		if h.owner != a.Owner && other.conflicts(p.Frontend) {
			return &TakenError{Frontend: p.Frontend, Owner: h.owner}
		}
	}
	closer, err := a.reserver.Reserve(p.Frontend)
	if err != nil {
		return &TakenError{Frontend: p.Frontend, Cause: err}
	}
	a.taken[p.Frontend] = reserved{a.Owner, closer}
	a.reserved = append(a.reserved, p.Frontend)
	return nil
}

// undo gives back what was reserved.
func (a *attempt) undo() {
	for _, f := range a.reserved {
		a.release(f)
	}
}

// commit makes the attempt what the owner has, and gives back what it had and does not keep.
func (a *attempt) commit() {
	for f, h := range a.taken {
		keeps := slices.ContainsFunc(a.published, func(p Published) bool { return p.Frontend == f })
		if h.owner == a.Owner && !keeps {
			a.release(f)
		}
	}
	for _, f := range a.moved {
		from := a.owners[a.taken[f].owner]
		from.published = slices.DeleteFunc(slices.Clone(from.published), func(p Published) bool { return p.Frontend == f })
		a.taken[f] = reserved{a.Owner, a.taken[f].Closer}
	}
	a.owners[a.Owner] = &holding{sandbox: a.Sandbox, split: a.Split, published: a.published}
}
