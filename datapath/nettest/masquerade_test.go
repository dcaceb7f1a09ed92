package nettest

import (
	"testing"
)

// TestPrivilegedMasquerade: connections to the outside come from the host's address.
func TestPrivilegedMasquerade(t *testing.T) {
	w := newWorld(t, nil)
	w.far.echoTCP(":80")
	w.far.echoUDP(":80")
	for _, test := range []struct{ network, to, host string }{
		{"tcp", far4, host4}, {"tcp", far6, host6}, {"udp", far4, host4}, {"udp", far6, host6},
	} {
		t.Run(test.network+" "+test.to, func(t *testing.T) {
			seen, _, err := w.alice.reach(test.network, join(test.to, 80))
			if err != nil {
				t.Fatalf("%v; dropped:%s", err, w.drops())
			}
			if seen.Addr().String() != test.host || seen.Port() < 61000 {
				t.Errorf("the server saw %v, want %s with a masquerade port", seen, test.host)
			}
		})
	}
}
