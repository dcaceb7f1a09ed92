package load

import "time"

const (
	// bucketWidth is the resolution of a histogram.
	bucketWidth = 5 * time.Nanosecond
	// buckets cover 500 µs; the last one takes what is longer.
	buckets = 100_000
)

// histogram counts durations without allocating.
type histogram struct {
	counts [buckets]uint32
	total  uint64
}

func (h *histogram) add(d time.Duration) {
	h.counts[max(0, min(d/bucketWidth, buckets-1))]++
	h.total++
}

// quantile returns the middle of the bucket in which the q-th part of the durations ends; 0 if there are none.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank, seen := uint64(q*float64(h.total-1)), uint64(0)
	for i, n := range h.counts {
		seen += uint64(n)
		if seen > rank {
			return time.Duration(i)*bucketWidth + bucketWidth/2
		}
	}
	return buckets * bucketWidth
}
