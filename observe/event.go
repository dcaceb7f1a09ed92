package observe

import (
	"context"
	"errors"
	"net/netip"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
)

// queueSize is how many events wait for a subscriber that writes them out together.
const queueSize = 256

// Subscribe gives events of the flows that pass the filter until the context ends (see api/server.Events). Each is made
// when the subscriber takes it.
func (o *Observer) Subscribe(ctx context.Context, f api.EventFilter) (<-chan api.Event, error) {
	checked, err := newFilter(f)
	if err != nil {
		return nil, err
	}
	select {
	case <-o.closed:
		return nil, api.Errorf(api.CodeUnavailable, "subscribe to events: the daemon stops")
	default:
	}
	q := Query{Last: uint64(f.Last), Follow: f.Follow, Match: checked.match}
	if f.Last == 0 {
		q.Since = f.Since // with both, the newest since then
	}
	w := o.walk(q) // what comes from now on is not missed
	out := make(chan api.Event, queueSize)
	o.subscribers.Add(1)
	go func() {
		defer close(out)
		defer o.subscribers.Add(-1)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-o.closed:
				cancel()
			case <-ctx.Done():
			}
		}()
		w.each = func(f *Flow) error { return sendEvent(ctx, out, f.Event()) }
		if err := w.run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			o.log.WithError(err).Warn("read flows for events")
		}
	}()
	return out, nil
}

func sendEvent(ctx context.Context, out chan<- api.Event, e api.Event) error {
	select {
	case out <- e:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Event is the flow as the daemon's own API shows it.
func (f *Flow) Event() api.Event {
	if f.IsLost() {
		e := api.Event{Type: api.EventLost, Time: f.Time, Lost: f.Lost}
		if f.Endpoint != nil {
			e.Endpoint = f.Endpoint.end(netip.Addr{}, 0)
		}
		return e
	}
	e := api.Event{
		Type: f.EventType(), Time: f.Time, Verdict: f.Verdict(), Point: points[f.Kernel.Point],
		Source: f.Source.end(f.Src(), f.SourcePort()), Destination: f.Destination.end(f.Dst(), f.DestinationPort()),
		Protocol: f.Protocol(), TCPFlags: f.TCPFlags(), ICMPType: f.Kernel.ICMPType, ICMPCode: f.Kernel.ICMPCode,
		Reply: f.Kernel.Reply != 0, Length: f.Kernel.Length, Revision: f.Kernel.Revision, Ifindex: f.Kernel.Ifindex,
		Direction: f.Side(),
	}
	if f.Endpoint != nil {
		e.Endpoint = f.Endpoint.end(netip.Addr{}, 0)
	}
	if f.Reason() != abi.DropNone {
		e.Reason = f.Reason().String()
	}
	if e.Direction != "" && f.Rule != nil {
		e.Policy, e.Rule = f.Rule.Policy, f.Rule.Place
	}
	if e.Direction == api.Publish || e.Direction == api.Ingress {
		e.HostPort = f.Kernel.Frontend.Host()
	}
	return e
}

// end is the party as one end of an event. Of a container the labels are left out: its name says more.
func (p *Party) end(addr netip.Addr, port uint16) api.Party {
	e := api.Party{Addr: addr, Port: port, Endpoint: p.EndpointID, Container: p.Container, ContainerID: p.ContainerID,
		Project: p.Project, Service: p.Service, Network: p.Network, Identity: p.Identity, Entity: p.Entity}
	if p.EndpointID == "" {
		e.Labels = p.Labels
	}
	return e
}

var points = map[uint8]string{
	abi.PointEgress: api.Egress, abi.PointIngress: api.Ingress, abi.PointUplink: "uplink", abi.PointSocket: "socket",
}
