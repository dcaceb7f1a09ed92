package observe

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
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

	mu      sync.Mutex
	flags   []uint32
	lost    uint64
	failing error
}

func newRing() *fakeRing { return &fakeRing{records: make(chan []byte), closed: make(chan struct{})} }

func (r *fakeRing) Read() ([]byte, error) {
	select {
	case b, ok := <-r.records:
		if !ok {
			return nil, r.readErr
		}
		return b, nil
	case <-r.closed:
		return nil, os.ErrClosed
	}
}

func (r *fakeRing) Close() error {
	close(r.closed)
	return nil
}

func (r *fakeRing) Lost() (Losses, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Losses{abi.EventDrop: r.lost / 2, abi.EventLearn: r.lost - r.lost/2}, nil
}

func (r *fakeRing) Observe(flags uint32) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failing != nil {
		return r.failing
	}
	r.flags = append(r.flags, flags)
	return nil
}

func (r *fakeRing) told() []uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.flags)
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
func poll(t *testing.T, what string, done func() bool) {
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

func TestObservationIsOnOnlyWhileSomebodyListens(t *testing.T) {
	ring := newRing()
	o := start(t, ring)
	poll(t, "what was on before is off", func() bool { return slices.Equal(ring.told(), []uint32{0}) })
	subscribe := func(verdict string) context.CancelFunc {
		ctx, leave := context.WithCancel(context.Background())
		if _, err := o.Subscribe(ctx, api.EventFilter{Verdicts: []string{verdict}, Follow: true}); err != nil {
			t.Fatal(err)
		}
		return leave
	}
	plain := subscribe("dropped")
	allowed := subscribe("allowed")
	again := subscribe("allowed")
	traces := subscribe("forwarded")
	if _, err := o.Subscribe(context.Background(), api.EventFilter{Verdicts: []string{"forwarded"}}); err != nil { // only the past
		t.Fatal(err)
	}
	want := []uint32{0, abi.ObserverAllowed, abi.ObserverAllowed | abi.ObserverTraces}
	for _, step := range []struct {
		leave context.CancelFunc
		flags []uint32
		left  int
	}{
		{again, want, 3},
		{allowed, append(want, abi.ObserverTraces), 2},
		{traces, append(want, abi.ObserverTraces, 0), 1},
		{plain, append(want, abi.ObserverTraces, 0), 0},
	} {
		step.leave()
		poll(t, "the subscriber left", func() bool { return o.Counts().Subscribers == step.left })
		if got := ring.told(); !slices.Equal(got, step.flags) {
			t.Errorf("with %d subscribers the kernel was told %v, want %v", step.left, got, step.flags)
		}
	}
}

func TestSubscribeFailsWhenTheKernelCannotBeTold(t *testing.T) {
	ring := newRing()
	o := start(t, ring)
	poll(t, "it runs", func() bool { return len(ring.told()) == 1 })
	ring.mu.Lock()
	ring.failing = errors.New("map is gone")
	ring.mu.Unlock()
	_, err := o.Subscribe(context.Background(), api.EventFilter{Types: []string{"trace"}, Follow: true})
	if err == nil || !strings.Contains(err.Error(), "map is gone") {
		t.Errorf("error %v", err)
	}
	if c := o.Counts(); c.Subscribers != 0 {
		t.Errorf("counts %+v", c)
	}
}

// TestSlowSubscriber: one that does not read loses events and learns how many, in the right place; others lose none,
// and the reader is never held up.
func TestSlowSubscriber(t *testing.T) {
	h := newHub(newRing(), time.Now, func(err error) { t.Error(err) })
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	slow, err := h.subscribe(ctx, api.EventFilter{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	const sent = 3 * queueSize
	for i := range sent {
		h.publish(api.Event{Type: api.EventDrop, Verdict: api.VerdictDropped, Length: uint32(i)})
	}
	var seen, lost, last uint64
	for seen+lost < sent {
		e := next(t, slow)
		if e.Type == api.EventLost {
			if e.Lost.Where != api.LostSubscriber {
				t.Errorf("lost %+v", e.Lost)
			}
			lost += e.Lost.Count
			continue
		}
		if uint64(e.Length) != seen+lost {
			t.Fatalf("event %d came after %d seen and %d lost", e.Length, seen, lost)
		}
		seen, last = seen+1, uint64(e.Length)
	}
	if lost == 0 || seen < queueSize {
		t.Errorf("%d seen, %d lost, last %d", seen, lost, last)
	}
	h.publish(api.Event{Type: api.EventDrop, Verdict: api.VerdictDropped, Length: sent})
	if e := next(t, slow); e.Length != sent {
		t.Errorf("after the loss came %+v", e)
	}
}

func TestKernelLoss(t *testing.T) {
	ring := newRing()
	o := New(Options{Ring: ring, Names: testNames{}, Log: logrus.New(), clock: testClock})
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	ch, err := o.Subscribe(ctx, api.EventFilter{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ before, now, after, total uint64 }{{5, 5, 5, 0}, {5, 17, 17, 12}, {17, 3, 3, 12}, {3, 4, 4, 13}} {
		ring.lost = c.now
		if after, err := o.noteLoss(Losses{abi.EventLearn: c.before - c.before/2, abi.EventDrop: c.before / 2}); after.sum() != c.after || err != nil {
			t.Errorf("from %d to %d: %d, %v", c.before, c.now, after, err)
		}
		if got := o.Counts().Lost; got != c.total {
			t.Errorf("from %d to %d: %d lost, want %d", c.before, c.now, got, c.total)
		}
	}
	if e := next(t, ch); e.Lost == nil || *e.Lost != (api.Lost{Where: api.LostKernel, Count: 12, Learn: 6}) {
		t.Errorf("got %+v", e)
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
