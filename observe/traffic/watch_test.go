package traffic

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// host is a Source whose counters a test sets.
type host struct {
	containers  []Container
	connections []Connection
	clock       uint64
	err         error
}

func (h *host) Containers(context.Context) ([]Container, error) { return h.containers, h.err }

func (h *host) Connections(yield func(Connection) bool) error {
	for _, c := range h.connections {
		if !yield(c) {
			return nil
		}
	}
	return h.err
}

func (h *host) Name(a netip.Addr) string {
	if a == netip.MustParseAddr("172.30.0.1") {
		return "host"
	}
	return ""
}

func (h *host) Monotonic() uint64 { return h.clock }

func count(packets, bytes uint64) abi.Counter { return abi.Counter{Packets: packets, Bytes: bytes} }

func ends(initiator, responder string) (netip.AddrPort, netip.AddrPort) {
	return netip.MustParseAddrPort(initiator), netip.MustParseAddrPort(responder)
}

// shop is a web server with two containers, a database, and a container by itself.
func shop() *host {
	addrs := func(n int) []netip.Addr {
		return []netip.Addr{netip.MustParseAddr(fmt.Sprintf("172.30.0.%d", n)), netip.MustParseAddr(fmt.Sprintf("fd00::%d", n))}
	}
	return &host{clock: 1000, containers: []Container{
		{ID: "1", Name: "shop-web-1", Project: "shop", Service: "web", Addrs: addrs(2), Sent: count(10, 1000), Received: count(5, 500)},
		{ID: "2", Name: "shop-web-2", Project: "shop", Service: "web", Addrs: addrs(3)},
		{ID: "3", Name: "shop-db-1", Project: "shop", Service: "db", Addrs: addrs(4), Sent: count(5, 500), Received: count(10, 1000)},
		{ID: "4", Name: "alone", Addrs: addrs(5)},
	}}
}

// move lets two seconds pass: web-1 has sent 40 packets to db, of which web-2 and the host opened connections, and alone is new.
func (h *host) move() {
	h.containers[0].Sent, h.containers[0].Received = count(50, 5000), count(25, 2500)
	h.containers[1].Sent = count(4, 400)
	h.containers[2].Sent, h.containers[2].Received = count(25, 2500), count(54, 5400)
	h.containers = append(h.containers, Container{ID: "5", Name: "late", Addrs: nil, Sent: count(2, 200)})
	old, db := ends("172.30.0.2:4000", "172.30.0.4:5432")
	v6, db6 := ends("[fd00::3]:4001", "[fd00::4]:5432")
	local, web := ends("172.30.0.1:4002", "172.30.0.2:80")
	away, world := ends("172.30.0.5:4003", "198.51.100.1:53")
	h.connections = []Connection{
		{Proto: unix.IPPROTO_TCP, Initiator: old, Responder: db, Opened: 500, Open: true, Sent: count(50, 5000), Received: count(25, 2500)},
		{Proto: unix.IPPROTO_TCP, Initiator: v6, Responder: db6, Opened: 2000, Open: true, Sent: count(4, 400)},
		{Proto: unix.IPPROTO_TCP, Initiator: local, Responder: web, Opened: 2500, Open: false, Sent: count(2, 100), Received: count(2, 300)},
		{Proto: unix.IPPROTO_UDP, Initiator: away, Responder: world, Opened: 900, Open: true},
	}
	h.clock = 3000
}

func drop(from, to string, endpoint *observe.Party, reason abi.DropReason) *observe.Flow {
	return &observe.Flow{Endpoint: endpoint, Kernel: abi.Event{Type: abi.EventDrop, Family: 4, Reason: uint16(reason),
		Src: abi.FromAddr(netip.MustParseAddr(from)), Dst: abi.FromAddr(netip.MustParseAddr(to))}}
}

// two takes two samples, two seconds apart.
func two(t *testing.T, by string) api.Traffic {
	t.Helper()
	h, flows := shop(), observe.NewFlows(64)
	old, db := ends("172.30.0.2:4000", "172.30.0.4:5432")
	h.connections = []Connection{{Proto: unix.IPPROTO_TCP, Initiator: old, Responder: db, Opened: 500, Open: true, Sent: count(10, 1000), Received: count(5, 500)}}
	_, next := flows.Bounds()
	w := &watch{source: h, by: by, drops: flows.Reader(next), read: next, flows: flows}
	begin := time.Unix(1000, 0)
	if _, err := w.sample(context.Background(), begin); err != nil {
		t.Fatal(err)
	}
	h.move()
	party := &observe.Party{Container: "shop-db-1", Project: "shop", Service: "db"}
	for range 3 {
		flows.Add(drop("172.30.0.5", "172.30.0.4", party, abi.DropPolicyDenied))
	}
	flows.Add(drop("172.30.0.5", "172.30.0.4", party, abi.DropRate), drop("172.30.0.5", "172.30.0.4", nil, abi.DropPolicyDenied),
		&observe.Flow{Lost: &api.Lost{Count: 7}}, &observe.Flow{Kernel: abi.Event{Type: abi.EventTrace}})
	got, err := w.sample(context.Background(), begin.Add(2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func rates(sentBytes, sentPackets, receivedBytes, receivedPackets float64) (sent, received api.Rate) {
	return api.Rate{Bytes: sentBytes, Packets: sentPackets}, api.Rate{Bytes: receivedBytes, Packets: receivedPackets}
}

func rowOf(r api.TrafficRow, sentBytes, sentPackets, receivedBytes, receivedPackets float64) api.TrafficRow {
	r.Sent, r.Received = rates(sentBytes, sentPackets, receivedBytes, receivedPackets)
	return r
}

func TestContainers(t *testing.T) {
	got := two(t, api.TrafficContainers)
	want := api.Traffic{Time: time.Unix(1002, 0), Over: 2 * time.Second, Lost: 7, Rows: []api.TrafficRow{
		rowOf(api.TrafficRow{Name: "shop-db-1", Container: "shop-db-1", Project: "shop", Service: "db", New: 0.5, Open: 2, Drops: 2, Reason: "policy denied"}, 1000, 10, 2200, 22),
		rowOf(api.TrafficRow{Name: "shop-web-1", Container: "shop-web-1", Project: "shop", Service: "web", New: 0.5, Open: 1}, 2000, 20, 1000, 10),
		rowOf(api.TrafficRow{Name: "shop-web-2", Container: "shop-web-2", Project: "shop", Service: "web", New: 0.5, Open: 1}, 200, 2, 0, 0),
		rowOf(api.TrafficRow{Name: "late", Container: "late"}, 100, 1, 0, 0),
		rowOf(api.TrafficRow{Name: "alone", Container: "alone", Open: 1}, 0, 0, 0, 0),
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestServices(t *testing.T) {
	got := two(t, api.TrafficServices)
	want := []api.TrafficRow{
		rowOf(api.TrafficRow{Name: "shop/db", Project: "shop", Service: "db", New: 0.5, Open: 2, Drops: 2, Reason: "policy denied"}, 1000, 10, 2200, 22),
		rowOf(api.TrafficRow{Name: "shop/web", Project: "shop", Service: "web", New: 1, Open: 2}, 2200, 22, 1000, 10),
		rowOf(api.TrafficRow{Name: "late", Container: "late"}, 100, 1, 0, 0),
		rowOf(api.TrafficRow{Name: "alone", Container: "alone", Open: 1}, 0, 0, 0, 0),
	}
	if diff := cmp.Diff(want, got.Rows); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPeers(t *testing.T) {
	got := two(t, api.TrafficPeers)
	want := []api.TrafficRow{
		rowOf(api.TrafficRow{Name: "shop/web", Peer: "shop/db", Project: "shop", Service: "web", New: 0.5, Open: 2}, 2200, 22, 1000, 10),
		rowOf(api.TrafficRow{Name: "host", Peer: "shop/web", Project: "shop", New: 0.5}, 50, 1, 150, 1),
		rowOf(api.TrafficRow{Name: "alone", Peer: "shop/db", Container: "alone", Project: "shop", Drops: 2.5, Reason: "policy denied"}, 0, 0, 0, 0),
		rowOf(api.TrafficRow{Name: "alone", Peer: "198.51.100.1", Container: "alone", Open: 1}, 0, 0, 0, 0),
	}
	if diff := cmp.Diff(want, got.Rows); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A counter that begins anew, for another container in the slot, is no rate of 2^64.
func TestCountersBeginAnew(t *testing.T) {
	if got := sub(count(3, 30), count(10, 5)); got != count(3, 30) {
		t.Errorf("got %v", got)
	}
}

func TestSampleIsBounded(t *testing.T) {
	s := &sample{by: api.TrafficPeers, rows: map[rowKey]*row{}}
	for i := range mostRows + 5 {
		s.row(api.TrafficRow{Name: fmt.Sprint(i)}).grow(counters{sent: count(1, uint64(i))})
	}
	got := s.result(time.Second)
	if len(got.Rows) != mostRows || got.Hidden != 5 || got.Rows[0].Name != fmt.Sprint(mostRows+4) {
		t.Errorf("%d rows, %d hidden, first %v", len(got.Rows), got.Hidden, got.Rows[0])
	}
}

func TestWatch(t *testing.T) {
	r := api.TrafficRequest{By: api.TrafficContainers, Interval: time.Millisecond, Count: 2}
	n := 0
	if err := Watch(context.Background(), shop(), observe.NewFlows(8), r, func(api.Traffic) error { n++; return nil }); err != nil || n != 2 {
		t.Errorf("%d samples, %v", n, err)
	}
	enough := errors.New("enough")
	if err := Watch(context.Background(), shop(), observe.NewFlows(8), r, func(api.Traffic) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("a reader that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Watch(ctx, shop(), observe.NewFlows(8), r, nil); err != nil {
		t.Errorf("an end is an error: %v", err)
	}
	broken := shop()
	broken.err = errors.New("broken")
	if err := Watch(context.Background(), broken, observe.NewFlows(8), r, nil); !errors.Is(err, broken.err) {
		t.Errorf("a table that cannot be read: %v", err)
	}
}
