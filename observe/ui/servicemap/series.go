package servicemap

import "time"

// The resolution of an edge's history.
const (
	Bucket  = 2 * time.Second
	Buckets = 150 // five minutes
)

// The window of rates. It ends some time ago, for totals come every few seconds: a connection that has not been told of
// since is no slower.
const (
	rateLag     = 6 * time.Second
	rateBuckets = 4
)

// amount is what an edge carried.
type amount struct {
	sent, received, packets float64 // bytes by the initiator, by the responder; packets of both
	opened, drops           float64 // connections, packets
}

func (a *amount) add(b amount) {
	a.sent += b.sent
	a.received += b.received
	a.packets += b.packets
	a.opened += b.opened
	a.drops += b.drops
}

func (a amount) scaled(f float64) amount {
	return amount{a.sent * f, a.received * f, a.packets * f, a.opened * f, a.drops * f}
}

// series is a ring of buckets. The zero value is empty.
type series struct {
	newest  int64 // number of the newest bucket: Unix time / Bucket
	buckets [Buckets]amount
}

func bucketOf(t time.Time) int64 { return t.UnixNano() / int64(Bucket) }

// at returns the bucket of that number, nil if it is too old.
func (s *series) at(n int64) *amount {
	if n > s.newest {
		for i := max(s.newest+1, n-Buckets+1); i <= n; i++ {
			s.buckets[i%Buckets] = amount{}
		}
		s.newest = n
	}
	if n <= s.newest-Buckets || n < 0 {
		return nil
	}
	return &s.buckets[n%Buckets]
}

// add spreads an amount evenly over the time from, to.
func (s *series) add(from, to time.Time, a amount) {
	took := to.Sub(from)
	last := bucketOf(to)
	if took <= 0 {
		s.put(last, a)
		return
	}
	for n := max(bucketOf(from), last-Buckets+1); n <= last; n++ {
		begins := time.Unix(0, n*int64(Bucket))
		overlap := min(to.Sub(begins), Bucket) - max(from.Sub(begins), 0)
		s.put(n, a.scaled(float64(overlap)/float64(took)))
	}
}

func (s *series) put(n int64, a amount) {
	if b := s.at(n); b != nil {
		b.add(a)
	}
}

// sum adds up count buckets that end with number last.
func (s *series) sum(last int64, count int64) (total amount) {
	for n := last - count + 1; n <= last; n++ {
		if n >= 0 && n <= s.newest && n > s.newest-Buckets {
			total.add(s.buckets[n%Buckets])
		}
	}
	return total
}

// rates returns what passes in a second. Connections and drops are told at once, and counted up to now.
func (s *series) rates(now time.Time) amount {
	const seconds = float64(rateBuckets) * float64(Bucket) / float64(time.Second)
	r := s.sum(bucketOf(now.Add(-rateLag)), rateBuckets)
	recent := s.sum(bucketOf(now), rateBuckets)
	r.opened, r.drops = recent.opened, recent.drops
	return r.scaled(1 / seconds)
}
