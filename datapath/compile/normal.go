package compile

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
)

// answer is what the function returns: rule<<8 | verdict.
type answer uint32

// interval starts at from and reaches to the next one's start.
type interval struct {
	from   uint32
	answer answer
}

// addr is an address as the function compares it.
type addr struct{ hi, lo uint64 }

func (a addr) less(b addr) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

// next is the address after a; ok is false after the last.
func (a addr) next() (n addr, ok bool) {
	n = addr{a.hi, a.lo + 1}
	if n.lo == 0 {
		n.hi++
	}
	return n, n != addr{}
}

// span4 and span6 start address intervals; each reaches to the next one's start. profile is an index.
type span4 struct {
	from    uint32
	profile int
}

type span6 struct {
	from    addr
	profile int
}

type peer struct {
	id      uint32
	profile int
}

// normal is a table with equal profiles named by one number, equal neighbours joined, and the world's CIDRs as two
// total functions, one of IPv4 and one of the other addresses.
type normal struct {
	profiles [][]interval
	defaults [policy.Classes]int
	peers    []peer
	world4   []span4
	world6   []span6
}

// The IPv4 addresses among the v4-mapped ones.
var (
	first4 = addr{0, 0xffff_0000_0000}
	last4  = addr{0, 0xffff_ffff_ffff}
)

func normalise(t *policy.Table) (*normal, error) {
	n := &normal{}
	known := map[string]int{}
	for c, p := range t.Defaults {
		i, err := n.profile(known, p)
		if err != nil {
			return nil, fmt.Errorf("compile policy: default of class %d: %w", c, err)
		}
		n.defaults[c] = i
	}
	last := identity.ID(0)
	for k, ip := range t.Identities {
		if k > 0 && ip.ID <= last {
			return nil, fmt.Errorf("compile policy: identity %d is listed after %d", ip.ID, last)
		}
		last = ip.ID
		i, err := n.profile(known, ip.Profile)
		if err != nil {
			return nil, fmt.Errorf("compile policy: identity %d: %w", ip.ID, err)
		}
		n.peers = append(n.peers, peer{uint32(ip.ID), i})
	}
	return n, n.world(known, t.CIDRs)
}

// profile returns the number of p, whose like may be known already.
func (n *normal) profile(known map[string]int, p policy.Profile) (int, error) {
	ivs := []interval{{0, answer(policy.Deny)}} // below the first entry, and of no entry at all
	for k, e := range p {
		if k > 0 && e.From <= p[k-1].From {
			return 0, fmt.Errorf("profile entry %d does not start after its predecessor", k)
		}
		v := answer(uint32(e.Rule)<<8 | uint32(e.Verdict))
		switch top := &ivs[len(ivs)-1]; {
		case e.From == 0:
			top.answer = v
		case top.answer != v:
			ivs = append(ivs, interval{e.From, v})
		}
	}
	key := make([]byte, 0, 8*len(ivs))
	for _, iv := range ivs {
		key = binary.LittleEndian.AppendUint32(key, iv.from)
		key = binary.LittleEndian.AppendUint32(key, uint32(iv.answer))
	}
	if i, ok := known[string(key)]; ok {
		return i, nil
	}
	n.profiles = append(n.profiles, ivs)
	known[string(key)] = len(n.profiles) - 1
	return len(n.profiles) - 1, nil
}

// world turns the ranges into total functions; what no range covers has the default of the class world.
func (n *normal) world(known map[string]int, ranges []policy.RangeProfile) error {
	rest := n.defaults[policy.ClassWorld]
	all := []span6{{addr{}, rest}}
	end, open := addr{}, true // the first address that no range has covered yet
	for _, r := range ranges {
		from, to, err := bounds(r)
		if err != nil {
			return err
		}
		if !open || from.less(end) {
			return fmt.Errorf("compile policy: range from %s overlaps or precedes its predecessor", r.First)
		}
		i, err := n.profile(known, r.Profile)
		if err != nil {
			return fmt.Errorf("compile policy: range from %s: %w", r.First, err)
		}
		all = appendSpan(all, span6{from, i})
		if end, open = to.next(); open {
			all = appendSpan(all, span6{end, rest})
		}
	}
	n.split(joinSpans(all))
	return nil
}

func bounds(r policy.RangeProfile) (from, to addr, err error) {
	if !r.First.IsValid() || !r.Last.IsValid() {
		return from, to, fmt.Errorf("compile policy: range without addresses")
	}
	from, to = number(r.First), number(r.Last)
	if to.less(from) {
		return from, to, fmt.Errorf("compile policy: range from %s ends before, at %s", r.First, r.Last)
	}
	return from, to, nil
}

func number(a netip.Addr) addr {
	b := a.As16()
	return addr{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// appendSpan lets a span that starts where the last one starts take its place.
func appendSpan(all []span6, s span6) []span6 {
	if all[len(all)-1].from == s.from {
		all[len(all)-1].profile = s.profile
		return all
	}
	return append(all, s)
}

func joinSpans(all []span6) []span6 {
	return slices.CompactFunc(all, func(a, b span6) bool { return a.profile == b.profile })
}

// split divides the spans of all addresses into those of IPv4 and those of IPv6. Since IPv4 is judged first, the
// spans of IPv6 may answer anything for it; what they say before it goes on after it where that saves a span.
func (n *normal) split(all []span6) {
	for _, s := range all {
		if s.from.less(first4) {
			n.world4 = []span4{{0, s.profile}}
		} else if !last4.less(s.from) {
			n.world4 = append(n.world4, span4{uint32(s.from.lo), s.profile})
		}
	}
	if len(n.world4) > 1 && n.world4[1].from == 0 {
		n.world4 = n.world4[1:]
	}
	after, _ := last4.next()
	var at int // profile of the first address after IPv4
	for _, s := range all {
		if !after.less(s.from) {
			at = s.profile
		}
	}
	for _, s := range all {
		if s.from.less(first4) {
			n.world6 = append(n.world6, s)
		}
	}
	n.world6 = append(n.world6, span6{after, at})
	for _, s := range all {
		if after.less(s.from) {
			n.world6 = append(n.world6, s)
		}
	}
	n.world6 = joinSpans(n.world6)
}
