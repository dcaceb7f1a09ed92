package maps

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/service"
)

var comparable = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})

func TestPrivilegedEndpoints(t *testing.T) {
	e := NewEndpoints(newMap(t, "endpoints"))
	want := map[netip.Addr]datapath.Address{
		addr("10.1.0.2"): {Ifindex: 7, Identity: 300, Network: 2, Slot: 9, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}},
		addr("fd00::2"):  {Ifindex: 7, Identity: 300, Network: 2, Slot: 9, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}},
		addr("10.1.0.1"): {Identity: abi.IdentityHost, Host: true},
	}
	for a, v := range want {
		if err := e.Put(a, v); err != nil {
			t.Fatal(err)
		}
	}
	checkEndpoints(t, e, want)
	moved := want[addr("10.1.0.2")]
	moved.Identity = 301
	want[addr("10.1.0.2")] = moved
	if err := e.Put(addr("10.1.0.2"), moved); err != nil {
		t.Fatal(err)
	}
	checkEndpoints(t, e, want)
	delete(want, addr("fd00::2"))
	for range 2 {
		if err := e.Delete(addr("fd00::2")); err != nil {
			t.Fatal(err)
		}
	}
	checkEndpoints(t, e, want)
}

func checkEndpoints(t *testing.T, e *Endpoints, want map[netip.Addr]datapath.Address) {
	t.Helper()
	got, err := e.List()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, comparable); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPrivilegedManyEndpoints: a list of more entries than fit one batch misses none.
func TestPrivilegedManyEndpoints(t *testing.T) {
	e := NewEndpoints(newMap(t, "endpoints"))
	want := map[netip.Addr]datapath.Address{}
	for i := range 5000 {
		a := netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)})
		want[a] = datapath.Address{Ifindex: i, Identity: 256}
		if err := e.Put(a, want[a]); err != nil {
			t.Fatal(err)
		}
	}
	checkEndpoints(t, e, want)
}

func TestPrivilegedFullMap(t *testing.T) {
	m := newMap(t, "uplinks")
	u := NewUplinks(m)
	for i := range int(m.MaxEntries()) {
		if err := u.Put(i+1, datapath.Uplink{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.Put(1<<20, datapath.Uplink{}); err == nil {
		t.Error("a full map took one more")
	}
}

func newServices(t *testing.T) *Services {
	t.Helper()
	return NewServices(newMap(t, "services"), newFlows(t), NewNAT(newMap(t, "nat")), NewEndpoints(newMap(t, "endpoints")))
}

// Connections outlive their frontend, and those that are over, came by another frontend or have lost their backend do not.
func TestPrivilegedServicesKeepConnections(t *testing.T) {
	any, one := service.Frontend{Addr: addr("0.0.0.0"), Port: 8080, Proto: service.TCP},
		service.Frontend{Addr: addr("198.51.100.1"), Port: 8081, Proto: service.TCP}
	old, next := service.Backend{Addr: addr("10.1.0.2"), Port: 80}, service.Backend{Addr: addr("10.1.0.3"), Port: 80}
	gone := service.Frontend{Addr: addr("0.0.0.0"), Port: 8082, Proto: service.TCP}
	for name, change := range map[string]func(*Services, service.Frontend) error{
		"deleted":  (*Services).Delete,
		"replaced": func(s *Services, f service.Frontend) error { return s.Put(f, next) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newServices(t)
			if err := s.endpoints.Put(old.Addr, datapath.Address{Ifindex: 9, Slot: 1}); err != nil {
				t.Fatal(err)
			}
			for f, b := range map[service.Frontend]service.Backend{any: old, one: old, gone: {Addr: addr("10.1.0.9"), Port: 80}} {
				if err := s.Put(f, b); err != nil {
					t.Fatal(err)
				}
			}
			reach := func(client, frontend string, b service.Backend, flags uint32, idle time.Duration) {
				key, lo := abi.NewTuple(addrPort(client), netip.AddrPortFrom(b.Addr, b.Port), tcp)
				if lo {
					flags |= abi.FlowInitiatorLo
				}
				named := addrPort(frontend)
				flow := abi.Flow{Last: at - uint32(idle/tick), Flags: flags | abi.FlowDNAT,
					DNATAddr: abi.FromAddr(named.Addr()), DNATPort: abi.ToBE16(named.Port())}
				if err := s.flows.tcp.Put(&key, &flow); err != nil {
					t.Fatal(err)
				}
			}
			const established = abi.FlowReplied | abi.FlowEstablished
			reach("203.0.113.9:5000", "198.51.100.1:8080", old, established, time.Minute)
			reach("203.0.113.9:5001", "198.51.100.2:8080", old, established, time.Minute)
			reach("203.0.113.9:5002", "198.51.100.1:8080", old, established|abi.FlowReset, time.Minute)
			reach("203.0.113.9:5003", "198.51.100.2:8081", old, established, time.Minute) // of no frontend
			reach("203.0.113.9:5004", "198.51.100.1:8082", service.Backend{Addr: addr("10.1.0.9"), Port: 80}, established, time.Minute)
			reach("10.1.0.1:5005", "198.51.100.1:8081", old, established|abi.FlowHairpin, time.Minute)
			for _, f := range []service.Frontend{any, one, gone} {
				if err := change(s, f); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for m, err := range s.nat.All() {
				if err != nil {
					t.Fatal(err)
				}
				if m.Inner != netip.AddrPortFrom(old.Addr, old.Port) || m.Source {
					t.Errorf("mapping %+v", m)
				}
				got = append(got, fmt.Sprint(m.External[0], " ", m.External[1]))
			}
			slices.Sort(got)
			want := []string{"10.1.0.2:5005 198.51.100.1:8081", "198.51.100.1:8080 203.0.113.9:5000", "198.51.100.2:8080 203.0.113.9:5001"}
			if !slices.Equal(got, want) {
				t.Errorf("kept %q, want %q", got, want)
			}
			var entry abi.NAT
			key, _ := abi.NewTuple(addrPort("203.0.113.9:5000"), addrPort("198.51.100.1:8080"), tcp)
			if err := s.nat.m.Lookup(&key, &entry); err != nil || entry.Ifindex != 9 {
				t.Errorf("entry %+v, %v", entry, err)
			}
		})
	}
}

func TestPrivilegedServices(t *testing.T) {
	s := newServices(t)
	want := map[service.Frontend]service.Backend{
		{Addr: addr("0.0.0.0"), Port: 8080, Proto: service.TCP}:   {Addr: addr("10.1.0.2"), Port: 80},
		{Addr: addr("::"), Port: 8080, Proto: service.TCP}:        {Addr: addr("fd00::2"), Port: 80},
		{Addr: addr("127.0.0.1"), Port: 5353, Proto: service.UDP}: {Addr: addr("10.1.0.3"), Port: 53},
	}
	for f, b := range want {
		if err := s.Put(f, b); err != nil {
			t.Fatal(err)
		}
	}
	gone := service.Frontend{Addr: addr("::1"), Port: 1, Proto: service.TCP}
	if err := s.Put(gone, service.Backend{Addr: addr("fd00::3"), Port: 2}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Delete(gone); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, comparable); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPrivilegedUplinks(t *testing.T) {
	u := NewUplinks(newMap(t, "uplinks"))
	want := map[int]datapath.Uplink{
		2: {MTU: 1500, Addr4: addr("192.0.2.7"), Addr6: addr("2001:db8::7")},
		3: {MTU: 1400, Addr6: addr("2001:db8::8")},
		4: {MTU: 9000, Addr4: addr("198.51.100.1"), Paces: true},
		5: {MTU: 1420, NoEthernet: true, Paces: true},
	}
	for ifindex, d := range want {
		if err := u.Put(ifindex, d); err != nil {
			t.Fatal(err)
		}
	}
	delete(want, 3)
	for range 2 {
		if err := u.Delete(3); err != nil {
			t.Fatal(err)
		}
	}
	got, err := u.List()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, comparable); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// perCPU is a value of a per-CPU map: first on the first processor, second on the last.
func perCPU(first, second abi.Counter) (values []abi.Counter, sum abi.Counter) {
	values = make([]abi.Counter, ebpf.MustPossibleCPU())
	values[0] = first
	last := &values[len(values)-1]
	last.Packets, last.Bytes = last.Packets+second.Packets, last.Bytes+second.Bytes
	return values, abi.Counter{Packets: first.Packets + second.Packets, Bytes: first.Bytes + second.Bytes}
}

func TestPrivilegedMetrics(t *testing.T) {
	m := newMap(t, "metrics")
	values, sum := perCPU(abi.Counter{Packets: 2, Bytes: 200}, abi.Counter{Packets: 3, Bytes: 400})
	for _, key := range []uint32{
		abi.DirectionIngress*abi.DropReasons + uint32(abi.DropPolicyDenied),
		abi.DirectionUplink * abi.DropReasons} {
		if err := m.Put(key, values); err != nil {
			t.Fatal(err)
		}
	}
	got, err := NewMetrics(m).List()
	if err != nil {
		t.Fatal(err)
	}
	want := []Metric{{Ingress, abi.DropPolicyDenied, sum}, {Uplink, abi.DropNone, sum}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if text := fmt.Sprintf("%s: %s", got[0].Direction, got[0].Reason); text != "ingress: policy denied" {
		t.Errorf("named %q", text)
	}
}

func TestPrivilegedSlots(t *testing.T) {
	m := newMap(t, "slots")
	s := NewSlots(m)
	out, outSum := perCPU(abi.Counter{Packets: 1, Bytes: 60}, abi.Counter{Packets: 1, Bytes: 61})
	in, inSum := perCPU(abi.Counter{Packets: 7, Bytes: 70}, abi.Counter{})
	if err := m.Put(uint32(9*2+abi.DirectionEgress), out); err != nil {
		t.Fatal(err)
	}
	if err := m.Put(uint32(9*2+abi.DirectionIngress), in); err != nil {
		t.Fatal(err)
	}
	check := func(slot uint32, wantSent, wantReceived abi.Counter) {
		t.Helper()
		sent, received, err := s.Get(slot)
		if err != nil {
			t.Fatal(err)
		}
		if sent != wantSent || received != wantReceived {
			t.Errorf("slot %d: sent %v, received %v; want %v and %v", slot, sent, received, wantSent, wantReceived)
		}
	}
	check(9, outSum, inSum)
	check(8, abi.Counter{}, abi.Counter{})
	check(10, abi.Counter{}, abi.Counter{})
	if err := s.Reset(9); err != nil {
		t.Fatal(err)
	}
	check(9, abi.Counter{}, abi.Counter{})
	if _, _, err := s.Get(m.MaxEntries()); err == nil {
		t.Error("a slot beyond the map has counters")
	}
}
