package main

import (
	"context"
	"strings"
)

// measureObservability measures by itself what telling flows and packets costs.
func (s *scene) measureObservability(ctx context.Context, o options) ([]row, error) {
	var some []task
	for _, t := range tasks() {
		if t.path == pathQuiet || t.path == pathLoud || t.path == pathSluice && hasLevels(t) {
			some = append(some, t)
		}
	}
	traffic, err := s.measureTraffic(ctx, o, some)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, r := range trafficRows(traffic) {
		if strings.Contains(r.Measure, " told, ") {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// hasLevels tells whether something is compared with a task at another level.
func hasLevels(t task) bool {
	for _, g := range gates {
		if g.vs == pathQuiet && g.mode == t.mode {
			return true
		}
	}
	return false
}
