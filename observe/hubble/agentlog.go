package hubble

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sluice-net/sluice/internal/listen"
	"github.com/sluice-net/sluice/observe"
	"github.com/sluice-net/sluice/observe/hubble/convert"
)

// agentEvents is how many events are remembered.
const agentEvents = 4096

// AgentLog remembers what the daemon did: the newest events, each with its time. It may be used from several goroutines,
// and nobody who tells it something waits.
type AgentLog struct {
	node string
	now  func() time.Time

	mu     sync.Mutex
	events []*agentEvent // oldest first
	begin  uint64        // number of the first
	grown  chan struct{}
}

// agentEvent is one event, and whose it is: a caller with a scope sees only those of its own containers.
type agentEvent struct {
	message *observerpb.GetAgentEventsResponse
	owner   *observe.Party // nil: the daemon's
	at      time.Time
}

// NewAgentLog returns an empty log.
func NewAgentLog(c *convert.Converter, now func() time.Time) *AgentLog {
	if now == nil {
		now = time.Now
	}
	return &AgentLog{node: c.NodeName(), now: now, grown: make(chan struct{})}
}

// Started tells that the daemon is ready.
func (l *AgentLog) Started() {
	l.add(nil, &flowpb.AgentEvent{
		Type:         flowpb.AgentEventType_AGENT_STARTED,
		Notification: &flowpb.AgentEvent_AgentStart{AgentStart: &flowpb.TimeNotification{Time: timestamppb.New(l.now())}},
	})
}

// PolicyChanged tells that a policy document came into force, or changed, with that many rules; or that it left.
func (l *AgentLog) PolicyChanged(name string, revision uint64, rules int, deleted bool) {
	kind := flowpb.AgentEventType_POLICY_UPDATED
	if deleted {
		kind = flowpb.AgentEventType_POLICY_DELETED
	}
	l.add(nil, &flowpb.AgentEvent{Type: kind, Notification: &flowpb.AgentEvent_PolicyUpdate{
		PolicyUpdate: &flowpb.PolicyUpdateNotification{Labels: []string{"sluice:policy=" + name}, Revision: revision, RuleCount: int64(rules)},
	}})
}

// EndpointCreated tells that a container came to a network.
func (l *AgentLog) EndpointCreated(p *observe.Party) {
	l.endpoint(p, flowpb.AgentEventType_ENDPOINT_CREATED)
}

// EndpointDeleted tells that a container left a network.
func (l *AgentLog) EndpointDeleted(p *observe.Party) {
	l.endpoint(p, flowpb.AgentEventType_ENDPOINT_DELETED)
}

func (l *AgentLog) endpoint(p *observe.Party, kind flowpb.AgentEventType) {
	l.add(p, &flowpb.AgentEvent{Type: kind, Notification: &flowpb.AgentEvent_EndpointUpdate{
		EndpointUpdate: &flowpb.EndpointUpdateNotification{
			Id: uint64(p.Number), Labels: labelTexts(p), PodName: p.PodName(), Namespace: p.Namespace(),
		},
	}})
}

// EndpointRegenerated tells that a container's programs were replaced, or why they were not.
func (l *AgentLog) EndpointRegenerated(p *observe.Party, err error) {
	m := &flowpb.EndpointRegenNotification{Id: uint64(p.Number), Labels: labelTexts(p)}
	kind := flowpb.AgentEventType_ENDPOINT_REGENERATE_SUCCESS
	if err != nil {
		kind, m.Error = flowpb.AgentEventType_ENDPOINT_REGENERATE_FAILURE, err.Error()
	}
	l.add(p, &flowpb.AgentEvent{Type: kind, Notification: &flowpb.AgentEvent_EndpointRegenerate{EndpointRegenerate: m}})
}

func labelTexts(p *observe.Party) []string {
	var all []string
	for _, label := range convert.Labels(p) {
		all = append(all, label.String())
	}
	return all
}

func (l *AgentLog) add(owner *observe.Party, m *flowpb.AgentEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.now()
	if len(l.events) == agentEvents {
		l.events = slices.Clone(l.events[agentEvents/4:]) // readers may hold the old array
		l.begin += agentEvents / 4
	}
	l.events = append(l.events, &agentEvent{owner: owner, at: at, message: &observerpb.GetAgentEventsResponse{
		AgentEvent: m, NodeName: l.node, Time: timestamppb.New(at),
	}})
	close(l.grown)
	l.grown = make(chan struct{})
}

// from returns the events from a number on, the number after them, and what is closed when there are more.
func (l *AgentLog) from(number uint64) (events []*agentEvent, next uint64, grown <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next = l.begin + uint64(len(l.events))
	number = min(max(number, l.begin), next)
	return l.events[number-l.begin:], next, l.grown
}

// walk gives the events of a query, by the same rules as flows, as far as the caller may see them.
func (l *AgentLog) walk(ctx context.Context, q observe.Query, access *listen.Access, each func(*agentEvent) error) error {
	matches := func(e *agentEvent) bool {
		return (q.Since.IsZero() || !e.at.Before(q.Since)) && (q.Until.IsZero() || !e.at.After(q.Until)) &&
			(!access.Scoped() || e.owner != nil && access.Sees(e.owner.Namespace(), e.owner.Network))
	}
	past, next, grown := l.from(0)
	for _, e := range choose(past, q, matches) {
		if err := each(e); err != nil {
			return err
		}
	}
	if !q.Follow {
		return nil
	}
	if !q.Until.IsZero() {
		until, cancel := context.WithDeadlineCause(ctx, q.Until, errPastUntil)
		defer cancel()
		ctx = until
	}
	for {
		select {
		case <-grown:
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errPastUntil) {
				return nil
			}
			return ctx.Err()
		}
		var events []*agentEvent
		events, next, grown = l.from(next)
		for _, e := range events {
			if matches(e) {
				if err := each(e); err != nil {
					return err
				}
			}
		}
	}
}

// errPastUntil ends a walk at the time at which it is to end.
var errPastUntil = errors.New("the time of the last event that was asked for is over")

// choose returns those of the past that a query begins with.
func choose(past []*agentEvent, q observe.Query, matches func(*agentEvent) bool) []*agentEvent {
	var found []*agentEvent
	for _, e := range past {
		if matches(e) {
			found = append(found, e)
		}
	}
	n := uint64(len(found))
	switch {
	case q.First > 0:
		return found[:min(n, q.First)]
	case !q.Since.IsZero():
		return found
	case q.Last > 0:
		return found[n-min(n, q.Last):]
	case q.Follow:
		return nil
	}
	return found
}
