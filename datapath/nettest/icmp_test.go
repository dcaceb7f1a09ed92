package nettest

import (
	"net/netip"
	"testing"
	"time"
)

// TestPrivilegedPing: echoes of any size pass the masquerade, in fragments too, and reach neighbours and oneself.
func TestPrivilegedPing(t *testing.T) {
	w := newWorld(t, nil)
	for _, to := range []string{far4, far6} { // find the path's MTU: the first that is too big is lost
		_ = w.alice.ping(to, 1472)
	}
	for _, to := range []string{far4, far6, router4, host4, host6, gateway4, gateway6, w.bob.addr4.String(), w.bob.addr6.String()} {
		for _, size := range []int{0, 56, 1472, 4000, 20000} {
			if err := w.alice.ping(to, size); err != nil {
				t.Errorf("ping %s with %d bytes: %v; dropped:%s", to, size, err, w.drops())
			}
		}
	}
	if err := w.host.ping(w.alice.addr4.String(), 3000); err != nil {
		t.Errorf("ping from the host: %v; dropped:%s", err, w.drops())
	}
}

// TestPrivilegedTraceroute: the gateway is the first hop to the outside, the router the second; there is none between
// neighbours.
func TestPrivilegedTraceroute(t *testing.T) {
	w := newWorld(t, nil)
	for _, test := range []struct {
		to   string
		hops int
		from string
		kind uint8
	}{
		{far4, 1, gateway4, 11}, {far6, 1, gateway6, 3},
		{far4, 2, router4, 11}, {far6, 2, router6, 3},
		{far4, 3, far4, 3}, {far6, 3, far6, 1}, // arrived: port unreachable
		{w.bob.addr4.String(), 1, w.bob.addr4.String(), 3}, {w.bob.addr6.String(), 1, w.bob.addr6.String(), 1},
	} {
		p := w.alice.newProbe(netip.AddrPortFrom(netip.MustParseAddr(test.to), 33434))
		if err := p.hops(test.hops); err != nil {
			t.Fatal(err)
		}
		if err := p.send(32); err != nil {
			t.Fatal(err)
		}
		e, err := p.heard()
		if err != nil {
			t.Errorf("%s, %d hops: %v; dropped:%s", test.to, test.hops, err, w.drops())
			continue
		}
		if e.from.String() != test.from || e.kind != test.kind || e.to.String() != test.to || e.port != 33434 {
			t.Errorf("%s, %d hops: heard %+v, want type %d from %s", test.to, test.hops, e, test.kind, test.from)
		}
	}
}

// TestPrivilegedUnreachablePort: what the outside's kernel, a published port's and a neighbour's say of a closed port
// reaches the socket that asked, in its own terms.
func TestPrivilegedUnreachablePort(t *testing.T) {
	w := newWorld(t, nil)
	w.publishAll(w.bob)
	for _, test := range []struct {
		name string
		n    *node
		to   string
		from string
	}{
		{"masqueraded", w.alice.node, far4, far4},
		{"masqueraded", w.alice.node, far6, far6},
		{"published", w.far, host4, host4},
		{"published", w.far, host6, host6},
		{"hairpin", w.alice.node, host4, host4},
		{"hairpin", w.alice.node, host6, host6},
	} {
		t.Run(test.name+" "+test.to, func(t *testing.T) {
			p := test.n.newProbe(netip.AddrPortFrom(netip.MustParseAddr(test.to), 8080))
			if err := p.send(100); err != nil {
				t.Fatal(err)
			}
			e, err := p.heard()
			if err != nil {
				t.Fatalf("%v; dropped:%s", err, w.drops())
			}
			if e.from.String() != test.from || e.to.String() != test.to || e.port != 8080 {
				t.Errorf("heard %+v, want it from %s about %s", e, test.from, test.to)
			}
		})
	}
}

// TestPrivilegedPathMTU: a smaller MTU, of the uplink or of a link beyond, is told to the container's socket.
func TestPrivilegedPathMTU(t *testing.T) {
	for _, test := range []struct {
		name   string
		uplink int
		want   int
	}{{"beyond", 1500, farMTU}, {"uplink", 1320, 1320}} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, nil)
			if err := w.host.nl.LinkSetMTU(w.host.link("up0"), test.uplink); err != nil {
				t.Fatal(err)
			}
			for _, to := range []string{far4, far6} {
				p := w.alice.newProbe(netip.AddrPortFrom(netip.MustParseAddr(to), 9))
				if err := p.whole(); err != nil {
					t.Fatal(err)
				}
				if err := p.send(1440); err != nil {
					t.Fatal(err)
				}
				e, err := p.heard()
				if err != nil {
					t.Fatalf("%s: %v; dropped:%s", to, err, w.drops())
				}
				if mtu, err := p.mtu(); err != nil || mtu != test.want || e.info != uint32(test.want) {
					t.Errorf("%s: the socket's path has MTU %d (%v), heard %+v, want %d", to, mtu, err, e, test.want)
				}
			}
		})
	}
}

// TestPrivilegedBulk: TCP finds the path's MTU and moves much data through the masquerade and a published port. Both
// ends announce segments that are too big for the link between.
func TestPrivilegedBulk(t *testing.T) {
	w := newWorld(t, nil)
	w.publishAll(w.bob)
	w.bob.echoTCP(":80")
	w.far.echoTCP(":80")
	w.far.announceMSS(1460)
	message := make([]byte, 1<<20)
	for i := range message {
		message[i] = 'a' + byte(i%26)
	}
	for _, test := range []struct {
		n  *node
		to string
	}{{w.alice.node, join(far4, 80)}, {w.alice.node, join(far6, 80)}, {w.far, join(host4, 8080)}, {w.far, join(host6, 8080)}} {
		c, err := test.n.dial("tcp", test.to)
		if err != nil {
			t.Fatalf("%s: %v; dropped:%s", test.to, err, w.drops())
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		written := make(chan error, 1)
		go func() {
			_, err := c.Write(message)
			written <- err
		}()
		if err := readBack(c, message); err != nil {
			t.Errorf("%s: %v; dropped:%s", test.to, err, w.drops())
		}
		c.Close()
		<-written
	}
}
