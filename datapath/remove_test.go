package datapath

import (
	"os"
	"testing"

	"github.com/sluice-net/sluice/datapath/link"
)

func TestPrivilegedRemove(t *testing.T) {
	bothWays(t, func(t *testing.T, clsact bool) {
		wan := wire(t, "wan")
		addAddr(t, wan, "10.7.0.5/24")
		u := follow(t, clsact, nil)
		l := openLinks(t, LinksConfig{Pool: 1, Clsact: clsact})
		v := l.take(t)
		if err := l.Gateways(addrs("10.9.0.1", "fd09::1")); err != nil {
			t.Fatal(err)
		}
		l.abandon()
		u.stop()
		for range 2 {
			if err := Remove("slc", testPins); err != nil {
				t.Fatal(err)
			}
		}
		if link.Exists(link.Pair{Name: v.Host, Ifindex: v.Ifindex}) {
			t.Error("the pair is there")
		}
		eventually(t, "the uplink has no programs", func() bool { return hung(t, wan.Attrs().Index, clsact) == 0 })
		if _, err := os.Stat(testPins); !os.IsNotExist(err) {
			t.Errorf("the pins are there: %v", err)
		}
		// bothWays finds what else is left: addresses, other pairs.
	})
}
