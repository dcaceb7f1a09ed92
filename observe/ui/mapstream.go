package ui

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/observe/ui/servicemap"
)

// How often the map is told: rates every second, what is urgent at once, but not more often than mapPause.
const (
	mapPeriod = time.Second
	mapPause  = 100 * time.Millisecond
)

// edgesEvent is what changed of the map.
type edgesEvent struct {
	Now   time.Time         `json:"now"`
	Edges []servicemap.Edge `json:"edges"`
	Lost  uint64            `json:"lost"` // flows, that are missing in it
}

// mapStream sends the topology when it changes, and edges.
func (s *Server) mapStream(ctx context.Context, _ *http.Request, out *events) error {
	m, leave := s.tracker.look(ctx)
	defer leave()
	viewer := &mapViewer{server: s, out: out, m: m}
	tick := time.NewTicker(mapPeriod)
	defer tick.Stop()
	for {
		urgent := m.Urgent() // what comes while this is sent is not missed
		if err := viewer.topology(ctx); err != nil {
			return err
		}
		if err := viewer.edges(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-urgent:
			select { // more may come with it
			case <-ctx.Done():
				return nil
			case <-time.After(mapPause):
			}
		}
	}
}

// mapViewer remembers what one page has got.
type mapViewer struct {
	server   *Server
	out      *events
	m        *servicemap.Map
	last     string // topology
	version  uint64
	lastSent time.Time
}

// topology sends the topology if it is another than the last.
func (v *mapViewer) topology(ctx context.Context) error {
	t, err := v.server.topology(ctx, v.m.Nodes())
	if err != nil {
		return v.out.send("trouble", api.Errorf(api.CodeOf(err), "list what there is: %v", err))
	}
	text, err := json.Marshal(t)
	if err != nil || string(text) == v.last {
		return err
	}
	v.last = string(text)
	return v.out.send("topology", json.RawMessage(text))
}

// edges sends what changed since the last time.
func (v *mapViewer) edges() error {
	now := v.server.o.Now()
	edges, version := v.m.Edges(v.version, now)
	if len(edges) == 0 && v.version > 0 && now.Sub(v.lastSent) < v.server.o.Heartbeat {
		return nil
	}
	v.version, v.lastSent = max(version, 1), now
	return v.out.send("edges", edgesEvent{Now: now, Edges: edges, Lost: v.m.Lost()})
}
