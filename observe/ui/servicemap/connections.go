package servicemap

import (
	"net/netip"
	"time"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// maxConnections bounds the connections whose last totals are known.
const maxConnections = 65536

// restTime is after which a connection that is told of no more makes room for others.
const restTime = 30 * time.Second

// freshTime is how old a connection may be when it is told of first, so that all it carried counts as carried lately.
const freshTime = 15 * time.Second

// tuple is a connection, from its initiator's side. Opened tells it from an earlier one of the same addresses.
type tuple struct {
	initiator, responder netip.AddrPort
	protocol             uint8
	opened               uint64
}

// totals are what was told of a connection last.
type totals struct {
	sent, received abi.Counter
	when           time.Time
}

// connections remember totals.
type connections struct {
	known map[tuple]totals
}

// since returns what a connection carried since it was told of last, and from when on it did. First says that it is new.
func (c *connections) since(f *observe.Flow) (a amount, from time.Time, first bool) {
	k := &f.Kernel
	if k.Opened == 0 {
		return amount{}, f.Time, false
	}
	key, now := connection(f), totals{k.Sent, k.Received, f.Time}
	before, known := c.known[key]
	if !known {
		age := time.Duration(k.Time - k.Opened)
		from = f.Time.Add(-min(age, freshTime))
		if k.Time < k.Opened || age > freshTime { // opened before anybody counted
			before = now
		} else {
			first = true
			a.opened = 1
		}
	} else {
		from = before.when
	}
	a.sent, a.received = grown(before.sent.Bytes, k.Sent.Bytes), grown(before.received.Bytes, k.Received.Bytes)
	a.packets = grown(before.sent.Packets, k.Sent.Packets) + grown(before.received.Packets, k.Received.Packets)
	c.keep(key, now)
	return a, from, first
}

// keep remembers totals. A closed connection stays for a while: the other side may tell of it too.
func (c *connections) keep(key tuple, now totals) {
	if c.known == nil {
		c.known = map[tuple]totals{}
	}
	if before, ok := c.known[key]; ok { // two programs may tell of one connection, in whatever order
		now.sent = larger(before.sent, now.sent)
		now.received = larger(before.received, now.received)
	} else if len(c.known) >= maxConnections {
		c.makeRoom(now.when)
	}
	c.known[key] = now
}

// makeRoom forgets connections that rest, and if there are none, any.
func (c *connections) makeRoom(now time.Time) {
	for key, t := range c.known {
		if now.Sub(t.when) > restTime {
			delete(c.known, key)
		}
	}
	for key := range c.known {
		if len(c.known) < maxConnections*3/4 {
			return
		}
		delete(c.known, key)
	}
}

func grown(before, now uint64) float64 {
	if now <= before {
		return 0
	}
	return float64(now - before)
}

func larger(a, b abi.Counter) abi.Counter {
	return abi.Counter{Packets: max(a.Packets, b.Packets), Bytes: max(a.Bytes, b.Bytes)}
}

// connection returns the connection of a flow.
func connection(f *observe.Flow) tuple {
	k := &f.Kernel
	src, dst := netip.AddrPortFrom(f.Src(), k.Sport.Host()), netip.AddrPortFrom(f.Dst(), k.Dport.Host())
	if k.Reply != 0 {
		src, dst = dst, src
	}
	return tuple{src, dst, k.Proto, k.Opened}
}
