package hubble

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-net/sluice/internal/listen"
	"github.com/sluice-net/sluice/observe"
)

// Namespaces are remembered for an hour after their last flow; a flow within a second of another says nothing new.
const (
	namespaceTime   = time.Hour
	namespaceGrain  = time.Second
	namespacesSwept = time.Minute
)

// place is a namespace on a network: scopes may name either.
type place struct{ namespace, network string }

// namespaces remembers where flows were seen last.
type namespaces struct {
	now  func() time.Time
	mu   sync.Mutex
	last map[place]time.Time
}

func newNamespaces(now func() time.Time) *namespaces {
	return &namespaces{now: now, last: map[place]time.Time{}}
}

// follow reads flows, those of the past too, until the context ends.
func (n *namespaces) follow(ctx context.Context, ring *observe.Flows) {
	oldest, _ := ring.Bounds()
	reader := ring.Reader(oldest)
	var noted observe.Party // of the flow before: most flows are of few containers
	var at, swept time.Time
	for {
		f, _, err := reader.Next(ctx)
		if err != nil {
			return
		}
		if f.Time.Sub(swept).Abs() > namespacesSwept {
			n.sweep()
			swept = f.Time
		}
		for _, p := range [...]*observe.Party{f.Source, f.Destination} {
			if !p.IsContainer() || p.Project == noted.Project && p.Network == noted.Network && f.Time.Sub(at).Abs() < namespaceGrain {
				continue
			}
			n.note(place{p.Namespace(), p.Network}, f.Time)
			noted.Project, noted.Network, at = p.Project, p.Network, f.Time
		}
	}
}

func (n *namespaces) note(p place, at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last[p] = at
}

// sweep forgets what is long past.
func (n *namespaces) sweep() {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	maps.DeleteFunc(n.last, func(_ place, at time.Time) bool { return now.Sub(at) > namespaceTime })
}

// list returns the namespaces that a caller may see, sorted.
func (n *namespaces) list(access *listen.Access) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	found := map[string]bool{}
	for p, at := range n.last {
		if now.Sub(at) <= namespaceTime && access.Sees(p.namespace, p.network) {
			found[p.namespace] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}
