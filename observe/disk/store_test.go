package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

var (
	noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

	web = &observe.Party{Number: 1, EndpointID: "e1", Container: "web", ContainerID: "c1", Image: "nginx:1", Project: "shop", Service: "web",
		Network: "shop_default", Identity: 257, Labels: map[string]string{"app": "web"}, Domains: []string{"web"}}
	world  = &observe.Party{Entity: api.EntityWorld, Identity: 2}
	denies = &observe.Rule{Policy: "shop", Place: "egress[0]"}
)

// flow is the i-th of many, a second after the one before.
func flow(i int) *observe.Flow {
	f := &observe.Flow{Time: noon.Add(time.Duration(i) * time.Second), Source: web, Destination: world, Endpoint: web}
	f.Kernel = abi.Event{Type: abi.EventTrace, Point: abi.PointEgress, Family: 4, Proto: 6, Length: uint32(i), Time: uint64(i) * 1e9,
		Src: abi.FromAddr(netip.MustParseAddr("172.30.0.2")), Dst: abi.FromAddr(netip.MustParseAddr("192.0.2.1")), Sport: abi.ToBE16(uint16(i))}
	switch {
	case i%5 == 1:
		f.Kernel.Type, f.Kernel.Reason, f.Rule = abi.EventDrop, uint16(abi.DropPolicyDenied), denies
	case i%5 == 2:
		f.DestinationNames, f.Published = []string{"example.org", "www.example.org"}, 8080
	case i%50 == 3:
		*f = observe.Flow{Time: f.Time, Source: nobody, Destination: nobody, Endpoint: web, Lost: &api.Lost{Where: api.LostKernel, Count: 7}}
	}
	return f
}

// hist is a store and the ring before it.
type hist struct {
	*Store
	t    *testing.T
	ring *observe.Flows
	log  *bytes.Buffer
	end  func()
}

// open opens a store, which a ring fills.
func open(t *testing.T, o Options) *hist {
	t.Helper()
	h := &hist{t: t, log: &bytes.Buffer{}}
	log := logrus.New()
	log.SetOutput(h.log)
	o.Log = log
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	h.Store = s
	h.ring = observe.NewFlowsFrom(1<<16, s.Next())
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Follow(ctx, h.ring, s.Next()) }()
	h.end = func() {
		t.Helper()
		stop()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Error(err)
		}
	}
	return h
}

// add gives the ring flows [from, to), and waits until they are written, in blocks of some.
func (h *hist) add(from, to int) {
	h.t.Helper()
	for i := from; i < to; i++ {
		h.ring.Add(flow(i))
	}
}

// all returns what a range has.
func (h *hist) all(r observe.Range) []*observe.Flow {
	h.t.Helper()
	var all []*observe.Flow
	if r.Before == 0 {
		r.Before = 1 << 62
	}
	if err := h.Walk(context.Background(), r, func(f *observe.Flow) error { all = append(all, f); return nil }); err != nil {
		h.t.Fatal(err)
	}
	return all
}

// numbers returns which flows they are.
func numbers(flows []*observe.Flow) []uint64 {
	var all []uint64
	for _, f := range flows {
		all = append(all, f.Seq)
	}
	return all
}

func span(from, to uint64) []uint64 {
	var all []uint64
	for ; from < to; from++ {
		all = append(all, from)
	}
	return all
}

// same compares flows with those that flow makes.
func same(t *testing.T, got []*observe.Flow, from, to int) {
	t.Helper()
	var want []*observe.Flow
	for i := from; i < to; i++ {
		f := flow(i)
		f.Seq = uint64(i + 1)
		want = append(want, f)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(observe.Flow{}, abi.Event{}), cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("(-want +got):\n%.2000s", diff)
	}
}

func TestFlowsSurviveARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flows")
	const n = 2500 // more than two blocks
	h := open(t, Options{Dir: dir})
	h.add(0, n)
	h.end()
	h = open(t, Options{Dir: dir})
	defer h.end()
	if h.log.Len() > 0 {
		t.Errorf("log: %s", h.log)
	}
	same(t, h.all(observe.Range{}), 0, n)
	if next := h.Next(); next != n+1 {
		t.Errorf("the next flow is number %d", next)
	}
	h.add(n, n+10)
	poll(t, "new flows are there", func() bool { return len(h.all(observe.Range{})) == n+10 })
	same(t, h.all(observe.Range{From: n - 5}), n-6, n+10)
	same(t, h.all(observe.Range{From: 100, Before: 1100}), 99, 1099)
	same(t, h.all(observe.Range{Since: noon.Add(2400 * time.Second), Until: noon.Add(2410 * time.Second)}), 2400, 2411)
	if c := h.Counts(); c.Flows < n || !c.Oldest.Equal(noon) || c.Lost != 0 || c.Bytes > n*64 {
		t.Errorf("counts %+v: %d bytes each", c, c.Bytes/n)
	}
}

func TestBack(t *testing.T) {
	h := open(t, Options{Dir: t.TempDir()})
	defer h.end()
	const n = 3000
	h.add(0, n)
	poll(t, "all are taken", func() bool { return len(h.all(observe.Range{})) == n })
	drops := func(f *observe.Flow) bool { return f.IsDrop() }
	for _, c := range []struct {
		r           observe.Range
		n           uint64
		from, found uint64
	}{
		{observe.Range{From: 1, Before: n + 1}, 1, n - 3, 1}, // flows 1, 6, 11… of 0 to 2999
		{observe.Range{From: 1, Before: n + 1}, 300, n - 3 - 299*5, 300},
		{observe.Range{From: 1, Before: n + 1}, 1 << 40, 2, n / 5},
		{observe.Range{From: 1, Before: 10}, 1, 7, 1},
		{observe.Range{From: 1, Before: n + 1, Until: noon.Add(20 * time.Second)}, 2, 12, 2},
		{observe.Range{From: 1, Before: 2}, 5, 0, 0},
	} {
		from, found, err := h.Back(context.Background(), c.r, c.n, drops)
		if err != nil || from != c.from || found != c.found {
			t.Errorf("%d back in %+v: from %d, %d found, want %d, %d (%v)", c.n, c.r, from, found, c.from, c.found, err)
		}
	}
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

// files returns the segments of a directory.
func files(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// TestTornTail: whatever of the last block reached the disk before a crash, the blocks before are read, and writing goes on.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	h := open(t, Options{Dir: dir})
	h.add(0, blockFlows+100)
	h.end()
	path := files(t, dir)[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := h.segments[0].blocks[1].at
	for _, size := range []int64{first + 1, first + blockHeader - 1, first + blockHeader, int64(len(whole)) - 1} {
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		h := open(t, Options{Dir: dir})
		if !strings.Contains(h.log.String(), fmt.Sprintf("its last %d bytes are not whole", size-first)) {
			t.Errorf("cut at %d the log says %q", size, h.log)
		}
		same(t, h.all(observe.Range{}), 0, blockFlows)
		if info, err := os.Stat(path); err != nil || info.Size() != first {
			t.Errorf("cut at %d the file is %v, %v", size, info.Size(), err)
		}
		h.end()
	}
	h = open(t, Options{Dir: dir})
	h.add(blockFlows, blockFlows+10)
	h.end()
	h = open(t, Options{Dir: dir})
	defer h.end()
	same(t, h.all(observe.Range{}), 0, blockFlows+10)
}

// TestForeignSegments: what another version wrote is told and left alone, what is no segment too; the rest is read.
func TestForeignSegments(t *testing.T) {
	dir := t.TempDir()
	h := open(t, Options{Dir: dir})
	h.add(0, 10)
	h.end()
	newer := header()
	newer[8]++
	sum(newer)
	fields := header()
	fields[12]++
	sum(fields)
	for name, c := range map[string]struct {
		text []byte
		says string
	}{
		"flows-00000000000000000100.seg": {newer, "format 2, this one reads 1"},
		"flows-00000000000000000200.seg": {fields, "written by another version of Sluice"},
		"flows-00000000000000000300.seg": {[]byte("something else, longer than a header"), "no segment of flows"},
		"flows-00000000000000000400.seg": {nil, "it ends within its header"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		h := open(t, Options{Dir: dir})
		if !strings.Contains(h.log.String(), name) || !strings.Contains(h.log.String(), c.says) {
			t.Errorf("%s: the log says %q, want %q", name, h.log, c.says)
		}
		same(t, h.all(observe.Range{}), 0, 10)
		h.end()
		if text, err := os.ReadFile(path); err != nil || !bytes.Equal(text, c.text) {
			t.Errorf("%s was changed: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h = open(t, Options{Dir: dir})
	defer h.end()
	if next := h.Next(); next != 401 {
		t.Errorf("the next flow is number %d, which a file may have", next)
	}
}

// TestDamage: a block that is not what was written is missing, and counted; all others are there.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	h := open(t, Options{Dir: dir})
	h.add(0, 3*blockFlows)
	h.end()
	path := files(t, dir)[0]
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[h.segments[0].blocks[1].at+blockHeader+100] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segmentPath(dir, 9000), header(), 0o600); err != nil { // so that it is not the newest
		t.Fatal(err)
	}
	h = open(t, Options{Dir: dir})
	defer h.end()
	got := h.all(observe.Range{})
	if n := len(got); n != 2*blockFlows+1 {
		t.Fatalf("%d flows", n)
	}
	if gap := got[blockFlows]; !gap.IsLost() || gap.Lost.Count != blockFlows || gap.Lost.Where != api.LostStore {
		t.Errorf("in the place of the block is %+v", gap)
	}
	same(t, got[:blockFlows], 0, blockFlows)
	same(t, got[blockFlows+1:], 2*blockFlows, 3*blockFlows)
	if c := h.Counts(); c.Damaged != 1 || !strings.Contains(h.log.String(), "checksum") {
		t.Errorf("counts %+v, log %s", c, h.log)
	}
}

func TestOneDaemonADirectory(t *testing.T) {
	dir := t.TempDir()
	h := open(t, Options{Dir: dir})
	if _, err := Open(Options{Dir: dir, Log: logrus.New()}); err == nil || !strings.Contains(err.Error(), "another daemon uses it") {
		t.Errorf("opened twice: %v", err)
	}
	h.end()
	open(t, Options{Dir: dir}).end()
}

// sum makes a changed header's checksum right.
func sum(h []byte) {
	n := len(h) - 4
	binary.LittleEndian.PutUint32(h[n:], crc32.Checksum(h[:n], castagnoli))
}
