package pool

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
)

// Errors of a Pool, wrapped with the address and the pool.
var (
	ErrExhausted = errors.New("no free address is left")
	ErrTaken     = errors.New("address is in use")
	ErrReserved  = errors.New("address is the subnet's own") // network, broadcast, or subnet-router anycast
	ErrOutside   = errors.New("address is not of the subnet")
)

// Pool is one prefix with the addresses of it that are given away. It is not safe for concurrent use.
type Pool struct {
	prefix netip.Prefix
	choice netip.Prefix // where Next chooses
	used   map[netip.Addr]struct{}
	chosen int        // how many of used are in choice
	last   netip.Addr // that Next gave; invalid: none yet
}

// New returns the pool of a prefix, of which Next chooses addresses in choice only (invalid: anywhere).
func New(prefix, choice netip.Prefix) (*Pool, error) {
	if err := Valid(prefix); err != nil {
		return nil, err
	}
	prefix = prefix.Masked()
	if !choice.IsValid() {
		choice = prefix
	}
	choice = choice.Masked()
	if choice.Bits() < prefix.Bits() || !prefix.Contains(choice.Addr()) {
		return nil, fmt.Errorf("range %s is not inside of subnet %s", choice, prefix)
	}
	return &Pool{prefix: prefix, choice: choice, used: map[netip.Addr]struct{}{}}, nil
}

// Valid returns why a prefix cannot be the subnet of a container network, or nil.
func Valid(prefix netip.Prefix) error {
	a := prefix.Masked().Addr()
	switch {
	case !prefix.IsValid():
		return errors.New("invalid subnet")
	case prefix.Addr().Is4In6():
		return fmt.Errorf("subnet %s is IPv4-mapped: write it as IPv4", prefix)
	case a.BitLen()-prefix.Bits() < 2:
		return fmt.Errorf("subnet %s is too small for a gateway and a container: /%d is the smallest", prefix,
			a.BitLen()-2)
	case prefix.Bits() < 8:
		return fmt.Errorf("subnet %s is too large: /8 is the largest", prefix)
	case a.IsMulticast(), a.IsLoopback(), a.IsLinkLocalUnicast(), a.IsUnspecified(),
		a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240):
		return fmt.Errorf("subnet %s holds no addresses for hosts", prefix)
	}
	return nil
}

// Prefix is the subnet, masked.
func (p *Pool) Prefix() netip.Prefix { return p.prefix }

// Len is the number of addresses that are given away.
func (p *Pool) Len() int { return len(p.used) }

// Room returns how many addresses Next can give in all, and how many of them are given away.
func (p *Pool) Room() (capacity float64, used int) {
	capacity = math.Exp2(float64(p.choice.Addr().BitLen() - p.choice.Bits()))
	if p.choice.Contains(p.prefix.Addr()) {
		capacity--
	}
	if last := Last(p.prefix); last.Is4() && p.choice.Contains(last) {
		capacity--
	}
	return capacity, p.chosen
}

// Used tells whether an address is given away.
func (p *Pool) Used(a netip.Addr) bool {
	_, used := p.used[a]
	return used
}

// Last is the address that Next gave last; invalid: none.
func (p *Pool) Last() netip.Addr { return p.last }

// SetLast makes Next go on behind an address that an earlier Pool of this prefix gave.
func (p *Pool) SetLast(a netip.Addr) {
	if p.choice.Contains(a) {
		p.last = a
	}
}

// Take gives away one particular address of the subnet, inside or outside of the range that Next chooses in.
func (p *Pool) Take(a netip.Addr) error {
	switch {
	case !p.prefix.Contains(a):
		return fmt.Errorf("take %s from %s: %w", a, p.prefix, ErrOutside)
	case p.reserved(a):
		return fmt.Errorf("take %s from %s: %w", a, p.prefix, ErrReserved)
	case p.Used(a):
		return fmt.Errorf("take %s from %s: %w", a, p.prefix, ErrTaken)
	}
	p.add(a)
	return nil
}

// Next gives away the first free address behind the one that it gave last, so that a released address rests for a
// round. The search ends after as many steps as addresses are in use.
func (p *Pool) Next() (netip.Addr, error) {
	a := p.last
	if !a.IsValid() {
		a = p.choice.Addr().Prev() // of 0.0.0.0 and :: there is none, and no pool holds them
	}
	// One step for each used address, two for the reserved ones, one that must succeed.
	for steps := p.chosen + 3; steps > 0; steps-- {
		if a = a.Next(); !p.choice.Contains(a) {
			a = p.choice.Addr()
		}
		if !p.reserved(a) && !p.Used(a) {
			p.add(a)
			p.last = a
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("choose from %s of %s: %w (%d in use)", p.choice, p.prefix, ErrExhausted, p.chosen)
}

// Release takes an address back and tells whether it was given away.
func (p *Pool) Release(a netip.Addr) bool {
	if !p.Used(a) {
		return false
	}
	delete(p.used, a)
	if p.choice.Contains(a) {
		p.chosen--
	}
	return true
}

func (p *Pool) add(a netip.Addr) {
	p.used[a] = struct{}{}
	if p.choice.Contains(a) {
		p.chosen++
	}
}

// reserved: the network's and the broadcast address of IPv4 (RFC 1122), the subnet-router anycast address of IPv6
// (RFC 4291, section 2.6.1).
func (p *Pool) reserved(a netip.Addr) bool {
	return a == p.prefix.Addr() || a.Is4() && a == Last(p.prefix)
}

// Last is the highest address of a prefix.
func Last(p netip.Prefix) netip.Addr {
	raw := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(raw)*8; bit++ {
		raw[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(raw)
	return a
}
