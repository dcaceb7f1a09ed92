package observe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
)

// past is an archive in memory, of flows of all numbers below the ring's.
type past []*Flow

func (p past) Walk(_ context.Context, r Range, each func(*Flow) error) error {
	for _, f := range p {
		if f.Seq >= r.From && f.Seq < r.Before && r.Holds(f.Time) {
			if err := each(f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p past) Back(_ context.Context, r Range, n uint64, match func(*Flow) bool) (from, found uint64, err error) {
	for _, f := range slices.Backward(p) {
		if found < n && f.Seq >= r.From && f.Seq < r.Before && r.Holds(f.Time) && match(f) {
			from, found = f.Seq, found+1
		}
	}
	return from, found, nil
}

// askable is an observer of flows 1 to 40, a second apart, of which every tenth tells of a loss; the ring holds the newest 16.
func askable(archive bool) *Observer {
	o := New(Options{Names: testNames{}, Log: logrus.New(), Size: 16, clock: testClock})
	var all past
	for i := 1; i <= 40; i++ {
		f := &Flow{Time: boot.Add(time.Duration(i) * time.Second), Kernel: abi.Event{Type: abi.EventTrace, Length: uint32(i)}, Source: nobody, Destination: nobody}
		if i%10 == 0 {
			f = lostFlow(f.Time, &api.Lost{Where: api.LostKernel, Count: 1}, nil)
		}
		all = append(all, f)
		o.flows.Add(f)
	}
	if archive {
		o.archive = all
	}
	return o
}

// walked returns the numbers of what a query gives: 0 for what tells of a loss.
func walked(t *testing.T, o *Observer, q Query) string {
	t.Helper()
	var all []uint32
	if err := o.Walk(t.Context(), q, func(f *Flow) error { all = append(all, f.Kernel.Length); return nil }); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(all)
}

// TestQueries: the rules of the walk hold alike for memory and for what the archive has.
func TestQueries(t *testing.T) {
	second := func(n int) time.Time { return boot.Add(time.Duration(n) * time.Second) }
	even := func(f *Flow) bool { return f.Kernel.Length%2 == 0 }
	for _, c := range []struct {
		name         string
		query        Query
		memory, disk string // disk empty: the same
	}{
		{"last", Query{Last: 3}, "[37 38 39]", ""},
		{"last that match", Query{Last: 3, Match: even}, "[34 36 38]", ""},
		{"last beyond the ring", Query{Last: 16}, "[25 26 27 28 29 0 31 32 33 34 35 36 37 38 39 0]", "[23 24 25 26 27 28 29 0 31 32 33 34 35 36 37 38 39]"},
		{"last until", Query{Last: 2, Until: second(35)}, "[34 35]", ""},
		{"last until before the ring", Query{Last: 2, Until: second(12)}, "[]", "[11 12]"},
		{"last of all that match", Query{Last: 1000, Match: even}, "[26 28 0 32 34 36 38 0]", "[2 4 6 8 0 12 14 16 18 0 22 24 26 28 0 32 34 36 38 0]"},
		{"first", Query{First: 2}, "[25 26]", "[1 2]"},
		{"first that match", Query{First: 2, Match: even}, "[26 28]", "[2 4]"},
		{"since", Query{Since: second(36)}, "[36 37 38 39 0]", ""},
		{"since and last: from there on", Query{Since: second(31), Last: 2}, "[31 32]", ""},
		{"since and first", Query{Since: second(31), First: 2}, "[31 32]", ""},
		{"since before the ring", Query{Since: second(22), Until: second(27)}, "[25 26 27]", "[22 23 24 25 26 27]"},
		{"until", Query{Until: second(26)}, "[25 26]", "[1 2 3 4 5 6 7 8 9 0 11 12 13 14 15 16 17 18 19 0 21 22 23 24 25 26]"},
		{"nothing matches", Query{Match: func(*Flow) bool { return false }}, "[0 0]", "[0 0 0 0]"},
		{"since the future", Query{Since: second(100)}, "[]", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := walked(t, askable(false), c.query); got != c.memory {
				t.Errorf("memory: got %s, want %s", got, c.memory)
			}
			if c.disk == "" {
				c.disk = c.memory
			}
			if got := walked(t, askable(true), c.query); got != c.disk {
				t.Errorf("disk: got %s, want %s", got, c.disk)
			}
		})
	}
}

func TestQueriesThatFollow(t *testing.T) {
	for name, c := range map[string]struct {
		query Query
		want  []uint32
	}{
		"from now":         {Query{}, []uint32{101, 102, 103}},
		"last":             {Query{Last: 2}, []uint32{38, 39, 0, 101, 102, 103}},
		"since":            {Query{Since: boot.Add(38 * time.Second)}, []uint32{38, 39, 0, 101, 102, 103}},
		"what matches":     {Query{Last: 1, Match: func(f *Flow) bool { return f.Kernel.Length%2 == 1 }}, []uint32{39, 0, 101, 103}},
		"last of the past": {Query{Last: 16}, []uint32{25, 26, 27, 28, 29, 0, 31, 32, 33, 34, 35, 36, 37, 38, 39, 0, 101, 102, 103}},
	} {
		t.Run(name, func(t *testing.T) {
			o := askable(false)
			c.query.Follow = true
			got := make(chan uint32, 100)
			enough := errors.New("enough")
			done := make(chan error, 1)
			w := o.walk(c.query) // what comes from here on is seen
			w.each = func(f *Flow) error {
				got <- f.Kernel.Length
				if f.Kernel.Length == 103 {
					return enough
				}
				return nil
			}
			go func() { done <- w.run(t.Context()) }()
			poll(t, "the past is given", func() bool { return len(got) == slices.Index(c.want, 101) })
			o.flows.Add(lengths(101, 104)...)
			if err := <-done; !errors.Is(err, enough) {
				t.Errorf("it ended by %v", err)
			}
			close(got)
			var all []uint32
			for n := range got {
				all = append(all, n)
			}
			if !slices.Equal(all, c.want) {
				t.Errorf("got %v, want %v", all, c.want)
			}
		})
	}
}

// TestFollowEnds: by a flow later than until, by the clock, or with the context.
func TestFollowEnds(t *testing.T) {
	o := askable(false)
	now := boot.Add(100 * time.Second) // by the test's clock
	late := lengths(1, 2)
	late[0].Time = now.Add(2 * time.Hour)
	done := make(chan error, 1)
	go func() {
		done <- o.Walk(t.Context(), Query{Last: 1, Follow: true, Until: now.Add(time.Hour)}, func(f *Flow) error {
			if f.Kernel.Length == 39 {
				o.flows.Add(late...)
			}
			return nil
		})
	}()
	if err := <-done; err != nil {
		t.Errorf("after a late flow: %v", err)
	}
	if err := o.Walk(t.Context(), Query{Follow: true, Until: now.Add(-time.Second)}, func(*Flow) error { return nil }); err != nil {
		t.Errorf("until has passed: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.Walk(ctx, Query{Follow: true}, func(*Flow) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("without a context: %v", err)
	}
	if err := o.Walk(t.Context(), Query{First: 1, Follow: true}, nil); !errors.Is(err, ErrFirstFollow) {
		t.Errorf("first and follow: %v", err)
	}
}

// TestQueriesWhenTheClockJumps: order is that of the ring, and times choose by what flows say.
func TestQueriesWhenTheClockJumps(t *testing.T) {
	o := New(Options{Names: testNames{}, Log: logrus.New(), Size: 64, clock: testClock})
	for i, at := range []int{100, 101, 102, 40, 41, 42, 300, 103} { // set back, then far ahead, then right
		o.flows.Add(&Flow{Time: boot.Add(time.Duration(at) * time.Second), Kernel: abi.Event{Type: abi.EventTrace, Length: uint32(i + 1)}, Source: nobody, Destination: nobody})
	}
	for _, c := range []struct {
		query Query
		want  string
	}{
		{Query{}, "[1 2 3 4 5 6 7 8]"},
		{Query{Last: 4}, "[5 6 7 8]"},
		{Query{Since: boot.Add(101 * time.Second)}, "[2 3 7 8]"},
		{Query{Until: boot.Add(101 * time.Second)}, "[1 2 4 5 6]"},
		{Query{Last: 2, Until: boot.Add(102 * time.Second)}, "[5 6]"},
	} {
		if got := walked(t, o, c.query); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.query, got, c.want)
		}
	}
}

// TestPublishedEvents: what the daemon itself tells gets names and a time, like everything else.
func TestPublishedEvents(t *testing.T) {
	o := New(Options{Names: testNames{}, Log: logrus.New(), clock: testClock})
	e := with(func(e *abi.Event) {
		e.Type, e.Reason, e.Cause, e.Time, e.Opened = abi.EventTrace, 0, abi.CauseClosed, 0, uint64(40*time.Second)
	})
	o.Publish()
	o.Publish(e, e)
	f := o.Flows().Get(2)
	if f == nil || !f.IsClosed() || f.Source != webParty || !f.Time.Equal(boot.Add(100*time.Second)) || f.Age() != time.Minute ||
		!f.Opened().Equal(boot.Add(40*time.Second)) {
		t.Errorf("got %+v", f)
	}
}
