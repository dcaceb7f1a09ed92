package nettest

import (
	"net/netip"
	"testing"

	"github.com/sluice-net/sluice/internal/abi"
)

const (
	protoTCP = 6
	protoUDP = 17
)

var protocols = map[string]uint8{"tcp": protoTCP, "udp": protoUDP}

// publishAll publishes port 8080 of every address of the host, for TCP and UDP, to port 80 of a container.
func (w *world) publishAll(c *container) {
	w.t.Helper()
	for _, proto := range protocols {
		w.publish("0.0.0.0", 8080, proto, c.addr4, 80)
		w.publish("::", 8080, proto, c.addr6, 80)
	}
}

func (w *world) unpublishAll() {
	w.t.Helper()
	for _, proto := range protocols {
		w.unpublish("0.0.0.0", 8080, proto)
		w.unpublish("::", 8080, proto)
	}
}

// TestPrivilegedPublishedFromOutside: a published port is reached from outside, with the client's own address.
func TestPrivilegedPublishedFromOutside(t *testing.T) {
	w := newWorld(t, nil)
	w.publishAll(w.bob)
	w.bob.echoTCP(":80")
	w.bob.echoUDP(":80")
	for _, test := range []struct{ network, to string }{
		{"tcp", host4}, {"tcp", host6}, {"udp", host4}, {"udp", host6},
	} {
		t.Run(test.network+" "+test.to, func(t *testing.T) {
			seen, local, err := w.far.reach(test.network, join(test.to, 8080))
			if err != nil {
				t.Fatalf("%v; dropped:%s", err, w.drops())
			}
			if seen != local {
				t.Errorf("the container saw %v, want the client's own address %v", seen, local)
			}
		})
	}
}

// TestPrivilegedPublishedToNetworks: containers reach a published port of another container, of their network and of
// another, and of themselves; themselves they see as the gateway.
func TestPrivilegedPublishedToNetworks(t *testing.T) {
	w := newWorld(t, nil)
	w.publishAll(w.bob)
	w.bob.echoTCP(":80")
	w.bob.echoUDP(":80")
	for _, test := range []struct {
		name string
		c    *container
		v4   netip.Addr
		v6   netip.Addr
	}{
		{"same network", w.alice, w.alice.addr4, w.alice.addr6},
		{"itself", w.bob, w.bob.gw4, w.bob.gw6},
	} {
		for network := range protocols {
			for to, want := range map[string]netip.Addr{host4: test.v4, host6: test.v6, gateway4: test.v4, gateway6: test.v6} {
				t.Run(test.name+" "+network+" "+to, func(t *testing.T) {
					seen, _, err := test.c.reach(network, join(to, 8080))
					if err != nil {
						t.Fatalf("%v; dropped:%s", err, w.drops())
					}
					if seen.Addr() != want {
						t.Errorf("the server saw %v, want %v", seen, want)
					}
				})
			}
		}
	}
	t.Run("other network", func(t *testing.T) {
		if _, _, err := w.carol.reach("udp", join(host4, 8080)); err == nil {
			t.Error("a container of another network was let in without a rule")
		}
		if n := w.dropped(abi.DropOtherNetwork); n == 0 {
			t.Errorf("not dropped for the reason other network; dropped:%s", w.drops())
		}
	})
}

// TestPrivilegedPublishedOutlives: a connection goes on when its frontend is gone, a new one is not let in.
func TestPrivilegedPublishedOutlives(t *testing.T) {
	for _, from := range []string{"far", "alice", "bob"} {
		t.Run(from, func(t *testing.T) {
			w := newWorld(t, nil)
			w.publishAll(w.bob)
			w.bob.echoTCP(":80")
			client := map[string]*node{"far": w.far, "alice": w.alice.node, "bob": w.bob.node}[from]
			c, err := client.dial("tcp", join(host4, 8080))
			if err != nil {
				t.Fatalf("%v; dropped:%s", err, w.drops())
			}
			defer c.Close()
			if _, err := ask(c, "before"); err != nil {
				t.Fatal(err)
			}
			w.unpublishAll()
			if _, err := c.Write([]byte("after")); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 5)
			if _, err := c.Read(b); err != nil || string(b) != "after" {
				t.Errorf("read %q, %v after the frontend was removed; dropped:%s", b, err, w.drops())
			}
			if c, err := client.dial("tcp", join(host4, 8080)); err == nil {
				c.Close()
				t.Error("a new connection was let in after the frontend was removed")
			}
		})
	}
}
