package pool

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Block is address space that automatic pools are cut from: prefixes of the length Size inside of Base.
type Block struct {
	Base netip.Prefix
	Size int
}

// ParseBlock reads a Block such as 172.30.0.0/15:24.
func ParseBlock(s string) (Block, error) {
	at := strings.LastIndexByte(s, ':') // an IPv6 base holds colons too
	if at < strings.IndexByte(s, '/') {
		return Block{}, fmt.Errorf("address block %q: write base/length:size, for example 172.30.0.0/15:24", s)
	}
	prefix, err := netip.ParsePrefix(s[:max(at, 0)])
	if err != nil {
		return Block{}, fmt.Errorf("address block %q: %w", s, err)
	}
	size := s[at+1:]
	n, err := strconv.Atoi(size)
	if err != nil {
		return Block{}, fmt.Errorf("address block %q: size %q is not a number", s, size)
	}
	b := Block{Base: prefix.Masked(), Size: n}
	if err := b.Check(); err != nil {
		return Block{}, err
	}
	return b, nil
}

// String is what ParseBlock reads.
func (b Block) String() string { return fmt.Sprintf("%s:%d", b.Base, b.Size) }

// Check returns why a Block is unusable, or nil.
func (b Block) Check() error {
	if !b.Base.IsValid() {
		return fmt.Errorf("address block %s: invalid base", b)
	}
	if b.Size < b.Base.Bits() || b.Size > b.Base.Addr().BitLen()-2 {
		return fmt.Errorf("address block %s: the size must be from %d to %d", b, b.Base.Bits(), b.Base.Addr().BitLen()-2)
	}
	if err := Valid(b.Base); err != nil {
		return fmt.Errorf("address block: %w", err)
	}
	return nil
}

// Free returns the first prefix of the block behind after (invalid: from its start, and round again) that overlaps
// none of the used ones. It needs as many steps as there are used ones at most, however large the block is.
func (b Block) Free(after netip.Prefix, used []netip.Prefix) (netip.Prefix, bool) {
	used = slices.DeleteFunc(slices.Clone(used), func(p netip.Prefix) bool { return !p.Overlaps(b.Base) })
	start := b.Base.Addr()
	if after.IsValid() && b.Base.Contains(after.Addr()) {
		if next := Last(after).Next(); b.Base.Contains(next) {
			start = next
		}
	}
	if p, ok := b.freeFrom(start, used); ok {
		return p, true
	}
	return b.freeFrom(b.Base.Addr(), used)
}

func (b Block) freeFrom(start netip.Addr, used []netip.Prefix) (netip.Prefix, bool) {
	p := netip.PrefixFrom(start, b.Size)
	if p.Masked().Addr() != start { // the next prefix of this size begins behind it
		p = netip.PrefixFrom(Last(p).Next(), b.Size)
	}
	for b.Base.Contains(p.Addr()) {
		i := slices.IndexFunc(used, p.Overlaps)
		if i < 0 {
			return p, true
		}
		// Behind whichever of the two is larger.
		end := Last(p)
		if e := Last(used[i]); e.Compare(end) > 0 {
			end = e
		}
		p = netip.PrefixFrom(end.Next(), b.Size)
		if !p.IsValid() {
			break
		}
	}
	return netip.Prefix{}, false
}
