package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-net/sluice/store"
)

// Opener opens the backend's one store of a test; the second call sees what the first one's store wrote.
type Opener func() store.Store

// Run runs the suite. newOpener gives each test an empty store of its own.
func Run(t *testing.T, newOpener func(t *testing.T) Opener) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Opener)
	}{
		{"values", values},
		{"prefixes", prefixes},
		{"all or nothing", atomicity},
		{"conditions", conditions},
		{"refused keys", refused},
		{"values are copies", copies},
		{"concurrent increments", increments},
		{"watch", watch},
		{"watch of a slow reader", slowWatch},
		{"watch and order", watchOrder},
		{"ended context", endedContext},
		{"closed", closed},
		{"reopened", reopened},
		{"random writes", randomWrites},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newOpener(t)) })
	}
}

func open(t *testing.T, opener Opener) store.Store {
	t.Helper()
	s := opener()
	t.Cleanup(func() { s.Close() })
	return s
}

func apply(t *testing.T, s store.Store, ops ...store.Op) {
	t.Helper()
	if err := s.Apply(t.Context(), ops...); err != nil {
		t.Fatal(err)
	}
}

// content is the store's keys and values under a prefix.
func content(t *testing.T, s store.Store, prefix string) map[string]string {
	t.Helper()
	entries, err := s.List(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	if !sort.SliceIsSorted(entries, func(i, j int) bool { return entries[i].Key < entries[j].Key }) {
		t.Errorf("List(%q) is not sorted: %v", prefix, entries)
	}
	all := map[string]string{}
	for _, e := range entries {
		if e.Revision == 0 {
			t.Errorf("%s has revision 0", e.Key)
		}
		all[e.Key] = string(e.Value)
	}
	return all
}

func expect(t *testing.T, s store.Store, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, content(t, s, ""), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("content (-want +got):\n%s", diff)
	}
}

func values(t *testing.T, opener Opener) {
	s := open(t, opener)
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of a missing key: %v, want ErrNotFound", err)
	}
	apply(t, s, store.Put("a", []byte("1")), store.Put("empty", nil))
	first, err := s.Get(t.Context(), "a")
	if err != nil || string(first.Value) != "1" || first.Key != "a" {
		t.Fatalf("Get = %+v, %v", first, err)
	}
	if e, err := s.Get(t.Context(), "empty"); err != nil || len(e.Value) != 0 {
		t.Errorf("Get of an empty value = %+v, %v", e, err)
	}
	apply(t, s, store.Put("a", []byte("2")))
	second, err := s.Get(t.Context(), "a")
	if err != nil || string(second.Value) != "2" || second.Revision <= first.Revision {
		t.Errorf("after a change: %+v (before %+v), %v", second, first, err)
	}
	apply(t, s, store.Remove("a"), store.Remove("never there"))
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of a removed key: %v, want ErrNotFound", err)
	}
	apply(t, s, store.Put("a", []byte("3")))
	if third, err := s.Get(t.Context(), "a"); err != nil || third.Revision <= second.Revision {
		t.Errorf("made again: %+v (before %+v), %v", third, second, err)
	}
	apply(t, s) // nothing to do
}

func prefixes(t *testing.T, opener Opener) {
	s := open(t, opener)
	for _, key := range []string{"net/b", "net/a", "net/a/x", "netx", "ne", "zz", "net/\xff"} {
		apply(t, s, store.Put(key, []byte("v")))
	}
	for prefix, want := range map[string][]string{
		"":        {"ne", "net/a", "net/a/x", "net/b", "net/\xff", "netx", "zz"},
		"net/":    {"net/a", "net/a/x", "net/b", "net/\xff"},
		"net/a":   {"net/a", "net/a/x"},
		"nothing": nil,
		"zzz":     nil,
	} {
		var got []string
		entries, err := s.List(t.Context(), prefix)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			got = append(got, e.Key)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("List(%q) (-want +got):\n%s", prefix, diff)
		}
	}
}

func atomicity(t *testing.T, opener Opener) {
	s := open(t, opener)
	apply(t, s, store.Put("a", []byte("1")), store.Put("b", []byte("1")))
	err := s.Apply(t.Context(), store.Put("a", []byte("2")), store.Remove("b"), store.Put("c", []byte("2")).When(7))
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("Apply with a false condition: %v, want ErrConflict", err)
	}
	expect(t, s, map[string]string{"a": "1", "b": "1"})
	a, _ := s.Get(t.Context(), "a")
	b, _ := s.Get(t.Context(), "b")
	if a.Revision != b.Revision {
		t.Errorf("keys of one Apply have revisions %d and %d", a.Revision, b.Revision)
	}
}

func conditions(t *testing.T, opener Opener) {
	s := open(t, opener)
	apply(t, s, store.Put("a", []byte("1")).When(0))
	if err := s.Apply(t.Context(), store.Put("a", []byte("x")).When(0)); !errors.Is(err, store.ErrConflict) {
		t.Errorf("made twice: %v, want ErrConflict", err)
	} else if !strings.Contains(err.Error(), "a") {
		t.Errorf("the error %q does not name the key", err)
	}
	e, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, store.Put("a", []byte("2")).When(e.Revision))
	for name, op := range map[string]store.Op{"put": store.Put("a", nil), "remove": store.Remove("a")} {
		if err := s.Apply(t.Context(), op.When(e.Revision)); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s at an old revision: %v, want ErrConflict", name, err)
		}
	}
	e, _ = s.Get(t.Context(), "a")
	apply(t, s, store.Remove("a").When(e.Revision))
	expect(t, s, nil)
}

func refused(t *testing.T, opener Opener) {
	s := open(t, opener)
	for name, ops := range map[string][]store.Op{
		"empty":    {store.Put("ok", nil), store.Put("", nil)},
		"too long": {store.Put("ok", nil), store.Put(strings.Repeat("k", store.MaxKey+1), nil)},
		"twice":    {store.Put("ok", nil), store.Remove("ok")},
	} {
		if err := s.Apply(t.Context(), ops...); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	expect(t, s, nil)
	apply(t, s, store.Put(strings.Repeat("k", store.MaxKey), []byte("v")))
}

func copies(t *testing.T, opener Opener) {
	s := open(t, opener)
	value := []byte("abc")
	apply(t, s, store.Put("a", value))
	value[0] = 'X'
	e, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	e.Value[0] = 'Y'
	all, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	all[0].Value[0] = 'Z'
	expect(t, s, map[string]string{"a": "abc"})
}

func increments(t *testing.T, opener Opener) {
	s := open(t, opener)
	const workers, times = 4, 10
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for done := 0; done < times; {
				e, err := s.Get(t.Context(), "n")
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Error(err)
					return
				}
				next := append(append([]byte{}, e.Value...), '.')
				err = s.Apply(t.Context(), store.Put("n", next).When(e.Revision))
				switch {
				case err == nil:
					done++
				case !errors.Is(err, store.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if e, err := s.Get(t.Context(), "n"); err != nil || len(e.Value) != workers*times {
		t.Errorf("%d increments arrived, want %d (%v)", len(e.Value), workers*times, err)
	}
}

// next receives one batch.
func next(t *testing.T, c <-chan []store.Change) []store.Change {
	t.Helper()
	select {
	case batch, ok := <-c:
		if !ok {
			t.Fatal("the watch ended")
		}
		return batch
	case <-time.After(10 * time.Second):
		t.Fatal("no change arrived")
	}
	return nil
}

func expectEnd(t *testing.T, c <-chan []store.Change) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case _, ok := <-c:
			if !ok {
				return
			}
		case <-deadline:
			t.Fatal("the watch did not end")
		}
	}
}

func watch(t *testing.T, opener Opener) {
	s := open(t, opener)
	apply(t, s, store.Put("net/old", []byte("0")))
	ctx, cancel := context.WithCancel(t.Context())
	c, err := s.Watch(ctx, "net/")
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, store.Put("net/a", []byte("1")), store.Put("other", []byte("1")), store.Put("net/b", []byte("1")))
	apply(t, s, store.Put("other", []byte("2")))
	apply(t, s, store.Remove("net/old"), store.Remove("net/never"))
	if s.Apply(t.Context(), store.Put("net/a", []byte("no")).When(0)) == nil {
		t.Error("a false condition was accepted")
	}
	apply(t, s, store.Put("net/a", []byte("3")))
	var got [][]string
	for range 3 {
		var batch []string
		for _, change := range next(t, c) {
			batch = append(batch, fmt.Sprintf("%s=%s %v", change.Key, change.Value, change.Deleted))
		}
		got = append(got, batch)
	}
	want := [][]string{{"net/a=1 false", "net/b=1 false"}, {"net/old= true"}, {"net/a=3 false"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	cancel()
	expectEnd(t, c)
}

func slowWatch(t *testing.T, opener Opener) {
	s := open(t, opener)
	c, err := s.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	const writes = 50
	for i := range writes {
		apply(t, s, store.Put("k", fmt.Append(nil, i)))
	}
	for i := range writes {
		if batch := next(t, c); len(batch) != 1 || string(batch[0].Value) != fmt.Sprint(i) {
			t.Fatalf("batch %d is %v", i, batch)
		}
	}
}

func watchOrder(t *testing.T, opener Opener) {
	s := open(t, opener)
	c, err := s.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	const workers, times = 4, 10
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range times {
				if err := s.Apply(t.Context(), store.Put("shared", fmt.Append(nil, w, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	last := store.Change{}
	for range workers * times {
		change := next(t, c)[0]
		if change.Revision <= last.Revision {
			t.Fatalf("revision %d came after %d", change.Revision, last.Revision)
		}
		last = change
	}
	group.Wait()
	if e, err := s.Get(t.Context(), "shared"); err != nil || string(e.Value) != string(last.Value) {
		t.Errorf("the last change was %q, the store holds %q (%v)", last.Value, e.Value, err)
	}
}

func endedContext(t *testing.T, opener Opener) {
	s := open(t, opener)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Apply(ctx, store.Put("a", nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply: %v, want context.Canceled", err)
	}
	if _, err := s.Get(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v, want context.Canceled", err)
	}
	if _, err := s.List(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("List: %v, want context.Canceled", err)
	}
	expect(t, s, nil)
}

func closed(t *testing.T, opener Opener) {
	s := open(t, opener)
	idle, err := s.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	expectEnd(t, idle)
	_, get := s.Get(t.Context(), "a")
	_, list := s.List(t.Context(), "")
	_, watch := s.Watch(t.Context(), "")
	for name, err := range map[string]error{
		"Get": get, "List": list, "Watch": watch, "Apply": s.Apply(t.Context(), store.Put("a", nil)),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
}

func reopened(t *testing.T, opener Opener) {
	s := open(t, opener)
	apply(t, s, store.Put("a", []byte("1")), store.Put("b", []byte("1")))
	apply(t, s, store.Remove("b"))
	before, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, opener)
	expect(t, s, map[string]string{"a": "1"})
	apply(t, s, store.Put("a", []byte("2")).When(before.Revision))
	if after, err := s.Get(t.Context(), "a"); err != nil || after.Revision <= before.Revision {
		t.Errorf("revision %d after %d (%v)", after.Revision, before.Revision, err)
	}
}

// randomWrites compares the store with a plain map, with restarts in between.
func randomWrites(t *testing.T, opener Opener) {
	s := open(t, opener)
	random := rand.New(rand.NewPCG(1, 2))
	model := map[string]string{}
	for step := range 150 {
		if step%40 == 39 {
			s.Close()
			s = open(t, opener)
		}
		var ops []store.Op
		next := map[string]string{}
		for k, v := range model {
			next[k] = v
		}
		used := map[string]bool{}
		conflict := false
		for range 1 + random.IntN(4) {
			key := fmt.Sprintf("%d/%d", random.IntN(3), random.IntN(5))
			if used[key] {
				continue
			}
			used[key] = true
			op := store.Put(key, fmt.Append(nil, step))
			if random.IntN(3) == 0 {
				op = store.Remove(key)
			}
			if random.IntN(4) == 0 { // must not exist
				op = op.When(0)
				_, exists := model[key]
				conflict = conflict || exists
			}
			ops = append(ops, op)
			delete(next, key)
			if !op.Delete {
				next[key] = string(op.Value)
			}
		}
		if err := s.Apply(t.Context(), ops...); (err != nil) != conflict {
			t.Fatalf("step %d: %v, conflict %v", step, err, conflict)
		}
		if !conflict {
			model = next
		}
		expect(t, s, model)
	}
}
