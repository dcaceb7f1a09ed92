package endpoint

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/store"
)

// apps writes n policies: app i accepts app i+1 on a port of its own.
func apps(n int) []string {
	documents := make([]string, n)
	for i := range documents {
		documents[i] = fmt.Sprintf(`apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: app%d}
spec:
  endpointSelector: {matchLabels: {app: app%d}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: app%d}}]
    toPorts: [{ports: [{port: "%d", protocol: TCP}]}]
`, i, i, (i+1)%n, 1000+i)
	}
	return documents
}

// memory is a directory without a disk behind it, where there is one: thousands of writes are not what is measured.
func memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "sluice")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// crowd is a host with n containers of n apps, and so many policies, each for an app. The containers come out of the store,
// as after a restart: n starts, each with a pass, would take most of the time.
func crowd(t testing.TB, n, policies int) *world {
	t.Helper()
	w := newWorldIn(t, memory(t))
	w.makeNetwork(1)
	var ops []store.Op
	add := func(key string, record any) {
		op, err := put(key, record)
		w.must(err)
		ops = append(ops, op)
	}
	for i := 1; i <= n; i++ {
		veth, err := fakeLinks{w.kernel}.Take(t.Context())
		w.must(err)
		r, c := endpointRequest(1, i), container(i, fmt.Sprintf("app=app%d", i-1))
		number := identity.First + identity.ID(i)
		add(endpointPrefix+r.ID, &Endpoint{
			ID: r.ID, NetworkID: r.NetworkID, IPv4: r.IPv4, IPv6: r.IPv6, MAC: macOf(r.ID).String(), Veth: &veth,
			Sandbox: joinRequest(1, i).SandboxKey, Container: c, Identity: number, Created: w.now(),
		})
		labels, err := identity.FromContainer(c.Labels, "net1")
		w.must(err)
		add(fmt.Sprintf("%s%d", identityPrefix, number), identity.Record{ID: number, Labels: labels})
		w.engine.attach(r.NetworkID, r.ID, c)
	}
	w.must(w.store.Apply(t.Context(), ops...))
	_, err := w.Reconcile(t.Context()) // names the network
	w.must(err)
	w.start()
	w.apply(apps(policies)...)
	w.settle()
	return w
}

// TestStartTouchesFew: a container that starts among a thousand, with a thousand policies, has the tables of those worked
// out whose rules select it, and no others.
func TestStartTouchesFew(t *testing.T) {
	const n = 1000
	w := crowd(t, n, n)
	before, loads := maps.Clone(w.plans.resolved), w.kernel.loads
	w.run(1, n+1, "app=app500", "x=new")
	w.settle()
	var touched []string
	for s, now := range w.plans.resolved {
		if before[s] != now {
			touched = append(touched, now.labels["app"])
		}
	}
	if len(touched) != 2 || !strings.Contains(strings.Join(touched, " "), "app499") || w.kernel.loads-loads != 2 {
		t.Errorf("%d programs were made, tables of %v worked out; want those of app499, which accepts it, and its own", w.kernel.loads-loads, touched)
	}
}

// BenchmarkJoinAmongPolicies starts a container among a thousand others, without the kernel. However many policies there are,
// two select or mention it. cpu-ns/op is the processor time of the start alone.
func BenchmarkJoinAmongPolicies(b *testing.B) {
	for _, policies := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprint(policies), func(b *testing.B) {
			w := crowd(b, 1000, policies)
			runtime.GC()
			var used time.Duration
			for b.Loop() {
				before := processorTime(b)
				w.run(1, 1001, "app=app50", "x=new")
				used += processorTime(b) - before
				b.StopTimer()
				w.must(w.stop(1, 1001))
				w.settle()
				b.StartTimer()
			}
			b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// processorTime is what the process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkApplyThousand changes one of a thousand policies, which selects one of a thousand containers.
func BenchmarkApplyThousand(b *testing.B) {
	w := crowd(b, 1000, 1000)
	round := 0
	for b.Loop() {
		round++
		w.apply(strings.Replace(apps(1000)[7], `"1007"`, fmt.Sprintf("%q", fmt.Sprint(2000+round)), 1))
		w.settle()
	}
}

// BenchmarkPrivilegedHundred applies a hundred policies to a hundred containers, of which each selects one, with real
// programs: until they are enforced everywhere.
func BenchmarkPrivilegedHundred(b *testing.B) {
	w := hundred(b)
	for i := range 100 {
		_, err := w.Relabel(b.Context(), id("ee", 1001+i), api.LabelChange{Add: map[string]string{"app": fmt.Sprintf("app%d", i)}})
		w.must(err)
	}
	w.settle()
	_, err := w.DeletePolicies(b.Context(), []string{"db"})
	w.must(err)
	documents := apps(100)
	var names []string
	for i := range documents {
		names = append(names, fmt.Sprintf("app%d", i))
	}
	for b.Loop() {
		revision := w.apply(documents...)
		w.settle()
		if results, err := w.Wait(b.Context(), revision); err != nil || len(results) != 100 {
			b.Fatalf("%d programs, %v", len(results), err)
		}
		b.StopTimer()
		_, err := w.DeletePolicies(b.Context(), names)
		w.must(err)
		w.settle()
		b.StartTimer()
	}
}
