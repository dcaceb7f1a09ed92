package observe

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// mostAddrs bounds the addresses whose domains are remembered.
	mostAddrs = 16384
	// mostDomains bounds the domains of one address; the newest stay.
	mostDomains = 8
)

// Domains remembers by which domains addresses were asked for. Whoever sees answers of DNS tells it (Learn); flows are
// named by it. What containers are called on their networks is not here but in Party.Domains. It is safe for concurrent
// use.
type Domains struct {
	now   func() time.Time
	mu    sync.RWMutex
	known map[netip.Addr]asked
}

// asked are the domains of an address, the newest last. The slices are never changed, since flows share them.
type asked struct {
	names []string
	until []time.Time // of each name
	last  time.Time   // of until
}

// NewDomains returns an empty memory; now is the clock.
func NewDomains(now func() time.Time) *Domains {
	return &Domains{now: now, known: map[netip.Addr]asked{}}
}

// Learn notes that a domain was answered with addresses, and until when that holds.
func (d *Domains) Learn(domain string, addrs []netip.Addr, until time.Time) {
	now := d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range addrs {
		a = a.Unmap()
		if _, known := d.known[a]; !known && len(d.known) >= mostAddrs && !d.makeRoom(now) {
			return
		}
		d.known[a] = d.known[a].with(domain, until, now)
	}
}

// with returns the domains with one more, without those that no longer hold.
func (k asked) with(domain string, until, now time.Time) asked {
	var next asked
	for i, name := range k.names {
		if name != domain && k.until[i].After(now) {
			next.names, next.until = append(next.names, name), append(next.until, k.until[i])
		}
	}
	if over := len(next.names) + 1 - mostDomains; over > 0 {
		next.names, next.until = next.names[over:], next.until[over:]
	}
	next.names, next.until = append(next.names, domain), append(next.until, until)
	next.last = slices.MaxFunc(next.until, time.Time.Compare)
	return next
}

// makeRoom forgets the addresses of which nothing holds any more, else some others; it reports whether there were any.
func (d *Domains) makeRoom(now time.Time) bool {
	before := len(d.known)
	for a, k := range d.known {
		if !k.last.After(now) {
			delete(d.known, a)
		}
	}
	for a := range d.known { // in no order: a sixteenth of them
		if len(d.known) <= mostAddrs-mostAddrs/16 {
			break
		}
		delete(d.known, a)
	}
	return len(d.known) < before
}

// Of returns the domains of an address that hold now, the newest last; nobody may change them. A nil memory knows none.
func (d *Domains) Of(a netip.Addr) []string {
	if d == nil {
		return nil
	}
	d.mu.RLock()
	k, ok := d.known[a]
	d.mu.RUnlock()
	if !ok {
		return nil
	}
	now := d.now()
	if !k.last.After(now) {
		return nil
	}
	if slices.ContainsFunc(k.until, func(t time.Time) bool { return !t.After(now) }) {
		return k.holding(now)
	}
	return k.names
}

// holding returns the names that hold still.
func (k asked) holding(now time.Time) []string {
	var names []string
	for i, name := range k.names {
		if k.until[i].After(now) {
			names = append(names, name)
		}
	}
	return names
}
