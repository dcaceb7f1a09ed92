package nettest

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/sluice-net/sluice/internal/abi"
)

// TestPrivilegedManyFlows: connections of two containers to one server from everywhere in a small range of ports never
// share one.
func TestPrivilegedManyFlows(t *testing.T) {
	w := newWorld(t, nil)
	w.far.echoTCP(":80")
	seen := map[netip.AddrPort]string{}
	for i := range 200 {
		c := []*container{w.alice, w.bob}[i%2]
		to := []string{far4, far6}[i/2%2]
		conn, err := c.dial("tcp", join(to, 80))
		if err != nil {
			t.Fatalf("connection %d: %v; dropped:%s", i, err, w.drops())
		}
		defer conn.Close()
		from, err := ask(conn, fmt.Sprintf("connection %d", i))
		if err != nil {
			t.Fatalf("connection %d: %v; dropped:%s", i, err, w.drops())
		}
		if other, twice := seen[from]; twice {
			t.Fatalf("%s and %s share %v", conn.LocalAddr(), other, from)
		}
		seen[from] = conn.LocalAddr().String()
	}
}

// TestPrivilegedPortsOfTheHost: a masqueraded flow never takes a port that a socket or a frontend of the host has, and
// when none is left it is refused.
func TestPrivilegedPortsOfTheHost(t *testing.T) {
	const first, last = 61000, 61003
	for network, proto := range protocols {
		for _, family := range []struct{ host, far string }{{host4, far4}, {host6, far6}} {
			t.Run(network+" "+family.far, func(t *testing.T) {
				w := newWorld(t, map[string]any{"MASQUERADE_PORT_MIN": uint16(first), "MASQUERADE_PORT_MAX": uint16(last)})
				w.far.echoTCP(":80")
				w.far.echoUDP(":80")
				w.far.echoUDP(":81")
				w.far.echoTCP(":81")
				w.host.listen(network, net.JoinHostPort("", fmt.Sprint(first)))
				w.host.listen(network, net.JoinHostPort(family.host, fmt.Sprint(first+1)))
				w.publish(family.host, first+2, proto, map[string]netip.Addr{host4: w.bob.addr4, host6: w.bob.addr6}[family.host], 80)
				c, err := w.alice.dial(network, join(family.far, 80))
				if err != nil {
					t.Fatalf("%v; dropped:%s", err, w.drops())
				}
				defer c.Close()
				from, err := ask(c, "hello")
				if err != nil {
					t.Fatalf("%v; dropped:%s", err, w.drops())
				}
				if from.Port() != last {
					t.Errorf("the flow got port %d, which is not free: only %d is", from.Port(), last)
				}
				if from, _, err := w.bob.reach(network, join(family.far, 81)); err != nil || from.Port() != last {
					t.Errorf("to another server the same port is free, but: %v, %v", from, err)
				}
				before := w.dropped(abi.DropNoNATPort)
				if _, _, err := w.bob.reach(network, join(family.far, 80)); err == nil {
					t.Error("a second flow to the same server found a port")
				}
				if w.dropped(abi.DropNoNATPort) == before {
					t.Errorf("not dropped for want of a port; dropped:%s", w.drops())
				}
			})
		}
	}
}

// TestPrivilegedFragments: datagrams larger than any MTU pass both ways, masqueraded and published.
func TestPrivilegedFragments(t *testing.T) {
	w := newWorld(t, nil)
	w.publishAll(w.bob)
	w.bob.echoUDP(":80")
	w.far.echoUDP(":80")
	for _, test := range []struct {
		n  *node
		to string
	}{
		{w.alice.node, join(far4, 80)}, {w.alice.node, join(far6, 80)},
		{w.far, join(host4, 8080)}, {w.far, join(host6, 8080)},
		{w.alice.node, join(host4, 8080)}, {w.alice.node, join(host6, 8080)},
		{w.bob.node, join(host4, 8080)}, {w.bob.node, join(host6, 8080)},
	} {
		message := make([]byte, 8000)
		for i := range message {
			message[i] = 'a' + byte(i%26)
		}
		var err error
		for range 3 { // the first that are too big for the path are lost, and tell its MTU
			if err = exchange(test.n, test.to, string(message)); err == nil {
				break
			}
		}
		if err != nil {
			t.Errorf("%s: %v; dropped:%s", test.to, err, w.drops())
		}
	}
}
