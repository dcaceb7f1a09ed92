package compile

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/sluice-net/sluice/datapath/compile/trial"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
)

// evaluate answers q by reading the table from top to bottom, the plainest way there is.
func evaluate(t *policy.Table, q trial.Question) uint32 {
	profile := t.Defaults[q.Class]
	if q.Class == policy.ClassWorld {
		a := netip.AddrFrom16(q.Addr.As16())
		for _, r := range t.CIDRs {
			first, last := netip.AddrFrom16(r.First.As16()), netip.AddrFrom16(r.Last.As16())
			if first.Compare(a) <= 0 && a.Compare(last) <= 0 {
				profile = r.Profile
			}
		}
	}
	for _, ip := range t.Identities {
		if ip.ID == q.Identity {
			profile = ip.Profile
		}
	}
	answer := uint32(0)
	for _, e := range profile {
		if e.From <= q.Key {
			answer = uint32(e.Rule)<<8 | uint32(e.Verdict)
		}
	}
	return answer
}

// load loads the function until the test ends.
func load(t testing.TB, f *Function, content []byte) *trial.Program {
	t.Helper()
	p, err := trial.Load(f, content)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func ask(t testing.TB, p *trial.Program, q trial.Question) uint32 {
	t.Helper()
	answer, err := p.Ask(q)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// shape says how large a random table is.
type shape struct{ identities, cidrs, entries int }

func randomProfile(r *rand.Rand, entries int) policy.Profile {
	keys := []uint32{0}
	for range r.IntN(entries + 1) {
		keys = append(keys, r.Uint32()>>(r.IntN(4)*8))
	}
	slices.Sort(keys)
	var p policy.Profile
	for _, k := range slices.Compact(keys) {
		p = append(p, policy.PortVerdict{From: k, Verdict: policy.Verdict(r.IntN(2)), Rule: uint16(r.Uint32() >> (r.IntN(3) * 8))})
	}
	return p
}

func randomAddr(r *rand.Rand) netip.Addr {
	var b [16]byte
	switch r.IntN(4) {
	case 0:
		binary.BigEndian.PutUint64(b[:], r.Uint64())
		binary.BigEndian.PutUint64(b[8:], r.Uint64())
	case 1: // near IPv4, on either side
		binary.BigEndian.PutUint64(b[8:], 0xfffe_ffff_ffff+r.Uint64N(1<<33))
	default:
		b[10], b[11] = 0xff, 0xff
		binary.BigEndian.PutUint32(b[12:], r.Uint32())
	}
	return netip.AddrFrom16(b)
}

func randomTable(r *rand.Rand, s shape) *policy.Table {
	t := &policy.Table{}
	profiles := make([]policy.Profile, 1+r.IntN(8))
	for i := range profiles {
		profiles[i] = randomProfile(r, s.entries)
	}
	pick := func() policy.Profile { return profiles[r.IntN(len(profiles))] }
	for c := range t.Defaults {
		t.Defaults[c] = pick()
	}
	ids := make([]identity.ID, r.IntN(s.identities+1))
	for i := range ids {
		ids[i] = identity.ID(r.Uint32() >> (r.IntN(4) * 8))
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		t.Identities = append(t.Identities, policy.IdentityProfile{ID: id, Profile: pick()})
	}
	ends := make([]netip.Addr, 2*r.IntN(s.cidrs+1))
	for i := range ends {
		ends[i] = randomAddr(r)
	}
	slices.SortFunc(ends, netip.Addr.Compare)
	ends = slices.Compact(ends)
	for i := 0; i+1 < len(ends); i += 2 {
		last := ends[i+1]
		if r.IntN(3) == 0 && i+2 < len(ends) { // touch the next range
			last = ends[i+2].Prev()
		}
		t.CIDRs = append(t.CIDRs, policy.RangeProfile{First: ends[i], Last: last, Profile: pick()})
	}
	return t
}

// randomQuestion aims at the edges of what the table names.
func randomQuestion(r *rand.Rand, t *policy.Table) trial.Question {
	q := trial.Question{Identity: identity.ID(r.Uint32()), Class: policy.Class(r.IntN(int(policy.Classes))),
		Key: r.Uint32() >> 8, Addr: randomAddr(r)}
	if n := len(t.Identities); n > 0 && r.IntN(2) == 0 {
		q.Identity = t.Identities[r.IntN(n)].ID + identity.ID(r.IntN(3)) - 1
	}
	if n := len(t.CIDRs); n > 0 && r.IntN(4) > 0 {
		e := t.CIDRs[r.IntN(n)]
		for _, a := range [][]netip.Addr{{e.First, e.First.Prev()}, {e.Last, e.Last.Next()}}[r.IntN(2)] {
			if a.IsValid() && r.IntN(2) == 0 {
				q.Addr = a
			}
		}
	}
	p := t.Defaults[r.IntN(len(t.Defaults))]
	if n := len(t.Identities); n > 0 && r.IntN(2) == 0 {
		p = t.Identities[r.IntN(n)].Profile
	}
	if len(p) > 0 && r.IntN(2) == 0 {
		q.Key = p[r.IntN(len(p))].From + uint32(r.IntN(3)) - 1
	}
	return q
}
