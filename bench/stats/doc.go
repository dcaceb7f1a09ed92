// Package stats summarises samples: medians, quartiles, and ratios of what was measured in the same round. It is pure.
package stats
