package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// kernel stands for programs and their ring.
type kernel struct {
	mu       sync.Mutex
	lengths  []map[string]uint32 // of every change
	records  chan observe.Captured
	lost     map[uint32]uint64
	opened   int
	closed   int
	fail     error // of changes
	failOpen error
}

func newKernel() *kernel {
	return &kernel{records: make(chan observe.Captured, 100), lost: map[uint32]uint64{}}
}

func (k *kernel) Capture(_ context.Context, lengths map[string]uint32) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lengths = append(k.lengths, lengths)
	return k.fail
}

func (k *kernel) now() map[string]uint32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.lengths) == 0 {
		return nil
	}
	return k.lengths[len(k.lengths)-1]
}

// ring is one opening of the kernel's.
type ring struct {
	k    *kernel
	done chan struct{}
}

func (k *kernel) open() (Ring, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.opened++
	return &ring{k, make(chan struct{})}, k.failOpen
}

func (r *ring) Read() (observe.Captured, error) {
	select {
	case p, ok := <-r.k.records:
		if !ok {
			return p, errors.New("broken")
		}
		if p.Length == 0 {
			return p, fmt.Errorf("decode: %w", observe.ErrRecord)
		}
		return p, nil
	case <-r.done:
		return observe.Captured{}, os.ErrClosed
	}
}

func (r *ring) Lost(slot uint32) (uint64, error) {
	r.k.mu.Lock()
	defer r.k.mu.Unlock()
	return r.k.lost[slot], nil
}

func (r *ring) Close() error {
	r.k.mu.Lock()
	r.k.closed++
	r.k.mu.Unlock()
	close(r.done)
	return nil
}

// names are containers web in slot 1 and db in slot 2.
type names struct{}

func (names) Slot(slot uint32) *observe.Party {
	return map[uint32]*observe.Party{1: {Container: "web", Network: "net"}, 2: {Container: "db", Network: "net"}, 3: {}}[slot]
}

func (names) Rule(_, _ uint32, _ uint8, rule uint16) *observe.Rule {
	if rule == 0 {
		return nil
	}
	return &observe.Rule{Policy: "allow-web", Place: "ingress[0]"}
}

func newHub(k *kernel) *Hub {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return New(Options{Programs: k, Names: names{}, Open: k.open, Log: log})
}

// frame is of UDP to port 53, of 42 bytes.
func frame() []byte {
	b := make([]byte, 42)
	b[12], b[13], b[14], b[23], b[37] = 8, 0, 0x45, 17, 53
	return b
}

func record(slot uint32, drop bool) observe.Captured {
	e := abi.Event{Type: abi.EventTrace, Slot: slot, Point: abi.PointIngress}
	if drop {
		e.Type, e.Reason, e.Rule, e.Side = abi.EventDrop, uint16(abi.DropPolicyDenied), 1, abi.PolicyIngress
	}
	return observe.Captured{Time: time.Now().Add(time.Second), Event: e, Length: 100, Frame: frame()}
}

// capturing runs a capture; what it gives comes through the channel, and its end.
func capturing(t *testing.T, h *Hub, containers []string, r api.CaptureRequest) (items <-chan api.Captured, end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ch, ended := make(chan api.Captured, 100), make(chan error, 1)
	go func() {
		ended <- h.Capture(ctx, containers, r, nil, func(c api.Captured) error { ch <- c; return nil })
		close(ch)
	}()
	t.Cleanup(cancel)
	return ch, func() error { cancel(); return <-ended }
}

func next(t *testing.T, items <-chan api.Captured) api.Captured {
	t.Helper()
	select {
	case c, open := <-items:
		if !open {
			t.Fatal("the capture ended")
		}
		return c
	case <-time.After(10 * time.Second):
		t.Fatal("nothing comes")
		return api.Captured{}
	}
}

func TestCapture(t *testing.T) {
	k := newKernel()
	h := newHub(k)
	items, end := capturing(t, h, []string{"web"}, api.CaptureRequest{SnapLength: 20})
	if c := next(t, items); c.Container != "web" || c.Verdict != "" {
		t.Errorf("begins with %+v", c)
	}
	if got := k.now(); !maps.Equal(got, map[string]uint32{"web": 20}) {
		t.Errorf("programs capture %v", got)
	}
	k.records <- observe.Captured{} // no record of this version: left out
	old := record(1, false)
	old.Time = time.Now().Add(-time.Hour)
	k.records <- old // of a capture before
	k.records <- record(2, false)
	k.records <- record(3, false)
	k.records <- record(9, false)
	k.records <- record(1, true)
	c := next(t, items)
	if c.Verdict != api.VerdictDropped || c.Reason != "policy denied" || c.Policy != "allow-web" || c.Rule != "ingress[0]" ||
		c.Point != api.Ingress || c.Network != "net" || c.Length != 100 || len(c.Frame) != 20 {
		t.Errorf("got %+v", c)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	if got := k.now(); len(got) != 0 || k.closed != 1 || k.opened != 1 {
		t.Errorf("afterwards programs capture %v, the ring was opened %d times, closed %d", got, k.opened, k.closed)
	}
}

func TestSessionsShare(t *testing.T) {
	k := newKernel()
	h := newHub(k)
	all, endAll := capturing(t, h, []string{"web", "db"}, api.CaptureRequest{SnapLength: 100})
	next(t, all)
	next(t, all)
	drops, endDrops := capturing(t, h, []string{"db"}, api.CaptureRequest{SnapLength: 9000, DropsOnly: true, Filter: "udp port 53"})
	next(t, drops)
	if got := k.now(); !maps.Equal(got, map[string]uint32{"web": 100, "db": 9000}) {
		t.Errorf("programs capture %v", got)
	}
	k.records <- record(2, false)
	k.records <- record(2, true)
	if c := next(t, drops); c.Verdict != api.VerdictDropped {
		t.Errorf("got %+v, want drops only", c)
	}
	if a, b := next(t, all), next(t, all); a.Verdict != api.VerdictForwarded || b.Verdict != api.VerdictDropped {
		t.Errorf("got %+v, %+v", a, b)
	}
	if err := endDrops(); err != nil {
		t.Error(err)
	}
	if got := k.now(); !maps.Equal(got, map[string]uint32{"web": 100, "db": 100}) || k.closed != 0 {
		t.Errorf("programs capture %v; the ring was closed %d times", got, k.closed)
	}
	if err := endAll(); err != nil {
		t.Error(err)
	}
	again, endAgain := capturing(t, h, []string{"web"}, api.CaptureRequest{SnapLength: 100})
	next(t, again)
	if err := endAgain(); err != nil || k.opened != 2 || k.closed != 2 {
		t.Errorf("%v; opened %d, closed %d", err, k.opened, k.closed)
	}
}

func TestLossesAreTold(t *testing.T) {
	k := newKernel()
	k.lost[1] = 100 // before the capture
	h := newHub(k)
	items, end := capturing(t, h, []string{"web"}, api.CaptureRequest{SnapLength: 100})
	next(t, items)
	k.records <- record(1, false)
	next(t, items)
	k.mu.Lock()
	k.lost[1] = 107
	k.mu.Unlock()
	if c := next(t, items); c.Lost != 7 || c.Verdict != "" || c.Container != "web" {
		t.Errorf("got %+v, want 7 lost", c)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

// Who does not read loses packets; the others do not wait.
func TestSlowReader(t *testing.T) {
	k := newKernel()
	h := newHub(k)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stuck, ended := make(chan struct{}), make(chan error, 1)
	var lost uint64
	go func() {
		ended <- h.Capture(ctx, []string{"web"}, api.CaptureRequest{SnapLength: 100}, nil, func(c api.Captured) error {
			<-stuck
			if lost = c.Lost; lost > 0 {
				return errors.New("enough")
			}
			return nil
		})
	}()
	fast, end := capturing(t, h, []string{"web"}, api.CaptureRequest{SnapLength: 100})
	next(t, fast)
	for range waiting + 50 {
		k.records <- record(1, false)
		next(t, fast)
	}
	close(stuck)
	if err := <-ended; err == nil || lost == 0 {
		t.Errorf("%v; %d lost", err, lost)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestCaptureFails(t *testing.T) {
	k := newKernel()
	h := newHub(k)
	err := h.Capture(context.Background(), []string{"web"}, api.CaptureRequest{Filter: "host nobody"}, func(string) []netip.Addr { return nil }, nil)
	if api.CodeOf(err) != api.CodeInvalid || k.opened != 0 {
		t.Errorf("a wrong filter: %v", err)
	}
	k.fail = errors.New("no memory")
	if err := h.Capture(context.Background(), []string{"web"}, api.CaptureRequest{}, nil, nil); !errors.Is(err, k.fail) || k.closed != 1 {
		t.Errorf("programs that do not capture: %v, closed %d", err, k.closed)
	}
	k.fail, k.failOpen = nil, errors.New("no map")
	if err := h.Capture(context.Background(), []string{"web"}, api.CaptureRequest{}, nil, nil); !errors.Is(err, k.failOpen) {
		t.Errorf("a ring that cannot be opened: %v", err)
	}
	k.failOpen = nil
	items, end := capturing(t, h, []string{"web"}, api.CaptureRequest{})
	next(t, items)
	close(k.records)
	for range items { // until the capture ends
	}
	if err := end(); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("a ring that breaks: %v", err)
	}
}
