package policy

import (
	"net/netip"
	"slices"

	"github.com/sluice-net/sluice/identity"
)

// Judged is one table's verdict on a peer, for a range of keys.
type Judged struct {
	Verdict Verdict
	Rule    RuleRef // zero: no rule
}

// Look is a question to one table, for every key.
type Look struct {
	Direction Direction
	Table     *Table
	Peer      identity.ID
	Class     Class
	Addr      netip.Addr
}

// Judge answers for one key.
func (l Look) Judge(key uint32) Judged {
	v, n := Judge(l.Direction, l.Table, l.Peer, l.Class, l.Addr, key)
	ref, _ := l.Table.Rule(n)
	return Judged{v, ref}
}

// Intervals cuts all keys where one of the answers changes.
func Intervals(looks ...Look) []KeySpan {
	cuts := []uint32{0}
	for _, l := range looks {
		if l.Table == nil {
			continue
		}
		for _, e := range l.Table.profile(l.Peer, l.Class, l.Addr) {
			cuts = append(cuts, e.From)
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	spans := make([]KeySpan, len(cuts))
	for i, from := range cuts {
		spans[i] = KeySpan{from, maxKey}
		if i+1 < len(cuts) {
			spans[i].To = cuts[i+1] - 1
		}
	}
	return spans
}
