package pool

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func must(t *testing.T, subnet, choice string) *Pool {
	t.Helper()
	var c netip.Prefix
	if choice != "" {
		c = prefix(choice)
	}
	p, err := New(prefix(subnet), c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct{ subnet, choice string }{
		{"0.0.0.0/0", ""}, {"10.0.0.0/7", ""}, {"10.0.0.0/31", ""}, {"10.0.0.0/32", ""}, {"224.0.0.0/24", ""},
		{"240.0.0.0/24", ""}, {"0.1.0.0/24", ""}, {"127.1.0.0/24", ""}, {"169.254.0.0/16", ""},
		{"::/0", ""}, {"fe80::/64", ""}, {"ff02::/64", ""}, {"::1/120", ""}, {"fd00::/127", ""}, {"::ffff:10.0.0.0/120", ""},
		{"10.0.0.0/24", "10.0.1.0/25"}, {"10.0.0.0/24", "10.0.0.0/16"}, {"10.0.0.0/24", "fd00::/120"},
	} {
		var choice netip.Prefix
		if c.choice != "" {
			choice = prefix(c.choice)
		}
		if _, err := New(prefix(c.subnet), choice); err == nil {
			t.Errorf("New(%s, %s) succeeded", c.subnet, c.choice)
		}
	}
	if _, err := New(netip.Prefix{}, netip.Prefix{}); err == nil {
		t.Error("New of the invalid prefix succeeded")
	}
}

func TestNextGoesThroughTheRange(t *testing.T) {
	for _, c := range []struct {
		subnet, choice string
		want           []string
	}{
		{"10.0.0.7/29", "", []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"}},
		{"10.0.0.0/30", "", []string{"10.0.0.1", "10.0.0.2"}},
		{"10.0.0.0/24", "10.0.0.252/30", []string{"10.0.0.252", "10.0.0.253", "10.0.0.254"}},
		{"10.0.0.0/24", "10.0.0.8/32", []string{"10.0.0.8"}},
		{"10.0.0.0/24", "10.0.0.0/32", nil},
		{"fd00::/126", "", []string{"fd00::1", "fd00::2", "fd00::3"}},
		{"fd00::/64", "fd00::fffe/127", []string{"fd00::fffe", "fd00::ffff"}},
	} {
		var choice netip.Prefix
		if c.choice != "" {
			choice = prefix(c.choice)
		}
		p, err := New(prefix(c.subnet), choice)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if got, err := p.Next(); err != nil || got != addr(want) {
				t.Fatalf("%s %s: Next = %v, %v, want %s", c.subnet, c.choice, got, err, want)
			}
		}
		if got, err := p.Next(); !errors.Is(err, ErrExhausted) {
			t.Errorf("%s %s: Next = %v, %v, want ErrExhausted", c.subnet, c.choice, got, err)
		}
	}
}

func TestTake(t *testing.T) {
	p := must(t, "10.0.0.0/24", "10.0.0.128/25")
	for _, a := range []string{"10.0.0.1", "10.0.0.254"} { // outside of the range is fine
		if err := p.Take(addr(a)); err != nil {
			t.Errorf("Take(%s): %v", a, err)
		}
	}
	for a, want := range map[string]error{
		"10.0.0.1": ErrTaken, "10.0.0.0": ErrReserved, "10.0.0.255": ErrReserved, "10.0.1.1": ErrOutside, "fd00::1": ErrOutside,
	} {
		if err := p.Take(addr(a)); !errors.Is(err, want) {
			t.Errorf("Take(%s): %v, want %v", a, err, want)
		}
	}
	six := must(t, "fd00::/64", "")
	if err := six.Take(addr("fd00::")); !errors.Is(err, ErrReserved) {
		t.Errorf("Take of the anycast address: %v", err)
	}
	if err := six.Take(Last(six.Prefix())); err != nil {
		t.Errorf("Take of the last IPv6 address: %v", err)
	}
}

func TestReleasedAddressRests(t *testing.T) {
	p := must(t, "10.0.0.0/29", "") // six addresses
	first, _ := p.Next()
	if !p.Release(first) || p.Release(first) {
		t.Error("Release must tell whether the address was in use")
	}
	for range 5 {
		if got, _ := p.Next(); got == first {
			t.Fatal("the released address came back before the others")
		}
	}
	if got, err := p.Next(); got != first {
		t.Errorf("Next = %v, %v, want %v at last", got, err, first)
	}
}

func TestSetLast(t *testing.T) {
	p := must(t, "10.0.0.0/24", "")
	p.SetLast(addr("10.0.0.9"))
	p.SetLast(addr("10.9.0.9")) // of no use
	p.SetLast(netip.Addr{})
	if got, _ := p.Next(); got != addr("10.0.0.10") {
		t.Errorf("Next = %v, want 10.0.0.10", got)
	}
}

// Random operations against the obvious model.
func TestPoolAgainstModel(t *testing.T) {
	for _, c := range []struct{ subnet, choice string }{
		{"10.0.0.0/28", ""}, {"10.0.0.0/27", "10.0.0.8/29"}, {"fd00::/124", ""}, {"fd00::/64", "fd00::10/125"},
	} {
		p := must(t, c.subnet, c.choice)
		random := rand.New(rand.NewPCG(5, 6))
		model := map[netip.Addr]bool{}
		free := func() (n int) {
			for a := p.choice.Addr(); p.choice.Contains(a); a = a.Next() {
				if !p.reserved(a) && !model[a] {
					n++
				}
			}
			return n
		}
		near := func() netip.Addr { // in or around the low end of the subnet
			a := p.prefix.Addr().Prev()
			for range random.IntN(34) {
				a = a.Next()
			}
			return a
		}
		for step := range 3000 {
			switch random.IntN(3) {
			case 0:
				a, err := p.Next()
				if (err == nil) != (free() > 0) {
					t.Fatalf("%s step %d: Next = %v with %d free", c.subnet, step, err, free())
				}
				if err == nil && (model[a] || !p.choice.Contains(a) || p.reserved(a)) {
					t.Fatalf("%s step %d: Next gave %v", c.subnet, step, a)
				}
				if err == nil {
					model[a] = true
				}
			case 1:
				a := near()
				want := p.prefix.Contains(a) && !p.reserved(a) && !model[a]
				if err := p.Take(a); (err == nil) != want {
					t.Fatalf("%s step %d: Take(%v) = %v", c.subnet, step, a, err)
				}
				if want {
					model[a] = true
				}
			case 2:
				a := near()
				if p.Release(a) != model[a] {
					t.Fatalf("%s step %d: Release(%v)", c.subnet, step, a)
				}
				delete(model, a)
			}
			if p.Len() != len(model) {
				t.Fatalf("%s step %d: %d in use, want %d", c.subnet, step, p.Len(), len(model))
			}
		}
	}
}

func TestLast(t *testing.T) {
	for p, want := range map[string]string{
		"10.0.0.0/8": "10.255.255.255", "10.0.0.4/30": "10.0.0.7", "1.2.3.4/32": "1.2.3.4",
		"fd00::/48": "fd00:0:0:ffff:ffff:ffff:ffff:ffff", "fd00::/127": "fd00::1",
	} {
		if got := Last(prefix(p)); got != addr(want) {
			t.Errorf("Last(%s) = %v, want %s", p, got, want)
		}
	}
}

func TestParseBlock(t *testing.T) {
	for s, want := range map[string]string{
		"172.30.0.0/15:24": "172.30.0.0/15:24", "172.30.1.1/15:15": "172.30.0.0/15:15", "fd00:1::/48:64": "fd00:1::/48:64",
		"": "", "172.30.0.0/15": "", "172.30.0.0:24": "", "172.30.0.0/15:14": "", "172.30.0.0/15:31": "", "10/8:24": "",
		"172.30.0.0/15:x": "", "127.0.0.0/8:24": "", "0.0.0.0/0:8": "", ":": "", "/:": "", "fd00::/48": "", "fd00::/48:127": "",
	} {
		b, err := ParseBlock(s)
		if (err == nil) != (want != "") || err == nil && b.String() != want {
			t.Errorf("ParseBlock(%q) = %v, %v, want %q", s, b, err, want)
		}
	}
}

func TestBlockFree(t *testing.T) {
	for _, c := range []struct {
		name, block, after string
		used               []string
		want               string
	}{
		{"first", "10.0.0.0/16:24", "", nil, "10.0.0.0/24"},
		{"behind the last", "10.0.0.0/16:24", "10.0.3.0/24", nil, "10.0.4.0/24"},
		{"round again", "10.0.0.0/16:24", "10.0.255.0/24", nil, "10.0.0.0/24"},
		{"behind one of another size", "10.0.0.0/16:24", "10.0.3.0/25", nil, "10.0.4.0/24"},
		{"skips smaller ones", "10.0.0.0/16:24", "", []string{"10.0.0.128/25", "10.0.1.1/32"}, "10.0.2.0/24"},
		{"skips larger ones", "10.0.0.0/16:24", "", []string{"10.0.0.0/20"}, "10.0.16.0/24"},
		{"ignores others", "10.0.0.0/16:24", "", []string{"10.1.0.0/16", "fd00::/8"}, "10.0.0.0/24"},
		{"full", "10.0.0.0/23:24", "", []string{"10.0.0.5/32", "10.0.1.5/32"}, ""},
		{"covered", "10.0.0.0/23:24", "", []string{"8.0.0.0/6"}, ""},
		{"only one is left before the last", "10.0.0.0/23:24", "10.0.1.0/24", []string{"10.0.1.0/24"}, "10.0.0.0/24"},
		{"end of the address space", "255.255.255.0/24:26", "255.255.255.128/26", []string{"255.255.255.192/26"}, "255.255.255.0/26"},
		{"IPv6", "fd00:1::/48:64", "fd00:1:0:1::/64", []string{"fd00:1:0:2::5/128"}, "fd00:1:0:3::/64"},
		{"IPv6 first", "fd00:1::/48:64", "", nil, "fd00:1::/64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Not ParseBlock: it refuses the end of the address space.
			at := strings.LastIndexByte(c.block, ':')
			size, err := strconv.Atoi(c.block[at+1:])
			if err != nil {
				t.Fatal(err)
			}
			b := Block{Base: prefix(c.block[:at]), Size: size}
			var after netip.Prefix
			if c.after != "" {
				after = prefix(c.after)
			}
			var used []netip.Prefix
			for _, u := range c.used {
				used = append(used, prefix(u))
			}
			got, ok := b.Free(after, used)
			if ok != (c.want != "") || ok && got != prefix(c.want) {
				t.Errorf("Free = %v, %v, want %q", got, ok, c.want)
			}
		})
	}
}

// Whatever is used, what Free finds overlaps none of it, and it finds something exactly when there is something.
func TestBlockFreeAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	b := Block{Base: prefix("10.0.0.0/24"), Size: 28}
	for range 2000 {
		var used []netip.Prefix
		for range random.IntN(12) {
			a := netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(256))})
			used = append(used, netip.PrefixFrom(a, 24+random.IntN(9)).Masked())
		}
		var want bool
		for i := range 16 {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i * 16)}), 28)
			want = want || !overlapsAny(p, used)
		}
		after := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(16) * 16)}), 28)
		got, ok := b.Free(after, used)
		if ok != want || ok && (overlapsAny(got, used) || got.Bits() != 28 || got != got.Masked() || !b.Base.Overlaps(got)) {
			t.Fatalf("Free(%v, %v) = %v, %v, want %v", after, used, got, ok, want)
		}
	}
}

func overlapsAny(p netip.Prefix, all []netip.Prefix) bool {
	for _, q := range all {
		if p.Overlaps(q) {
			return true
		}
	}
	return false
}

func FuzzPool(f *testing.F) {
	f.Add("10.0.0.0/24", "10.0.0.128/25", "10.0.0.1")
	f.Add("fd00::/64", "", "fd00::1")
	f.Add("255.255.255.252/30", "", "255.255.255.255")
	f.Fuzz(func(t *testing.T, subnet, choice, address string) {
		s, err := netip.ParsePrefix(subnet)
		if err != nil {
			return
		}
		c, _ := netip.ParsePrefix(choice)
		p, err := New(s, c)
		if err != nil {
			return
		}
		if a, err := netip.ParseAddr(address); err == nil && p.Take(a) == nil && !p.Prefix().Contains(a) {
			t.Errorf("%v gave %v", p.Prefix(), a)
		}
		for range 8 {
			a, err := p.Next()
			if err != nil {
				return
			}
			if !p.Prefix().Contains(a) || p.reserved(a) {
				t.Errorf("%v gave %v", p.Prefix(), a)
			}
		}
	})
}

func BenchmarkNextIn16(b *testing.B) {
	p, err := New(prefix("10.0.0.0/16"), netip.Prefix{})
	if err != nil {
		b.Fatal(err)
	}
	for range 60000 {
		if _, err := p.Next(); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		a, err := p.Next()
		if err != nil {
			b.Fatal(err)
		}
		p.Release(a)
	}
}
