package endpoint

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/store"
)

// What containers in mode learn do is recorded by subject: all containers of a compose service together, others by name.

const (
	learnPrefix = "learned/" // in the store, by subject
	// savePeriod is how long what was seen may be lost by a crash.
	savePeriod = 2 * time.Second
	// mostFlows bounds a record; addresses of the world beyond it are remembered as their LAN or the internet.
	mostFlows = 4096
)

// Recording is the record of what a subject was seen to do.
type Recording struct {
	Subject string
	Since   time.Time
	Flows   map[string]*RecordedFlow // by RecordedFlow.key
	Lost    uint64                   // events that were lost, of it or of others
}

// RecordedFlow is a peer and a port. Peer is as a label names a container, @host, @lan or @internet; empty: Addr.
type RecordedFlow struct {
	Direction policy.Direction
	Published uint16 `json:",omitempty"`
	Peer      string `json:",omitempty"`
	Addr      netip.Addr
	Protocol  uint8
	Port      uint16
	Count     uint64
	Last      time.Time
}

func (f *RecordedFlow) key() string {
	return fmt.Sprintf("%d %d %s %s %d %d", f.Direction, f.Published, f.Peer, f.Addr, f.Protocol, f.Port)
}

// loadRecordings reads what a daemon before this one recorded.
func (m *Manager) loadRecordings(ctx context.Context) error {
	return list(ctx, m.Store, learnPrefix, func(_ string, r *Recording) error {
		m.recordings[r.Subject] = r
		return nil
	})
}

// Record notes what events of containers in mode learn tell, until the channel is closed, and keeps it in the store.
func (m *Manager) Record(ctx context.Context, events <-chan api.Event) {
	tick := time.NewTicker(savePeriod)
	defer tick.Stop()
	var looked time.Time
	defer func() { m.saveRecordings(context.WithoutCancel(ctx)) }()
	for {
		select {
		case e, open := <-events:
			if !open {
				return
			}
			m.record(e)
		case <-tick.C:
			m.saveRecordings(ctx)
			if now := m.Now(); now.Sub(looked) < expirePeriod && !m.tooMany() {
				continue
			}
			looked = m.Now()
			if err := m.expireRecordings(ctx); err != nil {
				m.Log.WithError(err).Error("forget what containers did that are no more: it is tried again")
			}
		}
	}
}

// record notes one event.
func (m *Manager) record(e api.Event) {
	if e.Type == api.EventLost && e.Lost != nil {
		m.noteLost(e.Lost.Learn)
		return
	}
	f, ok := m.recorded(e)
	own, _ := m.endpoint(e.Endpoint.Endpoint)
	if !ok || own == nil {
		return
	}
	labels, _ := m.identities.Labels(own.Identity)
	subject := groupOf(labels, own)
	m.learning.Lock()
	defer m.learning.Unlock()
	r := m.recordings[subject]
	if r == nil {
		r = &Recording{Subject: subject, Since: e.Time.UTC(), Flows: map[string]*RecordedFlow{}}
		m.recordings[subject] = r
	}
	if len(r.Flows) >= mostFlows && f.Peer == "" && r.Flows[f.key()] == nil {
		f.Peer, f.Addr = m.side(f.Addr), netip.Addr{}
	}
	old := r.Flows[f.key()]
	if old == nil {
		old = &f
		r.Flows[f.key()] = old
	}
	old.Count++
	old.Last = e.Time.UTC()
	m.unsaved[subject] = true
}

func (m *Manager) noteLost(n uint64) {
	m.learning.Lock()
	defer m.learning.Unlock()
	for subject, r := range m.recordings {
		if n > 0 {
			r.Lost += n
			m.unsaved[subject] = true
		}
	}
}

// side is the part of the world that an address belongs to.
func (m *Manager) side(a netip.Addr) string {
	m.mu.RLock()
	lan := m.host.LAN
	m.mu.RUnlock()
	if policy.NewUniverse().WithLAN(lan).InLAN(a) {
		return policy.NameLAN
	}
	return policy.NameInternet
}

// recorded makes a flow of an event; ok is false for what is no connection.
func (m *Manager) recorded(e api.Event) (f RecordedFlow, ok bool) {
	protocol, err := policy.ParseProtocol(e.Protocol)
	if err != nil || e.Type != api.EventLearn {
		return f, false
	}
	f = RecordedFlow{Direction: policy.Egress, Protocol: protocol}
	opener, acceptor := e.Source, e.Destination
	if e.Reply {
		opener, acceptor = acceptor, opener
	}
	other := acceptor
	switch e.Direction {
	case api.Egress:
	case api.Ingress, api.Publish:
		f.Direction, other, f.Published = policy.Ingress, opener, e.HostPort
	default:
		return f, false
	}
	f.Port = acceptor.Port
	if protocol == policy.ProtocolICMP || protocol == policy.ProtocolICMPv6 {
		f.Port = uint16(e.ICMPType) << 8
		if e.Reply {
			return f, false // its type is not the one that was opened with
		}
	}
	own, known := m.endpoint(e.Endpoint.Endpoint)
	if !known {
		return f, false
	}
	labels, _ := m.identities.Labels(own.Identity)
	var peer *Endpoint
	if p := m.Addr(other.Addr); p != nil {
		peer, _ = m.endpoint(p.EndpointID)
	}
	switch {
	case other.Entity == api.EntityHost:
		f.Peer = policy.NameHost
	case peer != nil:
		theirs, _ := m.identities.Labels(peer.Identity)
		f.Peer = policy.ContainerEnd(theirs, peer.Container.Name, labels[identity.LabelProject]).Text
	case other.Entity == api.EntityWorld && other.Addr.IsValid():
		f.Addr = other.Addr
	default:
		return f, false
	}
	return f, true
}

// groupOf is what people call a container: its compose service, else its name.
func groupOf(labels identity.Labels, e *Endpoint) string {
	project, service := labels[identity.LabelProject], labels[identity.LabelService]
	switch {
	case project != "" && service != "":
		return project + "/" + service
	case e.Container.Name != "":
		return e.Container.Name
	}
	return short(e.ID)
}

// saveRecordings makes what was seen durable.
func (m *Manager) saveRecordings(ctx context.Context) {
	m.learning.Lock()
	defer m.learning.Unlock()
	var ops []store.Op
	for subject := range m.unsaved {
		op, err := put(learnPrefix+subject, m.recordings[subject])
		if err != nil {
			m.Log.WithError(err).Error("store what was learned")
			continue
		}
		ops = append(ops, op)
	}
	if len(ops) == 0 {
		return
	}
	if err := m.Store.Apply(ctx, ops...); err != nil {
		m.Log.WithError(err).Error("store what was learned: it is tried again")
		return
	}
	clear(m.unsaved)
}

// Learn gives the tightest policy that covers what was seen of the endpoints, which are of one subject.
func (m *Manager) Learn(ctx context.Context, ids []string, r api.LearnRequest) (api.Learned, error) {
	s := m.scene()
	places := s.find(ids)
	if len(places) == 0 {
		return api.Learned{}, api.Errorf(api.CodeNotFound, "learn policy of %q: its endpoint has left", r.Ref)
	}
	own := places[0]
	subject := own.group()
	for _, p := range places {
		if p.group() != subject {
			return api.Learned{}, api.Errorf(api.CodeAmbiguous, "learn policy of %q: it is %s and %s", r.Ref, subject, p.group())
		}
	}
	mode := policy.Enforce
	if settings, err := s.policies.Settings(own.subject.Labels); err == nil {
		mode = settings.Enforcement
	}
	out := api.Learned{Subject: subject, Mode: mode.String(), Flows: []api.LearnedFlow{}}
	m.learning.Lock()
	var flows []RecordedFlow
	if rec := m.recordings[subject]; rec != nil {
		out.Since, out.Lost = rec.Since, rec.Lost
		for _, f := range rec.Flows {
			flows = append(flows, *f)
		}
	}
	m.learning.Unlock()
	var seen []policy.Seen
	for _, f := range flows {
		seen = append(seen, policy.Seen{Direction: f.Direction, Published: f.Published, Peer: f.Peer, Addr: f.Addr, Protocol: f.Protocol, Port: f.Port})
		out.Flows = append(out.Flows, f.view())
	}
	slices.SortFunc(out.Flows, func(a, b api.LearnedFlow) int {
		return cmp.Or(cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Ports, b.Ports))
	})
	text, err := own.learned(seen, s.universe, r.Format)
	if err != nil {
		return out, fmt.Errorf("learn policy of %s: %w", subject, err)
	}
	out.Policy = text
	if r.Reset {
		return out, m.forget(ctx, subject)
	}
	return out, nil
}

func (f *RecordedFlow) view() api.LearnedFlow {
	v := api.LearnedFlow{Direction: f.Direction.String(), Peer: f.Peer, Count: f.Count, Last: f.Last,
		Ports: policy.PortReach(f.Protocol, f.Port, f.Port).String()}
	if f.Published != 0 {
		v.Direction, v.Ports = api.StepPublish, policy.PortReach(f.Protocol, f.Published, f.Published).String()
	}
	if v.Peer == "" {
		v.Peer = f.Addr.String()
	}
	return v
}

// learned writes the policy that covers what was seen, in a format.
func (p *place) learned(seen []policy.Seen, universe *policy.Universe, format string) (string, error) {
	labels := policy.LearnedLabels(seen, universe, format != api.LearnCNP)
	if format == api.LearnLabels {
		text, err := yaml.Marshal(map[string]any{"labels": labels})
		return string(text), err
	}
	project := p.subject.Labels[identity.LabelProject]
	own := maps.Clone(labels)
	if project != "" {
		own[identity.LabelProject] = project
	}
	learned, err := policy.LabelPolicy(own)
	if err != nil {
		return "", err
	}
	name := "learned-" + strings.ReplaceAll(p.group(), "/", "-")
	if format == api.LearnYAML {
		return policy.FormatShort(learned.ForContainer(name, p.name(nil), ""))
	}
	return policy.FormatCNP(learned.ForContainer(name, p.name(nil), project))
}
