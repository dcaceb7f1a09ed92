package datapath

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/internal/testutil"
)

// BenchmarkPrivilegedReplace is one regeneration, with tables of so many entries in both directions; -1: none.
func BenchmarkPrivilegedReplace(b *testing.B) {
	testutil.Privileged(b)
	for _, entries := range []int{-1, 0, 64, 1024, 5000} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			l := openLoader(b, pinDir(b))
			p := sample(7)
			if entries >= 0 {
				p.Egress, p.Ingress = tableOf(entries), tableOf(entries)
			}
			b.ReportAllocs()
			for b.Loop() {
				p.Revision++
				mustReplace(b, l, p)
			}
			for name, array := range map[string]string{"egress": egressSlots, "ingress": ingressSlots} {
				b.ReportMetric(verified(b, l, array, p.Slot), "verified-"+name)
			}
		})
	}
}

// verified is how many instructions the verifier walked for the slot's program, which is what a load costs.
func verified(b *testing.B, l *Loader, array string, slot uint32) float64 {
	b.Helper()
	p, err := ebpf.NewProgramFromID(ebpf.ProgramID(inSlot(b, l, array, slot)))
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		b.Fatal(err)
	}
	n, _ := info.VerifiedInstructions()
	return float64(n)
}

// BenchmarkPrivilegedClosed is what a container starts with.
func BenchmarkPrivilegedClosed(b *testing.B) {
	testutil.Privileged(b)
	l := openLoader(b, pinDir(b))
	p := sample(7)
	p.Closed = true
	for b.Loop() {
		p.Revision++
		mustReplace(b, l, p)
	}
}

// BenchmarkPrivilegedHundred regenerates 100 containers of one policy with two workers.
func BenchmarkPrivilegedHundred(b *testing.B) {
	testutil.Privileged(b)
	l := openLoader(b, pinDir(b))
	table := tableOf(64)
	revision := uint32(0)
	for b.Loop() {
		revision++
		slots := make(chan uint32)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for slot := range slots {
					p := sample(slot)
					p.Revision, p.Ingress = revision, table
					if err := l.Replace(context.Background(), p); err != nil {
						b.Error(err)
					}
				}
			})
		}
		for slot := range uint32(100) {
			slots <- slot
		}
		close(slots)
		wg.Wait()
	}
}
