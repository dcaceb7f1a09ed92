package traffic

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// sample is what grew since the one before, in the making.
type sample struct {
	by     string
	source Source
	rows   map[rowKey]*row
	byAddr map[netip.Addr]*Container
	names  map[netip.Addr]string // of what is no container
}

// rowKey names a row.
type rowKey struct{ name, peer string }

// row is one in the making.
type row struct {
	api.TrafficRow
	grown   counters
	opened  int
	drops   int
	reasons map[abi.DropReason]int
}

// row returns the row of a description, made if it is not there.
func (s *sample) row(about api.TrafficRow) *row {
	key := rowKey{about.Name, about.Peer}
	r := s.rows[key]
	if r == nil {
		r = &row{TrafficRow: about}
		s.rows[key] = r
	}
	return r
}

func (r *row) grow(c counters) {
	r.grown.sent.Bytes += c.sent.Bytes
	r.grown.sent.Packets += c.sent.Packets
	r.grown.received.Bytes += c.received.Bytes
	r.grown.received.Packets += c.received.Packets
}

func (r *row) connection(open, isNew bool) {
	if open {
		r.Open++
	}
	if isNew {
		r.opened++
	}
}

// self describes the row of a container.
func (s *sample) self(c *Container) api.TrafficRow {
	if s.by == api.TrafficContainers {
		return api.TrafficRow{Name: c.Name, Container: c.Name, Project: c.Project, Service: c.Service}
	}
	return serviceRow(c)
}

// serviceRow describes a container's service, else the container.
func serviceRow(c *Container) api.TrafficRow {
	if c.Service == "" {
		return api.TrafficRow{Name: c.Name, Container: c.Name, Project: c.Project}
	}
	return api.TrafficRow{Name: inProject(c.Project, c.Service), Project: c.Project, Service: c.Service}
}

func inProject(project, service string) string {
	if project == "" {
		return service
	}
	return project + "/" + service
}

// pair describes the row of an initiator and a responder.
func (s *sample) pair(initiator, responder netip.Addr) api.TrafficRow {
	about := api.TrafficRow{}
	if c := s.byAddr[initiator.Unmap()]; c != nil {
		about = serviceRow(c)
	} else {
		about.Name = s.name(initiator.Unmap())
	}
	if c := s.byAddr[responder.Unmap()]; c != nil {
		about.Peer = serviceRow(c).Name
		about.Project = cmp.Or(about.Project, c.Project)
	} else {
		about.Peer = s.name(responder.Unmap())
	}
	return about
}

// name names what is no container; without a name, by its address.
func (s *sample) name(a netip.Addr) string {
	name, ok := s.names[a]
	if !ok {
		if s.names == nil {
			s.names = map[netip.Addr]string{}
		}
		name = cmp.Or(s.source.Name(a), a.String())
		s.names[a] = name
	}
	return name
}

// connection counts a connection for the containers at its ends, once for a service that speaks to itself.
func (s *sample) connection(c Connection, isNew bool) {
	var first *row
	for _, end := range []netip.AddrPort{c.Initiator, c.Responder} {
		if of := s.byAddr[end.Addr().Unmap()]; of != nil {
			if r := s.row(s.self(of)); r != first {
				r.connection(c.Open, isNew)
				first = r
			}
		}
	}
}

// drop counts a dropped packet: for the container whose program dropped it, or for who sent it to whom.
func (s *sample) drop(f *observe.Flow) {
	if s.by == api.TrafficPeers {
		if f.Src().IsValid() {
			s.row(s.pair(f.Src(), f.Dst())).drop(f.Reason())
		}
		return
	}
	if f.Endpoint == nil || f.Endpoint.Container == "" {
		return
	}
	s.row(s.self(&Container{Name: f.Endpoint.Container, Project: f.Endpoint.Project, Service: f.Endpoint.Service})).drop(f.Reason())
}

func (r *row) drop(reason abi.DropReason) {
	if r.reasons == nil {
		r.reasons = map[abi.DropReason]int{}
	}
	r.drops++
	r.reasons[reason]++
}

// main is the reason that is counted most often so far.
func (r *row) main() (most abi.DropReason) {
	for reason := range r.reasons {
		if r.reasons[reason] > r.reasons[most] || r.reasons[reason] == r.reasons[most] && reason < most {
			most = reason
		}
	}
	return most
}

// result makes rates of what grew over a time.
func (s *sample) result(over time.Duration) api.Traffic {
	seconds := over.Seconds()
	t := api.Traffic{Over: over, Rows: make([]api.TrafficRow, 0, len(s.rows))}
	for _, r := range s.rows {
		if r.drops > 0 {
			r.Reason = r.main().String()
		}
		r.Sent, r.Received = rate(r.grown.sent, seconds), rate(r.grown.received, seconds)
		r.Drops, r.New = float64(r.drops)/seconds, float64(r.opened)/seconds
		t.Rows = append(t.Rows, r.TrafficRow)
	}
	slices.SortFunc(t.Rows, func(a, b api.TrafficRow) int {
		return cmp.Or(cmp.Compare(b.Sent.Bytes+b.Received.Bytes, a.Sent.Bytes+a.Received.Bytes), cmp.Compare(b.Drops, a.Drops),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.Peer, b.Peer))
	})
	if len(t.Rows) > mostRows {
		t.Rows, t.Hidden = t.Rows[:mostRows], len(t.Rows)-mostRows
	}
	return t
}

func rate(c abi.Counter, seconds float64) api.Rate {
	return api.Rate{Bytes: float64(c.Bytes) / seconds, Packets: float64(c.Packets) / seconds}
}
