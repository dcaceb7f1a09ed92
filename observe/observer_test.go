package observe

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
)

// fakeRing is a ring buffer of the test.
type fakeRing struct {
	records chan []byte
	closed  chan struct{}
	readErr error

	mu   sync.Mutex
	lost Losses
}

func newRing() *fakeRing { return &fakeRing{records: make(chan []byte), closed: make(chan struct{})} }

// Read gives what waits, like the kernel's ring.
func (r *fakeRing) Read(each func([]byte)) error {
	select {
	case b, ok := <-r.records:
		if !ok {
			return r.readErr
		}
		each(b)
	case <-r.closed:
		return os.ErrClosed
	}
	for {
		select {
		case b, ok := <-r.records:
			if !ok {
				return r.readErr
			}
			each(b)
		default:
			return nil
		}
	}
}

func (r *fakeRing) Close() error {
	close(r.closed)
	return nil
}

func (r *fakeRing) Lost() (Losses, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost, nil
}

// start runs an observer until the test ends.
func start(t *testing.T, ring *fakeRing) *Observer {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	o := New(Options{Ring: ring, Names: testNames{}, Log: log, clock: testClock})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return o
}

// next returns the next event, which must come within ten seconds.
func next(t *testing.T, ch <-chan api.Event) api.Event {
	t.Helper()
	select {
	case e, open := <-ch:
		if !open {
			t.Fatal("the stream ended")
		}
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no event after ten seconds")
	}
	panic("unreachable")
}

// poll waits until done, at most ten seconds.
func poll(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after ten seconds it is not so that %s", what)
		}
	}
}

func TestFollow(t *testing.T) {
	ring := newRing()
	o := start(t, ring)
	ring.records <- record(denied()) // the past
	ring.records <- []byte("nonsense")
	poll(t, "both records are handled", func() bool { c := o.Counts(); return c.Seen == 1 && c.Undecodable == 1 })

	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	follow, err := o.Subscribe(ctx, api.EventFilter{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	past, err := o.Subscribe(ctx, api.EventFilter{Last: 10, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	if c := o.Counts(); c.Subscribers != 2 {
		t.Errorf("counts %+v", c)
	}
	if e := next(t, past); e.Reason != api.ReasonPolicyDenied {
		t.Errorf("past: %+v", e)
	}
	other := denied()
	other.Reason = uint16(abi.DropNoRoute)
	ring.records <- record(other)
	for name, ch := range map[string]<-chan api.Event{"follow": follow, "past": past} {
		if e := next(t, ch); e.Reason != "no route" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	leave()
	for range follow { // ends
	}
	poll(t, "nobody listens", func() bool { return o.Counts().Subscribers == 0 })
}

func TestPastWithoutFollow(t *testing.T) {
	ring := newRing()
	o := start(t, ring)
	for range 3 {
		ring.records <- record(denied())
	}
	poll(t, "the records are handled", func() bool { return o.Counts().Seen == 3 })
	for name, c := range map[string]struct {
		filter api.EventFilter
		want   int
	}{"all": {api.EventFilter{}, 3}, "last": {api.EventFilter{Last: 2}, 2}, "since": {api.EventFilter{Since: boot}, 3},
		"later": {api.EventFilter{Since: boot.Add(time.Hour)}, 0}} {
		ch, err := o.Subscribe(context.Background(), c.filter)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for range ch {
			n++
		}
		if n != c.want {
			t.Errorf("%s: %d events, want %d", name, n, c.want)
		}
	}
}

// TestSlowSubscriber: one that does not read loses events and learns how many, in the right place; the writer is never held
// up.
func TestSlowSubscriber(t *testing.T) {
	const size = 128
	o := New(Options{Ring: newRing(), Names: testNames{}, Log: logrus.New(), Size: size, clock: testClock})
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	slow, err := o.Subscribe(ctx, api.EventFilter{Types: []string{api.EventDrop, api.EventLearn}, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	const sent = 10 * (queueSize + size)
	for i := range uint32(sent) {
		o.Publish(with(func(e *abi.Event) {
			e.Length = i
			if i%4 == 0 {
				e.Type = abi.EventLearn
			}
		}))
	}
	var seen, lost, learnt uint64
	for seen+lost < sent {
		e := next(t, slow)
		switch {
		case e.Type == api.EventLost:
			if e.Lost.Where != api.LostSubscriber {
				t.Errorf("lost %+v", e.Lost)
			}
			lost += e.Lost.Count
			learnt += e.Lost.Learn
			continue
		case uint64(e.Length) != seen+lost:
			t.Fatalf("event %d came after %d seen and %d lost", e.Length, seen, lost)
		case e.Type == api.EventLearn:
			learnt++
		}
		seen++
	}
	if lost == 0 || seen < size || learnt != sent/4 {
		t.Errorf("%d seen, %d lost, %d of those that learn, want %d", seen, lost, learnt, sent/4)
	}
	o.Publish(with(func(e *abi.Event) { e.Length = sent }))
	if e := next(t, slow); e.Length != sent {
		t.Errorf("after the loss came %+v", e)
	}
}

// TestKernelLoss: what the programs did not write is told by container, and once.
func TestKernelLoss(t *testing.T) {
	ring := newRing()
	o := New(Options{Ring: ring, Names: testNames{}, Log: logrus.New(), clock: testClock})
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	ch, err := o.Subscribe(ctx, api.EventFilter{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	var before Losses
	for _, c := range []struct {
		now  Losses
		want []api.Lost
		from []string // containers
	}{
		{Losses{3: {Events: 5, Learn: 1}}, []api.Lost{{Where: api.LostKernel, Count: 5, Learn: 1}}, []string{"web"}},
		{Losses{3: {Events: 5, Learn: 1}}, nil, nil},
		{Losses{3: {Events: 6, Learn: 2}, NoSlot: {}}, []api.Lost{{Where: api.LostKernel, Count: 1, Learn: 1}}, []string{"web"}},
		{Losses{3: {Events: 2}, NoSlot: {Events: 7}}, []api.Lost{{Where: api.LostKernel, Count: 2}, {Where: api.LostKernel, Count: 7}}, []string{"web", ""}}, // new maps
		{Losses{3: {Events: 2}, 4: {Events: 1}, 900: {}, NoSlot: {Events: 7}}, []api.Lost{{Where: api.LostKernel, Count: 1}}, []string{"db"}},
	} {
		ring.lost = c.now
		if before, err = o.noteLoss(before); err != nil {
			t.Fatal(err)
		}
		got := map[api.Lost]string{}
		for range c.want {
			e := next(t, ch)
			got[*e.Lost] = e.Endpoint.Container
		}
		want := map[api.Lost]string{}
		for i, l := range c.want {
			want[l] = c.from[i]
		}
		if !maps.Equal(got, want) {
			t.Errorf("with %v: %v, want %v", c.now, got, want)
		}
	}
	if got := o.Counts().Lost; got != 16 {
		t.Errorf("%d were lost in all", got)
	}
}

func TestRunEndsStreams(t *testing.T) {
	ring := newRing()
	log := logrus.New()
	log.SetOutput(io.Discard)
	o := New(Options{Ring: ring, Names: testNames{}, Log: log, clock: testClock})
	ch, err := o.Subscribe(context.Background(), api.EventFilter{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	ring.readErr = errors.New("broken")
	close(ring.records)
	if err := o.Run(context.Background()); !errors.Is(err, ring.readErr) {
		t.Errorf("run: %v", err)
	}
	for range ch { // ends
	}
	if _, err := o.Subscribe(context.Background(), api.EventFilter{}); api.CodeOf(err) != api.CodeUnavailable {
		t.Errorf("subscribe after the end: %v", err)
	}
}
