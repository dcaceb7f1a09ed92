package observe

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/abi"
)

// lengths are flows told apart by the length of their packet.
func lengths(from, to uint32) []*Flow {
	var all []*Flow
	for ; from < to; from++ {
		all = append(all, &Flow{Time: boot.Add(time.Hour), Kernel: abi.Event{Type: abi.EventTrace, Length: from}})
	}
	return all
}

func TestRingForgetsTheOldest(t *testing.T) {
	r := NewFlows(8)
	if oldest, next := r.Bounds(); oldest != 1 || next != 1 {
		t.Errorf("an empty ring holds [%d, %d)", oldest, next)
	}
	r.Add()
	r.Add(lengths(1, 6)...)
	r.Add(lengths(6, 21)...) // more than it holds
	if oldest, next := r.Bounds(); oldest != 13 || next != 21 {
		t.Errorf("it holds [%d, %d)", oldest, next)
	}
	for seq, want := range map[uint64]bool{0: false, 1: false, 12: false, 13: true, 20: true, 21: false} {
		if f := r.Get(seq); (f != nil) != want || f != nil && (f.Seq != seq || uint64(f.Kernel.Length) != seq) {
			t.Errorf("%d is %+v", seq, f)
		}
	}
}

func TestRingGoesOn(t *testing.T) {
	r := NewFlowsFrom(8, 1000)
	r.Add(lengths(0, 3)...)
	if oldest, next := r.Bounds(); oldest != 1000 || next != 1003 || r.Get(1002).Kernel.Length != 2 {
		t.Errorf("it holds [%d, %d)", oldest, next)
	}
	reader := r.Reader(1)
	if f, lost, err := reader.Next(t.Context()); err != nil || f.Seq != 1000 || lost != 999 {
		t.Errorf("a reader from 1 gets %+v, %d lost, %v", f, lost, err)
	}
}

func TestReaderIsToldWhatItLost(t *testing.T) {
	r := NewFlows(100)
	reader := r.Reader(1)
	r.Add(lengths(1, 11)...)
	if f, lost, err := reader.Next(t.Context()); err != nil || f.Seq != 1 || lost != 0 {
		t.Fatalf("first %+v, %d lost, %v", f, lost, err)
	}
	r.Add(lengths(11, 501)...)
	var seen, lost uint64 = 1, 0
	for seen+lost < 500 {
		f, n, err := reader.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lost += n
		if f.Seq != seen+lost+1 {
			t.Fatalf("flow %d came after %d seen and %d lost", f.Seq, seen, lost)
		}
		seen++
	}
	if lost != 390 { // ten were taken at once, 100 are left
		t.Errorf("%d seen, %d lost", seen, lost)
	}
}

func TestReaderWaits(t *testing.T) {
	r := NewFlows(8)
	_, next := r.Bounds()
	reader := r.Reader(next)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, _, err := reader.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while nothing comes: %v", err)
	}
	go r.Add(lengths(1, 2)...)
	if f, lost, err := reader.Next(t.Context()); err != nil || f.Kernel.Length != 1 || lost != 0 {
		t.Errorf("then %+v, %d lost, %v", f, lost, err)
	}
}

// TestManyReaders: every reader sees or loses each flow once, in order, while flows come.
func TestManyReaders(t *testing.T) {
	r := NewFlows(512)
	const total = 20_000
	var readers sync.WaitGroup
	for i := range 6 {
		readers.Go(func() {
			reader := r.Reader(1)
			var seen, lost uint64
			for seen+lost < total {
				f, n, err := reader.Next(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if lost += n; f.Seq != seen+lost+1 {
					t.Errorf("reader %d: flow %d after %d seen, %d lost", i, f.Seq, seen, lost)
					return
				}
				seen++
			}
		})
	}
	for from := uint32(0); from < total; from += 50 {
		r.Add(lengths(from, from+50)...)
	}
	readers.Wait()
}

func TestFlowsIn(t *testing.T) {
	if n := FlowsIn(DefaultMemory); n < 10_000 || n > 20_000 {
		t.Errorf("the default memory holds %d flows", n)
	}
	if n := FlowsIn(0); n != 1024 {
		t.Errorf("no memory holds %d flows", n)
	}
}
