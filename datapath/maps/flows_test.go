package maps

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/abi"
)

// at is the time of the tests, in ticks.
const at = 100_000

func newFlows(t *testing.T) *Flows {
	t.Helper()
	f := NewFlows(newMap(t, "flows_tcp"), newMap(t, "flows_any"))
	f.now = func() uint32 { return at }
	return f
}

// enter puts a flow from a to b whose last packet was so many seconds ago.
func enter(t *testing.T, f *Flows, proto uint8, a, b string, flags uint32, idle time.Duration) abi.Tuple {
	t.Helper()
	key, aIsLo := abi.NewTuple(addrPort(a), addrPort(b), proto)
	if aIsLo {
		flags |= abi.FlowInitiatorLo
	}
	value := abi.Flow{Last: at - uint32(idle/tick), Flags: flags}
	if err := f.of(proto).Put(&key, &value); err != nil {
		t.Fatal(err)
	}
	return key
}

func all(t *testing.T, f *Flows) []string {
	t.Helper()
	var out []string
	for flow, err := range f.All() {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%d %s %s", flow.Proto, flow.Initiator, flow.Responder))
	}
	slices.Sort(out)
	return out
}

const (
	tcp  = unix.IPPROTO_TCP
	udp  = unix.IPPROTO_UDP
	icmp = unix.IPPROTO_ICMP
)

func TestPrivilegedFlows(t *testing.T) {
	f := newFlows(t)
	enter(t, f, tcp, "10.0.0.9:1000", "10.0.0.2:80", 0, 0) // the initiator is hi
	enter(t, f, tcp, "10.0.0.2:1000", "10.0.0.9:80", 0, 0) // the initiator is lo
	enter(t, f, udp, "[fd00::9]:53", "[fd00::2]:5300", 0, 0)
	enter(t, f, icmp, "10.0.0.2:7", "192.0.2.1:7", 0, 0)
	want := []string{
		"1 10.0.0.2:7 192.0.2.1:7",
		"17 [fd00::9]:53 [fd00::2]:5300",
		"6 10.0.0.2:1000 10.0.0.9:80",
		"6 10.0.0.9:1000 10.0.0.2:80",
	}
	if got := all(t, f); !slices.Equal(got, want) {
		t.Fatalf("flows %q, want %q", got, want)
	}
	for flow := range f.All() {
		if flow.Proto == udp {
			for range 2 {
				if err := f.Delete(flow); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if got, want := all(t, f), slices.Delete(slices.Clone(want), 1, 2); !slices.Equal(got, want) {
		t.Errorf("flows %q, want %q", got, want)
	}
}

func TestTimeouts(t *testing.T) {
	for _, c := range []struct {
		name  string
		proto uint8
		flags uint32
		want  time.Duration
	}{
		{"TCP opening", tcp, 0, time.Minute},
		{"TCP answered", tcp, abi.FlowReplied, time.Minute},
		{"TCP established", tcp, abi.FlowReplied | abi.FlowEstablished, 8000 * time.Second},
		{"TCP half closed", tcp, abi.FlowEstablished | abi.FlowFINInitiator, 8000 * time.Second},
		{"TCP closed", tcp, abi.FlowEstablished | abi.FlowFINInitiator | abi.FlowFINResponder, 10 * time.Second},
		{"TCP reset", tcp, abi.FlowEstablished | abi.FlowReset, 10 * time.Second},
		{"UDP asked", udp, 0, time.Minute},
		{"UDP answered", udp, abi.FlowReplied, 3 * time.Minute},
		{"ICMP answered", icmp, abi.FlowReplied, 3 * time.Minute},
	} {
		if got := timeout(c.flags, c.proto); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestIdleAcrossTheClock: the programs' clock wraps and may be a tick ahead of ours.
func TestIdleAcrossTheClock(t *testing.T) {
	for _, c := range []struct {
		last, now uint32
		want      time.Duration
	}{{100, 100, 0}, {100, 110, 10 * tick}, {101, 100, 0}, {0xffff_fff0, 0x10, 0x20 * tick}} {
		f := newFlow(abi.Tuple{Proto: udp}, abi.Flow{Last: c.last}, c.now)
		if got := f.Idle; got != c.want.Truncate(time.Second) {
			t.Errorf("from %#x to %#x: %v, want %v", c.last, c.now, got, c.want)
		}
	}
}

func TestPrivilegedExpire(t *testing.T) {
	f := newFlows(t)
	nat := NewNAT(newMap(t, "nat"))
	nat.now = f.now
	const established = abi.FlowReplied | abi.FlowEstablished
	enter(t, f, tcp, "10.0.0.2:1", "192.0.2.1:80", established, time.Hour)
	enter(t, f, tcp, "10.0.0.2:2", "192.0.2.1:80", established|abi.FlowReset, time.Minute)
	enter(t, f, udp, "10.0.0.2:3", "192.0.2.1:53", 0, 30*time.Second)
	enter(t, f, udp, "10.0.0.2:4", "192.0.2.1:53", 0, 2*time.Minute)
	mapTo(t, nat, tcp, "198.51.100.1:40001", "192.0.2.1:80", "10.0.0.2:1", abi.NATSource)
	mapTo(t, nat, tcp, "198.51.100.1:40002", "192.0.2.1:80", "10.0.0.2:2", abi.NATSource)
	mapTo(t, nat, udp, "198.51.100.1:40004", "192.0.2.1:53", "10.0.0.2:4", abi.NATSource)
	mapTo(t, nat, udp, "198.51.100.1:40005", "192.0.2.1:53", "10.0.0.2:5", abi.NATSource) // its flow was evicted
	e := NewExpirer(f, nat, logrus.New())
	got, err := e.Once()
	if err != nil {
		t.Fatal(err)
	}
	if want := (Round{Seen: 4, Flows: 2, Mappings: 3}); got != want {
		t.Errorf("round %+v, want %+v", got, want)
	}
	if got, want := all(t, f), []string{"17 10.0.0.2:3 192.0.2.1:53", "6 10.0.0.2:1 192.0.2.1:80"}; !slices.Equal(got, want) {
		t.Errorf("flows %q, want %q", got, want)
	}
	if got, want := mappings(t, nat), []string{"6 10.0.0.2:1"}; !slices.Equal(got, want) {
		t.Errorf("mappings %q, want %q", got, want)
	}
}

// TestPrivilegedReleasedAddress: who gets an address inherits no flow, and keeps those that it opened at once.
func TestPrivilegedReleasedAddress(t *testing.T) {
	f := newFlows(t)
	e := NewExpirer(f, NewNAT(newMap(t, "nat")), logrus.New())
	before := abi.Flow{Opened: monotonic(), Flags: abi.FlowReplied}
	enterFlow(t, f, tcp, "10.0.0.9:1000", "10.0.0.2:80", before, 0)
	enterFlow(t, f, udp, "[fd00::2]:1000", "[fd00::9]:53", before, 0)
	enterFlow(t, f, tcp, "10.0.0.3:1000", "10.0.0.2:80", before, 0)
	e.Release(addr("10.0.0.9"))
	e.Release(addr("fd00::9"))
	enterFlow(t, f, tcp, "10.0.0.9:1001", "10.0.0.2:80", abi.Flow{Opened: monotonic()}, 0)

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { e.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	want := []string{"6 10.0.0.3:1000 10.0.0.2:80", "6 10.0.0.9:1001 10.0.0.2:80"}
	for deadline := time.Now().Add(10 * time.Second); !slices.Equal(all(t, f), want); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("flows %q, want %q", all(t, f), want)
		}
	}
}

// TestPrivilegedPublishedPorts: the mapping of a published port belongs to the flow from the client to the backend.
func TestPrivilegedPublishedPorts(t *testing.T) {
	f := newFlows(t)
	nat := NewNAT(newMap(t, "nat"))
	nat.now = f.now
	enter(t, f, tcp, "203.0.113.9:5000", "10.0.0.2:80", abi.FlowReplied|abi.FlowEstablished, time.Minute)
	mapTo(t, nat, tcp, "203.0.113.9:5000", "198.51.100.1:8080", "10.0.0.2:80", abi.NATDestination)
	mapTo(t, nat, tcp, "203.0.113.9:5001", "198.51.100.1:8080", "10.0.0.2:80", abi.NATDestination)
	n, err := nat.Free(f)
	if err != nil || n != 1 {
		t.Errorf("freed %d, %v; want 1", n, err)
	}
	if got := mappings(t, nat); !slices.Equal(got, []string{"6 10.0.0.2:80"}) {
		t.Errorf("mappings %q", got)
	}
}

// TestPrivilegedOddMappings: pings change their identifier, and who reaches itself is another in its flow.
func TestPrivilegedOddMappings(t *testing.T) {
	f := newFlows(t)
	nat := NewNAT(newMap(t, "nat"))
	nat.now = f.now
	enter(t, f, icmp, "10.0.0.2:7", "192.0.2.1:7", abi.FlowReplied, time.Minute)
	mapTo(t, nat, icmp, "198.51.100.1:900", "192.0.2.1:900", "10.0.0.2:7", abi.NATSource)
	mapTo(t, nat, icmp, "198.51.100.1:901", "192.0.2.1:901", "10.0.0.2:8", abi.NATSource)
	mapTo(t, nat, tcp, "10.0.0.3:5000", "198.51.100.1:8080", "10.0.0.3:80", abi.NATDestination)
	if n, err := nat.Free(f); err != nil || n != 1 {
		t.Errorf("freed %d, %v; want 1", n, err)
	}
	if got, want := mappings(t, nat), []string{"1 10.0.0.2:7", "6 10.0.0.3:80"}; !slices.Equal(got, want) {
		t.Errorf("mappings %q, want %q", got, want)
	}
}

// mapTo puts a mapping that is old enough to be freed.
func mapTo(t *testing.T, n *NAT, proto uint8, a, b, inner string, flags uint16) {
	t.Helper()
	key, _ := abi.NewTuple(addrPort(a), addrPort(b), proto)
	in := addrPort(inner)
	value := abi.NAT{Addr: abi.FromAddr(in.Addr()), Port: abi.ToBE16(in.Port()), Flags: flags, Last: at - 600}
	if err := n.m.Put(&key, &value); err != nil {
		t.Fatal(err)
	}
}

func mappings(t *testing.T, n *NAT) []string {
	t.Helper()
	var out []string
	for m, err := range n.All() {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%d %s", m.Proto, m.Inner))
	}
	slices.Sort(out)
	return out
}

// TestPrivilegedYoungMapping: a mapping that was just made may be ahead of its flow.
func TestPrivilegedYoungMapping(t *testing.T) {
	f := newFlows(t)
	nat := NewNAT(newMap(t, "nat"))
	nat.now = f.now
	key, _ := abi.NewTuple(addrPort("198.51.100.1:40001"), addrPort("192.0.2.1:80"), tcp)
	if err := nat.m.Put(&key, &abi.NAT{Addr: abi.FromAddr(addr("10.0.0.2")), Port: abi.ToBE16(1), Last: at - 2}); err != nil {
		t.Fatal(err)
	}
	if n, err := nat.Free(f); err != nil || n != 0 {
		t.Errorf("freed %d, %v; want none", n, err)
	}
}

func TestNextPause(t *testing.T) {
	for _, c := range []struct {
		pause time.Duration
		round Round
		want  time.Duration
	}{
		{time.Minute, Round{Seen: 100, Flows: 10}, time.Minute},
		{time.Minute, Round{Seen: 100, Flows: 50}, 30 * time.Second},
		{time.Minute, Round{Seen: 100, Flows: 100}, minRound},
		{30 * time.Second, Round{Seen: 100}, 45 * time.Second},
		{30 * time.Second, Round{}, 45 * time.Second},
		{50 * time.Second, Round{Seen: 100}, maxRound},
	} {
		if got := nextPause(c.pause, c.round); got != c.want {
			t.Errorf("after %v and %+v: %v, want %v", c.pause, c.round, got, c.want)
		}
	}
}

// TestPrivilegedManyFlows: what does not fit one batch is listed and removed as well.
func TestPrivilegedManyFlows(t *testing.T) {
	f := newFlows(t)
	const n = 4000
	for i := range n {
		src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 3, byte(i >> 8), byte(i)}), 1000)
		enter(t, f, udp, src.String(), "192.0.2.1:53", 0, time.Hour)
	}
	if got := len(all(t, f)); got != n {
		t.Fatalf("%d flows listed, want %d", got, n)
	}
	seen, deleted, err := f.deleteIf(Flow.Expired)
	if err != nil || seen != n || deleted != n {
		t.Errorf("saw %d, deleted %d, %v; want %d each", seen, deleted, err, n)
	}
}
