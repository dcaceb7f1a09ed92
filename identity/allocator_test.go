package identity

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
)

func acquire(t *testing.T, a *Allocator, l Labels) ID {
	t.Helper()
	id, _, err := a.Acquire(l)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func app(n int) Labels { return Labels{"app": strconv.Itoa(n)} }

func TestAllocatorCounts(t *testing.T) {
	a := NewAllocator()
	id, created, err := a.Acquire(app(1))
	if err != nil || !created || id != First {
		t.Fatalf("got %d, %v, %v", id, created, err)
	}
	if again, created, _ := a.Acquire(app(1)); again != id || created {
		t.Errorf("the same labels got %d, created %v", again, created)
	}
	if other := acquire(t, a, app(2)); other != id+1 {
		t.Errorf("other labels got %d", other)
	}
	if a.Holders(id) != 2 {
		t.Errorf("%d holders", a.Holders(id))
	}
	if freed, err := a.Release(id); freed || err != nil {
		t.Errorf("the first of two releases: freed %v, %v", freed, err)
	}
	if got, ok := a.Labels(id); !ok || !got.Equal(app(1)) {
		t.Errorf("labels are %v", got)
	}
	if freed, err := a.Release(id); !freed || err != nil {
		t.Errorf("the last release: freed %v, %v", freed, err)
	}
	if _, err := a.Release(id); !errors.Is(err, ErrNotHeld) {
		t.Errorf("a release too many: %v", err)
	}
	if _, ok := a.Find(app(1)); ok {
		t.Error("the freed identity is still found")
	}
	if found, ok := a.Find(app(2)); !ok || found != id+1 {
		t.Error("the held identity is not found")
	}
}

func TestAllocatorDoesNotReuseSoon(t *testing.T) {
	a := NewAllocator()
	first := acquire(t, a, app(1))
	if _, err := a.Release(first); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if id := acquire(t, a, app(2+i)); id == first {
			t.Fatalf("number %d came back after %d others", first, i)
		}
	}
	if id := acquire(t, a, app(1)); id == first {
		t.Error("the old labels got their old number back, flows may mean the former")
	}
}

func TestAllocatorWrapsAround(t *testing.T) {
	a := NewAllocator()
	held := acquire(t, a, app(1))
	if err := a.Restore(nil, Last); err != nil {
		t.Fatal(err)
	}
	if id := acquire(t, a, app(2)); id != Last {
		t.Errorf("got %d", id)
	}
	if id := acquire(t, a, app(3)); id != held+1 {
		t.Errorf("after the last number: got %d, want the first that is not held", id)
	}
}

func TestAllocatorRestore(t *testing.T) {
	a := NewAllocator()
	records := []Record{{300, app(1)}, {700, app(2)}, {500, app(3)}}
	if err := a.Restore(records, 0); err != nil {
		t.Fatal(err)
	}
	if id, created, _ := a.Acquire(app(2)); id != 700 || created {
		t.Errorf("restored labels got %d, created %v", id, created)
	}
	if id := acquire(t, a, app(4)); id != 701 {
		t.Errorf("new labels got %d", id)
	}
	if dropped := a.Prune(); !slices.Equal(dropped, []ID{300, 500}) {
		t.Errorf("pruned %v", dropped)
	}
	list := a.List()
	if len(list) != 2 || list[0].ID != 700 || list[1].ID != 701 {
		t.Errorf("left: %v", list)
	}
	if a.Next() != 702 {
		t.Errorf("next is %d", a.Next())
	}
}

func TestAllocatorRestoreRefuses(t *testing.T) {
	tests := []struct {
		name    string
		records []Record
		want    error
	}{
		{"reserved number", []Record{{Host, app(1)}}, ErrBadRecords},
		{"too great", []Record{{Last + 1, app(1)}}, ErrBadRecords},
		{"number twice", []Record{{300, app(1)}, {300, app(2)}}, ErrBadRecords},
		{"labels twice", []Record{{300, app(1)}, {301, app(1)}}, ErrBadRecords},
		{"bad labels", []Record{{300, Labels{"": ""}}}, ErrBadLabel},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := NewAllocator()
			if err := a.Restore(append([]Record{{900, app(9)}}, tt.records...), 0); !errors.Is(err, tt.want) {
				t.Errorf("got %v", err)
			}
			if list := a.List(); len(list) != 0 {
				t.Errorf("entered in spite of the error: %v", list)
			}
		})
	}
	a := NewAllocator()
	same := []Record{{300, app(1)}}
	if err := errors.Join(a.Restore(same, 0), a.Restore(same, 0)); err != nil {
		t.Errorf("restoring twice: %v", err)
	}
}

func TestAllocatorBadLabels(t *testing.T) {
	if _, _, err := NewAllocator().Acquire(Labels{"": "x"}); !errors.Is(err, ErrBadLabel) {
		t.Error(err)
	}
}

func TestAllocatorCopiesLabels(t *testing.T) {
	a, l := NewAllocator(), app(1)
	id := acquire(t, a, l)
	l["app"] = "changed"
	got, _ := a.Labels(id)
	got["app"] = "changed too"
	if again, _ := a.Labels(id); !again.Equal(app(1)) {
		t.Errorf("labels changed to %v", again)
	}
}

// TestAllocatorModel compares random calls with a plain map of counts.
func TestAllocatorModel(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		a, twin := NewAllocator(), NewAllocator()
		held, numbers := map[int]int{}, map[int]ID{}
		for range 2000 {
			n := r.IntN(30)
			if r.IntN(2) == 0 {
				id := acquire(t, a, app(n))
				if other := acquire(t, twin, app(n)); other != id {
					t.Fatal("not deterministic")
				}
				if held[n] > 0 && numbers[n] != id {
					t.Fatalf("app %d has %d and %d", n, numbers[n], id)
				}
				for other, count := range held {
					if other != n && count > 0 && numbers[other] == id {
						t.Fatalf("apps %d and %d share %d", n, other, id)
					}
				}
				held[n]++
				numbers[n] = id
			} else if held[n] > 0 {
				freed, err := a.Release(numbers[n])
				if _, twinErr := twin.Release(numbers[n]); err != nil || twinErr != nil {
					t.Fatal(err, twinErr)
				}
				if held[n]--; freed != (held[n] == 0) {
					t.Fatalf("freed %v with %d holders", freed, held[n])
				}
			}
		}
	}
}

func TestAllocatorConcurrent(t *testing.T) {
	a := NewAllocator()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				id, _, err := a.Acquire(app(i % 10))
				if err != nil {
					t.Error(err)
					return
				}
				if l, ok := a.Labels(id); !ok || !l.Equal(app(i%10)) {
					t.Errorf("%d stands for %v", id, l)
				}
				if _, err := a.Release(id); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if list := a.List(); len(list) != 0 {
		t.Errorf("left over: %v", list)
	}
}
