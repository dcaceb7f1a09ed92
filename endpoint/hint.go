package endpoint

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
)

// Hints are worked out only for events that somebody reads, once for what is denied alike, and only so many a second.
const (
	mostHints      = 1024
	hintsPerSecond = 10
)

// hints remembers what would allow what was denied, under one generation.
type hints struct {
	mu         sync.Mutex
	generation uint64
	scene      *scene
	known      map[hintKey]string
	second     time.Time // that spent counts for
	spent      int
}

// hintKey is what denials of one hint have in common.
type hintKey struct {
	endpoint, direction string
	peer                netip.Addr
	protocol            string
	port, hostPort      uint16
	icmp                uint8
}

// Hint is the smallest change that would allow what an event denied by policy, in one line; empty if it is not denied by
// policy, if there is none, or if too many are asked for at once.
func (m *Manager) Hint(e api.Event) string {
	if e.Direction == "" || e.Verdict == api.VerdictAllowed || e.Verdict == api.VerdictLearned || e.Endpoint.Endpoint == "" {
		return ""
	}
	opener, acceptor := e.Source, e.Destination
	if e.Reply {
		opener, acceptor = acceptor, opener
	}
	own, peer := acceptor, opener
	if e.Direction == api.Egress {
		own, peer = opener, acceptor
	}
	key := hintKey{e.Endpoint.Endpoint, e.Direction, peer.Addr, e.Protocol, acceptor.Port, e.HostPort, e.ICMPType}
	h, generation := &m.hints, m.currentGeneration()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.generation != generation || h.known == nil || len(h.known) >= mostHints {
		h.generation, h.scene, h.known = generation, nil, map[hintKey]string{}
	}
	if hint, ok := h.known[key]; ok {
		return hint
	}
	if now := m.Now().Truncate(time.Second); !now.Equal(h.second) {
		h.second, h.spent = now, 0
	}
	if h.spent++; h.spent > hintsPerSecond {
		return ""
	}
	if h.scene == nil {
		h.scene = m.scene()
	}
	h.known[key] = h.scene.hint(e, own, peer, acceptor.Port)
	return h.known[key]
}

// hint works out the change for an event.
func (s *scene) hint(e api.Event, own, peer api.Party, port uint16) string {
	places := s.find([]string{e.Endpoint.Endpoint})
	protocol, err := policy.ParseProtocol(e.Protocol)
	if len(places) == 0 || places[0].closed || err != nil || !peer.Addr.IsValid() {
		return ""
	}
	p := places[0]
	a := ask{place: p, hostPort: e.HostPort, own: own.Addr, peerAddr: peer.Addr}
	a.look = policy.Look{Direction: policy.Ingress, Table: p.tables.Ingress, Addr: peer.Addr}
	if e.Direction == api.Egress {
		a.look.Direction, a.look.Table, a.hostPort = policy.Egress, p.tables.Egress, 0
	}
	switch other := s.at(peer.Addr); {
	case other != nil:
		a.look.Peer, a.look.Class, a.other = other.identity, classOf(p, other), other.name(p)
	case peer.Entity == api.EntityHost:
		a.look.Peer, a.look.Class, a.other = identity.Host, policy.ClassHost, hostEnd
	default:
		a.look.Peer, a.look.Class, a.other = identity.World, policy.ClassWorld, worldEnd("", peer.Addr, netip.Prefix{})
	}
	if protocol == policy.ProtocolICMP || protocol == policy.ProtocolICMPv6 {
		port = uint16(e.ICMPType) << 8
	}
	return oneLine(s.remedy(a, policy.Key(protocol, port), policy.Allow))
}

// oneLine says a change in short.
func oneLine(r api.Remedy) string {
	var words []string
	for _, rule := range r.Remove {
		words = append(words, "remove "+rule)
	}
	for _, key := range slices.Sorted(maps.Keys(r.Labels)) {
		if r.Labels[key] == "" {
			words = append(words, "remove the label "+key+" of "+r.Container)
			continue
		}
		words = append(words, "label "+r.Container+" "+key+"="+r.Labels[key])
	}
	if r.Policy != "" {
		words = append(words, "apply a policy that allows it (sluice policy explain prints one)")
	}
	if r.Note != "" {
		words = append(words, r.Note)
	}
	return strings.Join(words, ", ")
}
