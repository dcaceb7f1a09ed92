package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"

	"github.com/sluice-net/sluice/bench/stats"
	"github.com/sluice-net/sluice/datapath/compile"
	"github.com/sluice-net/sluice/datapath/compile/trial"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
)

// verdictEntries are the sizes of the policies whose verdicts are measured.
var verdictEntries = []int{1, 16, 256, 4096, 16384}

// Every form of every size is measured so many times, each with other questions, asked so often.
const (
	verdictRounds = 15
	verdictTimes  = 200_000
)

// The limits of instructions by which either form is had of any table.
const (
	limitTree   = 1 << 30
	limitSearch = -1
)

// mixed is a table of so many entries: peers with a port, a range or all but a denied one of their own, ranges of addresses of
// both families, and what is left open or denied by wildcard for all others.
func mixed(entries int) *policy.Table {
	t := &policy.Table{Rules: []policy.RuleRef{{Rule: "allow"}, {Rule: "deny"}, {Rule: "wildcard"}}}
	const tcp, echo = 6 << 16, 1<<16 | 8<<8
	for c := range t.Defaults {
		t.Defaults[c] = policy.Profile{{}, {From: echo, Verdict: policy.Allow, Rule: 3}, {From: echo + 1}}
	}
	for i := range entries {
		port := uint32(tcp | i%50*100 + 80)
		profile := policy.Profile{{}, {From: port, Verdict: policy.Allow, Rule: 1}, {From: port + 1}}
		switch i % 5 {
		case 1:
			profile = policy.Profile{{}, {From: port, Verdict: policy.Allow, Rule: 1}, {From: port + 30}}
		case 2:
			profile = policy.Profile{{Verdict: policy.Allow, Rule: 3}, {From: port, Rule: 2}, {From: port + 1, Verdict: policy.Allow, Rule: 3}}
		case 3:
			a := netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 0})
			t.CIDRs = append(t.CIDRs, policy.RangeProfile{First: netip.AddrFrom16(a.As16()), Profile: profile,
				Last: netip.AddrFrom16(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 255}).As16())})
			continue
		}
		t.Identities = append(t.Identities, policy.IdentityProfile{ID: identity.First + identity.ID(i)*3, Profile: profile})
	}
	return t
}

// asked is a question about somebody of the table, or about nobody of it.
func asked(r *rand.Rand, t *policy.Table, entries int) trial.Question {
	i := r.IntN(entries + 1)
	q := trial.Question{Identity: identity.First + identity.ID(i)*3, Class: policy.ClassNetwork, Key: uint32(6<<16 | i%50*100 + 80),
		Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}
	if n := len(t.CIDRs); n > 0 && r.IntN(5) == 0 {
		q.Identity, q.Class, q.Addr = identity.World, policy.ClassWorld, t.CIDRs[r.IntN(n)].First
	}
	return q
}

// verdictCosts are what answers of one form take, ns; none if the form cannot hold the table.
func verdictCosts(t *policy.Table, entries, limit int, seed uint64) ([]float64, error) {
	f, data, err := compile.Compile(t, limit)
	if err != nil || (limit > 0) != (data == nil) {
		return nil, err
	}
	p, err := trial.Load(f, data)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	r := rand.New(rand.NewPCG(seed, uint64(entries))) // either form is asked the same
	var costs []float64
	for range verdictRounds {
		var questions [trial.Questions]trial.Question
		for i := range questions {
			questions[i] = asked(r, t, entries)
		}
		took, err := p.Cost(questions, verdictTimes)
		if err != nil {
			return nil, err
		}
		costs = append(costs, float64(took.Nanoseconds()))
	}
	return costs, nil
}

// measureVerdicts measures what one verdict costs, in both forms of a compiled policy.
func measureVerdicts(o options) (rows []row, err error) {
	o.progress("verdicts")
	frame, err := verdictCosts(&policy.Table{}, 0, limitTree, o.seed)
	if err != nil {
		return nil, fmt.Errorf("measure verdicts: %w", err)
	}
	empty := stats.Median(frame)
	var flat []float64
	for _, entries := range verdictEntries {
		t := mixed(entries)
		search, err := verdictCosts(t, entries, limitSearch, o.seed)
		if err != nil {
			return nil, fmt.Errorf("measure verdicts of %d entries: %w", entries, err)
		}
		tree, err := verdictCosts(t, entries, limitTree, o.seed)
		if err != nil {
			return nil, fmt.Errorf("measure verdicts of %d entries: %w", entries, err)
		}
		rows = append(rows, verdictRow(entries, less(search, empty), less(tree, empty)))
		if entries == 256 {
			flat = less(search, empty)
		}
		if entries == 16384 {
			rows = append(rows, flatRow(less(search, empty), flat))
		}
	}
	return rows, nil
}

// less takes the cost of the program around the function from each.
func less(sample []float64, frame float64) []float64 {
	var out []float64
	for _, v := range sample {
		out = append(out, max(v-frame, 0))
	}
	return out
}

// verdictRow is the cost of one form beside the other's, where both hold the table.
func verdictRow(entries int, search, tree []float64) row {
	r := valueRow(fmt.Sprintf("verdict among %d entries, search", entries), "ns", search, 0)
	r.Gated = false
	if len(tree) == 0 {
		r.Note = "a tree of so many entries is beyond the jumps of a BPF program"
		return r
	}
	other := stats.Summarise(tree)
	scale := max(other.Median, 1) // a nanosecond is as little as is measured
	r.Against, r.Other, r.Judged, r.Low, r.High = "tree", other.Median, r.Value/scale, r.Low/scale, r.High/scale
	return r
}

// flatRow demands that a search among many takes hardly longer than one just beyond the break-even.
func flatRow(many, few []float64) row {
	a, b := stats.Summarise(many), stats.Summarise(few)
	return row{Measure: "verdict among 16384 entries", Against: "among 256", Unit: "ns", Value: a.Median, Other: b.Median,
		Judged: a.Median / b.Median, Low: a.Low / b.Median, High: a.High / b.Median, Gate: 2.5, Gated: true, N: a.N}
}

// printVerdicts measures only what policies cost without containers: verdicts, and working out tables.
func printVerdicts(o options, w io.Writer) error {
	rows, err := measureVerdicts(o)
	if err != nil {
		return err
	}
	resolution, err := measureResolve(o)
	if err != nil {
		return err
	}
	printTable(w, append(rows, resolution...))
	return nil
}
