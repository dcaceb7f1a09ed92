package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSummarise(t *testing.T) {
	tests := []struct {
		name   string
		sample []float64
		want   Summary
	}{
		{"one", []float64{3}, Summary{3, 3, 3, 1}},
		{"two", []float64{4, 2}, Summary{3, 2.5, 3.5, 2}},
		{"odd", []float64{5, 1, 3}, Summary{3, 2, 4, 3}},
		{"even", []float64{4, 1, 3, 2}, Summary{2.5, 1.75, 3.25, 4}},
		{"an outlier", []float64{1, 1, 1, 1, 1000}, Summary{1, 1, 1, 5}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Summarise(test.sample); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestSummariseNothing(t *testing.T) {
	if got := Summarise(nil); !math.IsNaN(got.Median) || !math.IsNaN(got.Low) || !math.IsNaN(got.High) || got.N != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestSummariseKeepsTheSample(t *testing.T) {
	sample := []float64{3, 1, 2}
	Summarise(sample)
	if !slices.Equal(sample, []float64{3, 1, 2}) {
		t.Errorf("the sample is now %v", sample)
	}
}

// Quartiles enclose the median and lie within the sample, in whatever order it comes.
func TestSummariseOrders(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		sample := make([]float64, 1+random.IntN(30))
		for i := range sample {
			sample[i] = random.NormFloat64()
		}
		s := Summarise(sample)
		if s.Low > s.Median || s.Median > s.High || s.Low < slices.Min(sample) || s.High > slices.Max(sample) {
			t.Fatalf("%+v of %v", s, sample)
		}
		slices.Reverse(sample)
		if again := Summarise(sample); again != s {
			t.Fatalf("%+v, reversed %+v", s, again)
		}
	}
}

func TestRatios(t *testing.T) {
	tests := []struct {
		name                     string
		numerators, denominators []float64
		want                     []float64
	}{
		{"pairs", []float64{2, 9}, []float64{4, 3}, []float64{0.5, 3}},
		{"shorter", []float64{2, 9}, []float64{4}, []float64{0.5}},
		{"no ratio", []float64{2, 0, 6}, []float64{0, 0, 3}, []float64{2}},
		{"nothing", nil, []float64{1}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Ratios(test.numerators, test.denominators); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// A drift of the machine that is the same for both does not change the ratio.
func TestRatiosCancelDrift(t *testing.T) {
	var of, vs []float64
	for i := range 9 {
		speed := 1 + float64(i*i)
		of, vs = append(of, 3*speed), append(vs, 2*speed)
	}
	if got := Median(Ratios(of, vs)); got != 1.5 {
		t.Errorf("got %v", got)
	}
}
