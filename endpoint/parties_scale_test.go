package endpoint

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/policy"
)

const (
	// full is a host with as many containers as there are slots.
	full = 4096
	// perSecond is what must be consumed in a second, on one core.
	perSecond = 50_000
)

func crowdAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}) }

// fullHost is a Manager that knows a full host's containers, each with an identity and policy of its own.
func fullHost() *Manager {
	m := NewManager(Options{})
	n := &Network{ID: "n", Name: "shop_default"}
	m.parties.putNetwork(n, nil)
	for i := range full {
		e := &Endpoint{ID: fmt.Sprintf("%064x", i), NetworkID: "n", IPv4: netip.PrefixFrom(crowdAddr(i), 16), Veth: &datapath.Veth{Slot: uint32(i)},
			Container: Container{ID: fmt.Sprintf("%064x", i), Name: fmt.Sprintf("shop-web-%d", i), Image: "web", Labels: map[string]string{"app": "web"}},
			Identity:  identity.First + identity.ID(i)}
		m.parties.put(n, e, identity.Labels{"app": "web", "n": fmt.Sprint(i), identity.LabelProject: "shop", identity.LabelService: "web"})
		table := &policy.Table{Rules: []policy.RuleRef{{Policy: "shop", Rule: "egress[0]"}, {Rule: "default deny"}}, Base: 2}
		m.parties.setRunning(&running{program: datapath.Program{Slot: uint32(i), Revision: 1, Egress: table}})
	}
	return m
}

// crowdRecord is what is told of one of many flows between the crowd; every eighth goes to the world.
func crowdRecord(i int) abi.Event {
	e := eventBetween(uint32(i%full), "10.9.0.0", "10.9.0.0")
	e.Src, e.Dst = abi.FromAddr(crowdAddr(i%full)), abi.FromAddr(crowdAddr(i*7%full))
	if i%8 == 0 {
		e.Dst, e.Identity = abi.FromAddr(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})), abi.IdentityWorld
	}
	return e
}

// memoryRing gives records from memory, in batches as the kernel's ring does.
type memoryRing struct {
	records [][]byte
	given   int
	left    int
	closed  chan struct{}
}

func (r *memoryRing) Read(each func([]byte)) error {
	if r.left <= 0 {
		<-r.closed
		return os.ErrClosed
	}
	for range min(512, r.left) {
		each(r.records[r.given%len(r.records)])
		r.given++
	}
	r.left -= 512
	return nil
}
func (r *memoryRing) Lost() (observe.Losses, error) { return nil, nil }
func (r *memoryRing) Close() error                  { close(r.closed); return nil }

func crowdRing(records int) *memoryRing {
	r := &memoryRing{closed: make(chan struct{}), left: records}
	for i := range 8192 {
		e := crowdRecord(i)
		r.records = append(r.records, append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&e)), unsafe.Sizeof(e))...))
	}
	return r
}

// consume runs records through an observer with readers, and returns how long that took.
func consume(tb testing.TB, m *Manager, ring *memoryRing, size, readers int) (*observe.Observer, time.Duration) {
	tb.Helper()
	o := observe.New(observe.Options{Ring: ring, Names: m, Size: size})
	total := uint64(ring.left)
	ctx, stop := context.WithCancel(tb.Context())
	done := make(chan error, 1)
	start := time.Now()
	for range readers {
		go func() { _ = o.Walk(ctx, observe.Query{Follow: true}, func(*observe.Flow) error { return nil }) }()
	}
	go func() { done <- o.Run(ctx) }()
	for o.Counts().Seen < total {
		time.Sleep(time.Millisecond)
	}
	took := time.Since(start)
	stop()
	if err := <-done; err != nil {
		tb.Fatal(err)
	}
	return o, took
}

// BenchmarkConsume is what a record costs the daemon: decoded, named, as two flows in the ring, and read by three readers.
func BenchmarkConsume(b *testing.B) {
	m := fullHost()
	b.ReportAllocs()
	for b.Loop() {
		_, took := consume(b, m, crowdRing(10*perSecond), observe.FlowsIn(observe.DefaultMemory), 3)
		b.ReportMetric(float64(took.Nanoseconds())/(10*perSecond), "ns/record")
		b.ReportMetric(10*perSecond/took.Seconds(), "records/s")
	}
}

// TestFlowsOfAFullHost: records of a full host are consumed far faster than they may come, 65,535 flows stay within 60 MiB,
// and a question about all of them is answered at once.
func TestFlowsOfAFullHost(t *testing.T) {
	const size = 65535
	m := fullHost()
	ring := crowdRing(2 * perSecond)
	before := heap()
	o, took := consume(t, m, ring, size, 1)
	memory := heap() - before
	matches := 0
	start := time.Now()
	err := o.Walk(t.Context(), observe.Query{Match: func(f *observe.Flow) bool {
		return f.Source.Namespace() == "shop" && f.Destination.Workload() == "web" && f.DestinationPort() == 80 && f.IsTrace()
	}}, func(*observe.Flow) error { matches++; return nil })
	asked := time.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d records: %v, %.0f ns each; %d flows: %.1f MiB; a predicate over all: %v, %d match", 2*perSecond, took,
		float64(took.Nanoseconds())/(2*perSecond), size, float64(memory)/(1<<20), asked, matches)
	if took > 2*time.Second { // of a core that others use, too
		t.Errorf("%d records took %v", 2*perSecond, took)
	}
	if memory > 60<<20 {
		t.Errorf("%d flows take %d MiB", size, memory>>20)
	}
	if asked > 200*time.Millisecond {
		t.Errorf("a predicate over %d flows took %v", size, asked)
	}
	if matches < size/4 || matches > size/2 {
		t.Errorf("%d of %d flows match", matches, size)
	}
	runtime.KeepAlive(o)
}

// heap returns what is in use after a collection.
func heap() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}
