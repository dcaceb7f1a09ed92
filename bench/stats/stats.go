package stats

import (
	"math"
	"slices"
)

// Summary is the middle of a sample.
type Summary struct {
	// Median is the second quartile, Low the first and High the third; all NaN for an empty sample.
	Median, Low, High float64
	// N is the size of the sample.
	N int
}

// Summarise returns the quartiles of a sample, interpolated between its members.
func Summarise(sample []float64) Summary {
	sorted := slices.Clone(sample)
	slices.Sort(sorted)
	return Summary{Median: quantile(sorted, 0.5), Low: quantile(sorted, 0.25), High: quantile(sorted, 0.75), N: len(sorted)}
}

// Median returns the middle of a sample, NaN if it is empty.
func Median(sample []float64) float64 { return Summarise(sample).Median }

// Ratios divides samples that were taken in the same rounds. Rounds beyond the shorter sample are left out, and so are
// those whose ratio is no number.
func Ratios(numerators, denominators []float64) []float64 {
	var out []float64
	for i := range min(len(numerators), len(denominators)) {
		r := numerators[i] / denominators[i]
		if !math.IsNaN(r) && !math.IsInf(r, 0) {
			out = append(out, r)
		}
	}
	return out
}

func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	below := int(at)
	if below+1 == len(sorted) {
		return sorted[below]
	}
	return sorted[below] + (at-float64(below))*(sorted[below+1]-sorted[below])
}
