package main

import (
	"fmt"
	"math"

	"github.com/sluice-net/sluice/bench/load"
	"github.com/sluice-net/sluice/bench/stats"
)

// gate is a ratio that is demanded: what Sluice takes, by what the other takes.
type gate struct {
	measure string
	mode    load.Mode
	of, vs  string // paths
	unit    string
	atMost  float64 // 0: reported, not demanded
}

// gates are the demands on traffic.
var gates = []gate{
	{"TCP request/response, median", load.RR, pathSluice, pathBare, "µs", 1.07},
	{"TCP request/response, median", load.RR, pathSluice, pathBridge, "µs", 0.80},
	{"TCP connect + request/response, median", load.CRR, pathSluice, pathBare, "µs", 1.15},
	{"TCP connect + request/response, median", load.CRR, pathSluice, pathBridge, "µs", 0.78},
	{"UDP, CPU per packet", load.UDP, pathSluice, pathBare, "µs", 0},
	{"UDP, CPU per packet", load.UDP, pathSluice, pathBridge, "µs", 0.60},
	{"TCP stream, CPU per GB", load.Stream, pathSluice, pathBare, "s", 1.05},
	{"TCP stream, CPU per GB", load.Stream, pathSluice, pathBridge, "s", 0.88},
	{"published port, request/response", load.RR, pathPort, pathDockerPort, "µs", 0.80},
	{"published port, connect + request/response", load.CRR, pathPort, pathDockerPort, "µs", 0.68},
	{"containers as they come, request/response", load.RR, pathSluicePlain, pathBridgePlain, "µs", 0},
	{"containers as they come, connect + request/response", load.CRR, pathSluicePlain, pathBridgePlain, "µs", 0},
	{"every flow told, request/response", load.RR, pathSluice, pathQuiet, "µs", 1.03},
	{"every flow told, connect + request/response", load.CRR, pathSluice, pathQuiet, "µs", 1.03},
	{"every flow told, stream, CPU per GB", load.Stream, pathSluice, pathQuiet, "s", 1.01},
	{"every packet told, request/response", load.RR, pathLoud, pathQuiet, "µs", 0},
	{"every packet told, connect + request/response", load.CRR, pathLoud, pathQuiet, "µs", 0},
	{"every packet told, stream, CPU per GB", load.Stream, pathLoud, pathQuiet, "s", 0},
	{"5,000 policy entries, request/response", load.RR, pathMany, pathSluice, "µs", 1.03},
	{"5,000 policy entries, connect", load.CRR, pathMany, pathSluice, "µs", 1.03},
	{"5,000 policy entries, published port, connect", load.CRR, pathPortMany, pathPort, "µs", 1.03},
}

// row is one line of the report: a measure of Sluice, alone or against another's.
type row struct {
	Measure string  `json:"measure"`
	Against string  `json:"against,omitempty"`
	Unit    string  `json:"unit"`
	Value   float64 `json:"value"`           // Sluice's median
	Other   float64 `json:"other,omitempty"` // the other's median
	// Judged is what the gate is about: the median of the rounds' ratios, or the value where there is no other.
	Judged float64 `json:"judged"`
	Low    float64 `json:"low"`  // first quartile of the same
	High   float64 `json:"high"` // third quartile
	Gate   float64 `json:"gate"` // at most; 0 with Gated false: only reported
	Gated  bool    `json:"gated"`
	Note   string  `json:"note,omitempty"`
	N      int     `json:"n"`
	// Incomplete: less was measured than the gate is about, so that it cannot be passed.
	Incomplete bool `json:"incomplete,omitempty"`
}

// missed says whether the gate is missed.
func (r row) missed() bool { return r.Gated && (r.Incomplete || !(r.Judged <= r.Gate)) }

// trafficRows judges what was measured in rounds.
func trafficRows(all samples) []row {
	var rows []row
	for _, g := range gates {
		of, vs := all[task{g.of, g.mode}], all[task{g.vs, g.mode}]
		ratio := stats.Summarise(stats.Ratios(of, vs))
		rows = append(rows, row{Measure: g.measure, Against: g.vs, Unit: g.unit, Value: stats.Median(of), Other: stats.Median(vs),
			Judged: ratio.Median, Low: ratio.Low, High: ratio.High, Gate: g.atMost, Gated: g.atMost > 0, N: ratio.N})
	}
	return rows
}

// valueRow judges a sample by itself.
func valueRow(measure, unit string, sample []float64, atMost float64) row {
	v := stats.Summarise(sample)
	return row{Measure: measure, Unit: unit, Value: v.Median, Judged: v.Median, Low: v.Low, High: v.High, Gate: atMost,
		Gated: true, N: v.N}
}

// oneRow judges what regenerations of one container take that follow each other. Of single changes of its policy, each is
// what the programs took, wall the clock of the whole request.
func oneRow(again, wall, each []float64) row {
	r := valueRow("regenerate 1 container", "ms", again, 5)
	r.Note = fmt.Sprintf("compile, load, verify, swap, one after the other; %.3g ms for a single change of its policy on an idle machine, "+
		"whose sluice policy apply --wait takes %.3g ms in all, with the store's fsyncs and the kernel's grace period until no packet "+
		"is in the old program", stats.Median(each), stats.Median(wall))
	return r
}

// crowdRow judges the clock of the whole request for many; each is what one container's programs took of it.
func crowdRow(containers int, wall, each []float64) row {
	r := valueRow(fmt.Sprintf("regenerate %d containers", containers), "ms", wall, 500)
	r.Note = fmt.Sprintf("the whole of sluice policy apply --wait; of one container's programs %.3g ms", stats.Median(each))
	return r
}

// swapsRow judges that nothing was lost.
func swapsRow(s swapResult) row {
	r := valueRow(fmt.Sprintf("packets lost in %d program swaps", s.swaps), "", []float64{math.Abs(float64(s.lost()))}, 0)
	r.Note = fmt.Sprintf("the devices sent %d and received %d; %d datagrams did not arrive", s.sent, s.received, s.datagram)
	if r.Incomplete = s.swaps < s.wanted; r.Incomplete {
		r.Note += fmt.Sprintf("; the time was over before %d swaps", s.wanted)
	}
	return r
}

// startsRow compares what a network adds to docker run. The medians are divided, not the rounds: in a single round the
// bridge's addition may be next to nothing.
func startsRow(sluice, bridge []float64) row {
	of, vs := stats.Summarise(sluice), stats.Summarise(bridge)
	return row{Measure: "docker run --rm, beyond --network none", Against: pathBridge, Unit: "ms", Value: of.Median,
		Other: vs.Median, Judged: of.Median / vs.Median, Low: of.Low / vs.Median, High: of.High / vs.Median, Gate: 0.8,
		Gated: true, N: of.N}
}
