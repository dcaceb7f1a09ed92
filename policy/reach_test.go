package policy

import (
	"math/rand/v2"
	"testing"
)

func TestReachString(t *testing.T) {
	for _, tt := range []struct {
		r    Reach
		want string
	}{
		{nil, "nothing"},
		{Everything, "any"},
		{PortReach(ProtocolTCP, 80, 80), "tcp 80"},
		{PortReach(ProtocolTCP, 80, 80).Or(PortReach(ProtocolTCP, 8000, 8099)).Or(PortReach(ProtocolUDP, 53, 53)), "tcp 80,8000-8099; udp 53"},
		{PortReach(ProtocolICMP, 8<<8, 8<<8|0xff), "icmp 8"},
		{PortReach(ProtocolICMPv6, 0, 0xffff), "icmpv6"},
		{PortReach(47, 0, 0xffff), "47"},
		{PortReach(ProtocolTCP, 0, 0xffff).Or(PortReach(ProtocolUDP, 1, 2)), "tcp; udp 1-2"},
		{Everything.Minus(PortReach(ProtocolTCP, 22, 22)), "any but tcp 22"},
		{Everything.Minus(PortReach(ProtocolTCP, 22, 23)).Minus(PortReach(ProtocolUDP, 53, 53)), "any but tcp 22-23; udp 53"},
	} {
		if got := tt.r.String(); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.r, got, tt.want)
		}
	}
}

func TestParseReach(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"any", "any"},
		{"80", "tcp 80"},
		{"80,443/tcp,8000-8100/udp", "tcp 80,443; udp 8000-8100"},
		{"icmp", "icmp"},
		{"udp", "udp"},
		{"22,any", "any"},
	} {
		got, err := ParseReach(tt.text)
		if err != nil || got.String() != tt.want {
			t.Errorf("%q: got %q, %v", tt.text, got, err)
		}
	}
	for _, bad := range []string{"", "80-", "70000", "90-80", "80/tpc", "http", "80,,81"} {
		if got, err := ParseReach(bad); err == nil {
			t.Errorf("%q: read as %s", bad, got)
		}
	}
}

// TestReachIsASet compares the operations with sets of keys, key by key.
func TestReachIsASet(t *testing.T) {
	for seed := range uint64(300) {
		g := rand.New(rand.NewPCG(seed, 1))
		random := func() Reach {
			var r Reach
			for range g.IntN(6) {
				from := g.Uint32N(60)
				r = r.Or(Reach{{from, from + g.Uint32N(12)}})
			}
			return r
		}
		a, b := random(), random()
		and, or, minus := a.And(b), a.Or(b), a.Minus(b)
		for key := range uint32(80) {
			x, y := a.Has(key), b.Has(key)
			if and.Has(key) != (x && y) || or.Has(key) != (x || y) || minus.Has(key) != (x && !y) {
				t.Fatalf("seed %d, key %d: %v and %v give %v, %v, %v", seed, key, a, b, and, or, minus)
			}
		}
		for _, r := range []Reach{and, or, minus} {
			for i := 1; i < len(r); i++ {
				if r[i].From <= r[i-1].To+1 {
					t.Fatalf("seed %d: %v is not in its shortest form", seed, r)
				}
			}
		}
	}
}
