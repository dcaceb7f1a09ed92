package policy

import (
	"cmp"
	"container/heap"
	"slices"
)

// maxKey is the greatest key of a Profile: protocol 255, port 65535.
const maxKey = 0xff_ffff

// Key is the key of a Profile: protocol and destination port, or ICMP type<<8 | code.
func Key(protocol uint8, port uint16) uint32 { return uint32(protocol)<<16 | uint32(port) }

// span says that a rule covers the keys from to to, both included. Of two spans the smaller rule counts.
type span struct {
	from, to uint32
	rule     int
}

// cells is a Profile under construction: sorted, the first from 0. rule indexes the flattener's references, 0: none.
type cells []cell

type cell struct {
	from    uint32
	verdict Verdict
	rule    int
}

// fill makes spans disjoint: every key that some span covers is covered once, by the smallest rule. The result is
// sorted, and neighbours of the same rule are one.
func fill(spans []span) []span {
	if len(spans) <= 1 {
		return spans
	}
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.rule, b.rule)) })
	var (
		result []span
		active spanHeap
	)
	emit := func(from, to uint32, rule int) {
		if n := len(result); n > 0 && result[n-1].rule == rule && result[n-1].to+1 == from {
			result[n-1].to = to
			return
		}
		result = append(result, span{from, to, rule})
	}
	at := uint32(0)
	for i := 0; i < len(spans) || len(active) > 0; {
		for len(active) > 0 && active[0].to < at {
			heap.Pop(&active)
		}
		if len(active) == 0 {
			if i == len(spans) {
				break
			}
			at = max(at, spans[i].from)
		}
		for i < len(spans) && spans[i].from <= at {
			if spans[i].to >= at {
				heap.Push(&active, spans[i])
			}
			i++
		}
		if len(active) == 0 {
			continue
		}
		// The winner reaches to its end, or to where the next span starts and may win.
		end := active[0].to
		if i < len(spans) && spans[i].from <= end {
			end = spans[i].from - 1
		}
		emit(at, end, active[0].rule)
		at = end + 1
	}
	return result
}

// spanHeap has the span of the smallest rule on top.
type spanHeap []span

func (h spanHeap) Len() int           { return len(h) }
func (h spanHeap) Less(i, j int) bool { return h[i].rule < h[j].rule }
func (h spanHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *spanHeap) Push(x any)        { *h = append(*h, x.(span)) }
func (h *spanHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// overlay puts spans over the base, those of each rank disjoint and sorted: the greatest rank that covers a key counts.
func overlay(base cell, l *layers) cells {
	points := []uint32{0}
	for _, list := range l {
		for _, s := range list {
			points = append(points, s.from)
			if s.to < maxKey {
				points = append(points, s.to+1)
			}
		}
	}
	slices.Sort(points)
	points = slices.Compact(points)
	result := make(cells, 0, len(points))
	left := *l
	for _, at := range points {
		c := cell{from: at, verdict: base.verdict, rule: base.rule}
		for r := range left {
			for len(left[r]) > 0 && left[r][0].to < at {
				left[r] = left[r][1:]
			}
			if len(left[r]) > 0 && left[r][0].from <= at {
				c.verdict, c.rule = rank(r).verdict(), left[r][0].rule
			}
		}
		if n := len(result); n == 0 || result[n-1].verdict != c.verdict || result[n-1].rule != c.rule {
			result = append(result, c)
		}
	}
	return result
}
