package main

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/bench/load"
	"github.com/sluice-net/sluice/bench/stats"
)

// bar is one bar of the chart.
type bar struct {
	label string // the path that it stands for
	ratio float64
	kind  string // its colour: sluice, bridge or bare
}

// group is what one measure draws.
type group struct {
	title string
	mode  load.Mode
	bars  []bar
}

// The chart's measures, in px. A ratio of one is one unit wide.
const (
	chartWidth = 760
	labelWidth = 190
	unitWidth  = 260
	barHeight  = 16
	barGap     = 4
	groupGap   = 26
	chartTop   = 52
)

// colours are legible on white and on black, and told apart by those who do not see red and green.
var colours = map[string]string{"sluice": "#1769aa", "bridge": "#c2740c", "bare": "#7a7a7a"}

// chart draws groups of horizontal bars, each as long as its ratio to 1, the line that all of them start from. Bars that
// would leave the chart are cut; the number behind them is right all the same.
func chart(title string, groups []group) string {
	var b strings.Builder
	y := chartTop
	for _, g := range groups {
		fmt.Fprintf(&b, "  <text x=\"8\" y=\"%d\" class=\"group\">%s</text>\n", y+12, escape(g.title))
		y += 20
		for _, bar := range g.bars {
			drawBar(&b, bar, y)
			y += barHeight + barGap
		}
		y += groupGap - barGap
	}
	one := labelWidth + unitWidth
	head := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">
  <title>%s</title>
  <style>
    text { font: 12px sans-serif; fill: #333 }
    .group { font-weight: bold } .head { font-size: 15px; font-weight: bold }
    @media (prefers-color-scheme: dark) { text { fill: #ddd } }
  </style>
  <text x="8" y="22" class="head">%s</text>
  <line x1="%d" y1="36" x2="%d" y2="%d" stroke="#888" stroke-dasharray="3 3"/>
`, chartWidth, y, chartWidth, y, escape(title), escape(title), one, one, y-groupGap/2)
	return head + b.String() + "</svg>\n"
}

func drawBar(b *strings.Builder, bar bar, y int) {
	const room = chartWidth - labelWidth - 60
	width := min(max(bar.ratio, 0)*unitWidth, room)
	fmt.Fprintf(b, "  <text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", labelWidth-8, y+12, escape(bar.label))
	fmt.Fprintf(b, "  <rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\" fill=\"%s\"/>\n",
		labelWidth, y, width, barHeight, colours[bar.kind])
	fmt.Fprintf(b, "  <text x=\"%.1f\" y=\"%d\">%.2f</text>\n", labelWidth+width+6, y+12, bar.ratio)
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}

// groupsOf makes the chart's groups of the samples: every datapath against the bare pair.
func groupsOf(all samples) []group {
	usual := []bar{{label: pathBare, kind: "bare"}, {label: pathSluice, kind: "sluice"}, {label: pathBridge, kind: "bridge"}}
	published := []bar{{label: pathPort, kind: "sluice"}, {label: pathDockerPort, kind: "bridge"}}
	groups := []group{
		{"TCP request/response, median time", load.RR, usual},
		{"TCP connect + request/response, median time", load.CRR, usual},
		{"UDP, CPU per packet", load.UDP, usual},
		{"TCP stream, CPU per GB", load.Stream, usual},
		{"Published port, request/response", load.RR, published},
		{"Published port, connect + request/response", load.CRR, published},
	}
	for i := range groups {
		g := &groups[i]
		g.bars = slices.Clone(g.bars)
		for j := range g.bars {
			b := &g.bars[j]
			b.ratio = stats.Median(stats.Ratios(all[task{b.label, g.mode}], all[task{pathBare, g.mode}]))
		}
	}
	return groups
}
