package service

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeHost is a host with sockets of its own that counts what is reserved.
type fakeHost struct {
	mu       sync.Mutex
	sockets  map[uint16]bool
	reserved map[Frontend]int
}

func newHost(sockets ...uint16) *fakeHost {
	h := &fakeHost{sockets: map[uint16]bool{}, reserved: map[Frontend]int{}}
	for _, p := range sockets {
		h.sockets[p] = true
	}
	return h
}

func (h *fakeHost) Reserve(f Frontend) (io.Closer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sockets[f.Port] {
		return nil, errors.New("nginx has it")
	}
	if h.reserved[f] > 0 {
		return nil, errors.New("reserved twice")
	}
	h.reserved[f]++
	return release{h, f}, nil
}

type release struct {
	h *fakeHost
	f Frontend
}

func (r release) Close() error {
	r.h.mu.Lock()
	defer r.h.mu.Unlock()
	if r.h.reserved[r.f] == 0 {
		panic("released twice: " + r.f.String())
	}
	delete(r.h.reserved, r.f)
	return nil
}

func (h *fakeHost) list() []string {
	var all []string
	for f := range h.reserved {
		all = append(all, f.String())
	}
	slices.Sort(all)
	return all
}

var (
	four = netip.MustParseAddr("10.0.0.2")
	six  = netip.MustParseAddr("fd00::2")
	both = []netip.Addr{four, six}
)

// mapping reads "8080:80/tcp", "127.0.0.1 8080-8090:80/udp", ":80/tcp".
func mapping(t *testing.T, s string) Mapping {
	t.Helper()
	m := Mapping{Proto: TCP}
	if host, rest, ok := strings.Cut(s, " "); ok {
		m.HostIP, s = netip.MustParseAddr(host), rest
	}
	s, proto, _ := strings.Cut(s, "/")
	if proto == "udp" {
		m.Proto = UDP
	}
	ports, target, _ := strings.Cut(s, ":")
	if _, err := fmt.Sscan(target, &m.Port); err != nil {
		t.Fatal(err)
	}
	if ports != "" {
		if n, _ := fmt.Sscanf(ports, "%d-%d", &m.HostPort, &m.HostPortEnd); n == 0 {
			t.Fatalf("bad mapping %q", s)
		}
	}
	return m
}

func mappings(t *testing.T, all ...string) []Mapping {
	t.Helper()
	var out []Mapping
	for _, s := range all {
		out = append(out, mapping(t, s))
	}
	return out
}

// publish makes the claim of an owner that is alone, and returns what it has then.
func publish(r *Registry, owner string, addrs []netip.Addr, mappings []Mapping) ([]Published, error) {
	all, err := r.Publish(Claim{Owner: owner, Addrs: addrs, Mappings: mappings})
	return all[owner], err
}

// show is what Publish answered, as text.
func show(all []Published, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	var out []string
	for _, p := range all {
		out = append(out, fmt.Sprintf("%s > %s", p.Frontend, netip.AddrPortFrom(p.Backend.Addr, p.Backend.Port)))
	}
	return strings.Join(out, ", ")
}

func TestPublish(t *testing.T) {
	for _, c := range []struct {
		name  string
		addrs []netip.Addr
		ports []string
		want  string // a prefix of it for errors
	}{
		{"both families", both, []string{"8080:80"}, "0.0.0.0:8080/tcp > 10.0.0.2:80, [::]:8080/tcp > [fd00::2]:80"},
		{"IPv4 only", both[:1], []string{"8080:80/udp"}, "0.0.0.0:8080/udp > 10.0.0.2:80"},
		{"IPv6 only", both[1:], []string{"8080:80"}, "[::]:8080/tcp > [fd00::2]:80"},
		{"IPv4 address", both, []string{"127.0.0.1 8080:80"}, "127.0.0.1:8080/tcp > 10.0.0.2:80"},
		{"IPv6 address", both, []string{"::1 8080:80"}, "[::1]:8080/tcp > [fd00::2]:80"},
		{"all of IPv4", both, []string{"0.0.0.0 8080:80"}, "0.0.0.0:8080/tcp > 10.0.0.2:80"},
		{"ephemeral", both[:1], []string{":80", ":81"}, "0.0.0.0:40000/tcp > 10.0.0.2:80, 0.0.0.0:40001/tcp > 10.0.0.2:81"},
		{"range", both[:1], []string{"9000-9002:80", "9000-9002:81"}, "0.0.0.0:9000/tcp > 10.0.0.2:80, 0.0.0.0:9001/tcp > 10.0.0.2:81"},
		{"range around a socket", both, []string{"7000-7001:80"}, "0.0.0.0:7001/tcp > 10.0.0.2:80, [::]:7001/tcp > [fd00::2]:80"},
		{"tcp and udp", both[:1], []string{"53:53", "53:53/udp"}, "0.0.0.0:53/tcp > 10.0.0.2:53, 0.0.0.0:53/udp > 10.0.0.2:53"},
		{"one address each", both[:1], []string{"127.0.0.1 80:80", "10.9.9.9 80:81"}, "127.0.0.1:80/tcp > 10.0.0.2:80, 10.9.9.9:80/tcp > 10.0.0.2:81"},
		{"a socket of the host", both, []string{"7000:80"}, "error: publish 7000:80/tcp: 0.0.0.0:7000/tcp: port is already allocated: nginx has it"},
		{"another container", both, []string{"6000:80"}, "error: publish 6000:80/tcp: 0.0.0.0:6000/tcp: port is already allocated to endpoint other"},
		{"another container, specific", both, []string{"127.0.0.1 6000:80"}, "error: publish 127.0.0.1:6000:80/tcp: 127.0.0.1:6000/tcp: port is already allocated to endpoint other"},
		{"wildcard over specific", both, []string{"6001:80"}, "error: publish 6001:80/tcp: 0.0.0.0:6001/tcp: port is already allocated to endpoint other"},
		{"the other family is free", both, []string{"::1 6001:80"}, "[::1]:6001/tcp > [fd00::2]:80"},
		{"twice the same", both, []string{"8080:80", "8080:81"}, "error: publish 8080:81/tcp: 0.0.0.0:8080/tcp: port is already allocated: to the same container"},
		{"specific beside wildcard", both, []string{"8080:80", "127.0.0.1 8080:80"}, "error: publish 127.0.0.1:8080:80/tcp: 127.0.0.1:8080/tcp: port is already allocated: to the same container"},
		{"range exhausted", both, []string{"6000-6000:80", "7000-7000:80"}, "error: publish 6000:80/tcp"},
		{"IPv4 host, IPv6 container", both[1:], []string{"127.0.0.1 80:80"}, "error: publish 127.0.0.1:80:80/tcp: the container has no IPv4 address: publish on an IPv6 address"},
		{"IPv6 host, IPv4 container", both[:1], []string{"2001:db8::1 80:80"}, "error: publish [2001:db8::1]:80:80/tcp: the container has no IPv6 address: publish on an IPv4 address"},
		{"all of IPv6, IPv4 container", both[:1], []string{":: 80:80"}, "error: publish [::]:80:80/tcp: the container has no IPv6 address"},
		{"IPv6 loopback, IPv4 container", both[:1], []string{"::1 80:80"}, "[::1]:80/tcp > 10.0.0.2:80"},
		{"IPv6 loopback, IPv4 container, datagrams", both[:1], []string{"::1 80:80/udp"}, "error: publish [::1]:80:80/udp: the container has no IPv6 address"},
		{"nothing", both, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := newHost(7000)
			r := NewRegistry(host, Ephemeral{40000, 40010})
			if got := show(publish(r, "other", both, mappings(t, "6000:1", "127.0.0.1 6001:1"))); strings.HasPrefix(got, "error") {
				t.Fatal(got)
			}
			before := host.list()
			got := show(publish(r, "this", c.addrs, mappings(t, c.ports...)))
			if got != c.want && (!strings.HasPrefix(c.want, "error") || !strings.HasPrefix(got, c.want)) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if strings.HasPrefix(got, "error") {
				if diff := cmp.Diff(before, host.list()); diff != "" {
					t.Errorf("a refusal left something:\n%s", diff)
				}
			}
			r.Withdraw("this")
			r.Withdraw("this")
			if diff := cmp.Diff(before, host.list()); diff != "" {
				t.Errorf("Withdraw left something:\n%s", diff)
			}
		})
	}
}

func TestPublishAgain(t *testing.T) {
	host := newHost()
	r := NewRegistry(host, Ephemeral{40000, 40010})
	request := mappings(t, ":80", "9000-9010:81", "8080:82")
	first := show(publish(r, "c", both, request))
	for range 3 {
		if got := show(publish(r, "c", both, request)); got != first {
			t.Errorf("the same request gave %s, first %s", got, first)
		}
	}
	// The rest keeps its ports, ephemeral ones too.
	want := "0.0.0.0:40000/tcp > 10.0.0.2:80, 0.0.0.0:9000/tcp > 10.0.0.2:81"
	if got := show(publish(r, "c", both[:1], request[:2])); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if diff := cmp.Diff([]string{"0.0.0.0:40000/tcp", "0.0.0.0:9000/tcp"}, host.list()); diff != "" {
		t.Errorf("reserved (-want +got):\n%s", diff)
	}
	// A failing change keeps what was.
	if got := show(publish(r, "c", both[:1], append(slices.Clone(request[:2]), mapping(t, "9000:90")))); !strings.HasPrefix(got, "error") {
		t.Errorf("a conflict gave %s", got)
	}
	if got := show(publish(r, "c", both[:1], request[:2])); got != want {
		t.Errorf("after a failed change: %s, want %s", got, want)
	}
}

// After a restart the recorded frontends are asked for exactly; Docker's repeated request must find the same ports.
func TestPublishAfterRestart(t *testing.T) {
	first, err := publish(NewRegistry(newHost(), Ephemeral{40000, 40010}), "c", both, mappings(t, ":80", "9000-9010:81"))
	if err != nil {
		t.Fatal(err)
	}
	r := NewRegistry(newHost(), Ephemeral{40005, 40010}) // its next ephemeral port is another one
	if err := r.Hold("c", "", false, first); err != nil {
		t.Fatal(err)
	}
	if got := show(publish(r, "c", both, mappings(t, ":80", "9000-9010:81"))); got != show(first, nil) {
		t.Errorf("repeated %s, want %s", got, show(first, nil))
	}
}

func TestEphemeralPortsGoRound(t *testing.T) {
	r := NewRegistry(newHost(), Ephemeral{65534, 65535})
	var got []string
	for i := range 3 {
		owner := fmt.Sprint(i)
		got = append(got, show(publish(r, owner, both[:1], mappings(t, ":80"))))
		if i != 1 {
			r.Withdraw(owner)
		}
	}
	want := []string{"0.0.0.0:65534/tcp > 10.0.0.2:80", "0.0.0.0:65535/tcp > 10.0.0.2:80", "0.0.0.0:65534/tcp > 10.0.0.2:80"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, _ = publish(r, "x", both[:1], mappings(t, ":80"))
	if _, err := publish(r, "y", both[:1], mappings(t, ":80")); !errors.Is(err, ErrExhausted) {
		t.Errorf("all taken: %v, want ErrExhausted", err)
	}
}

// Random owners: no two frontends of the registry ever conflict, and what is reserved is what is published.
func TestRegistryAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	host := newHost(100, 105)
	r := NewRegistry(host, Ephemeral{200, 207})
	held := map[string][]Published{}
	hosts := []netip.Addr{{}, {}, netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}
	for step := range 3000 {
		owner := fmt.Sprint(random.IntN(5))
		if random.IntN(3) == 0 {
			r.Withdraw(owner)
			delete(held, owner)
		} else {
			var request []Mapping
			for range random.IntN(4) {
				m := Mapping{Proto: []Protocol{TCP, UDP}[random.IntN(2)], Port: uint16(80 + random.IntN(3)), HostIP: hosts[random.IntN(len(hosts))]}
				if random.IntN(3) > 0 {
					m.HostPort = uint16(100 + random.IntN(8))
					m.HostPortEnd = m.HostPort + uint16(random.IntN(3))
				}
				request = append(request, m)
			}
			published, err := publish(r, owner, both, request)
			if err == nil {
				held[owner] = published
			} else if !errors.Is(err, ErrTaken) && !errors.Is(err, ErrExhausted) {
				t.Fatalf("step %d: %v", step, err)
			}
		}
		var all []Frontend
		for _, published := range held {
			for _, p := range published {
				for _, other := range all {
					if p.Frontend.conflicts(other) {
						t.Fatalf("step %d: %s and %s", step, p.Frontend, other)
					}
				}
				all = append(all, p.Frontend)
			}
		}
		if len(all) != len(host.reserved) {
			t.Fatalf("step %d: %d published, %d reserved", step, len(all), len(host.reserved))
		}
	}
}

func TestMappingString(t *testing.T) {
	for _, s := range []string{"8080:80/tcp", "127.0.0.1:8080:80/tcp", "[::1]:8080-8090:80/udp", ":80/tcp"} {
		m := Mapping{Proto: TCP, Port: 80, HostPort: 8080}
		switch s {
		case "127.0.0.1:8080:80/tcp":
			m.HostIP = netip.MustParseAddr("127.0.0.1")
		case "[::1]:8080-8090:80/udp":
			m.HostIP, m.HostPortEnd, m.Proto = netip.IPv6Loopback(), 8090, UDP
		case ":80/tcp":
			m.HostPort = 0
		}
		if m.String() != s {
			t.Errorf("got %s, want %s", m, s)
		}
	}
	for p, want := range map[Protocol]string{TCP: "tcp", UDP: "udp", SCTP: "sctp", 1: "1"} {
		if p.String() != want {
			t.Errorf("%d is %s", uint8(p), p)
		}
	}
}
