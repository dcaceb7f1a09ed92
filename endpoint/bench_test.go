package endpoint

import (
	"fmt"
	"os"
	"testing"

	"github.com/cilium/ebpf/rlimit"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/internal/netns"
	"github.com/sluice-net/sluice/internal/testutil"
)

func TestMain(m *testing.M) { os.Exit(netns.Isolated(m.Run)) }

// hundred is a host with a database, 99 clients with labels of their own, and the real loader.
func hundred(b *testing.B) *world {
	b.Helper()
	testutil.Privileged(b)
	if err := rlimit.RemoveMemlock(); err != nil {
		b.Fatal(err)
	}
	dir, err := os.MkdirTemp(netns.BPFDir, "endpoint")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	loader, err := datapath.Open(datapath.Options{PinDir: dir, MapSizes: map[string]uint32{"flows_tcp": 1024, "flows_any": 1024, "nat": 1024}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { loader.Close() })
	w := newWorld(b)
	w.kernel.unchecked = true
	w.Programs = loader
	w.makeNetwork(1)
	w.run(1, 1, "app=db")
	w.apply(only("web"))
	for i := 2; i <= 100; i++ {
		w.run(1, i, "app=web", fmt.Sprintf("n=%d", i))
	}
	w.settle()
	return w
}

// hundredAlike is a host of 100 containers that one policy selects, without the kernel.
func hundredAlike(b *testing.B) *world {
	b.Helper()
	w := newWorld(b)
	w.makeNetwork(1)
	w.apply(only("web"))
	for i := 1; i <= 100; i++ {
		w.run(1, i, "app=web", fmt.Sprintf("n=%d", i))
	}
	w.settle()
	return w
}

// BenchmarkJoin is a start beside 100 others, without the kernel: what the passes themselves cost, and the store.
func BenchmarkJoin(b *testing.B) {
	w := hundredAlike(b)
	joinAgain(b, w)
}

// joinAgain measures the start of a container of known labels beside 100 others.
func joinAgain(b *testing.B, w *world) {
	for b.Loop() {
		if err := w.tryRun(1, 101, "app=web", "n=50"); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		w.must(w.stop(1, 101))
		w.settle()
		b.StartTimer()
	}
}

// BenchmarkPass finds that nothing changed for 100 containers.
func BenchmarkPass(b *testing.B) {
	w := hundredAlike(b)
	for b.Loop() {
		w.must(w.regenerate(b.Context(), ""))
	}
}

// BenchmarkPrivilegedRegenerateOne makes one container's programs anew.
func BenchmarkPrivilegedRegenerateOne(b *testing.B) {
	w := hundred(b)
	for b.Loop() {
		if _, err := w.Regenerate(b.Context(), []string{id("ee", 1050)}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPrivilegedRegenerateHundred changes a policy that selects all.
func BenchmarkPrivilegedRegenerateHundred(b *testing.B) {
	w := hundred(b)
	round := 0
	for b.Loop() {
		round++
		revision := w.apply(fmt.Sprintf(`apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: all}
spec:
  endpointSelector: {}
  ingress: [{fromEndpoints: [{matchLabels: {app: web}}], toPorts: [{ports: [{port: "%d", protocol: TCP}]}]}]
`, 1000+round))
		w.settle()
		results, err := w.Wait(b.Context(), revision)
		if err != nil || len(results) != 100 {
			b.Fatalf("%d results, %v", len(results), err)
		}
	}
}

// BenchmarkPrivilegedJoin starts a container of known labels beside 100 others; nothing else is touched.
func BenchmarkPrivilegedJoin(b *testing.B) {
	w := hundred(b)
	joinAgain(b, w)
}

// BenchmarkPrivilegedRelabel changes the labels of one of 100 containers, which the database's policy selects.
func BenchmarkPrivilegedRelabel(b *testing.B) {
	w := hundred(b)
	round := 0
	for b.Loop() {
		round++
		revision, err := w.Relabel(b.Context(), id("ee", 1050), api.LabelChange{Add: map[string]string{"round": fmt.Sprint(round)}})
		if err != nil {
			b.Fatal(err)
		}
		w.settle()
		if _, err := w.Wait(b.Context(), revision); err != nil {
			b.Fatal(err)
		}
	}
}
