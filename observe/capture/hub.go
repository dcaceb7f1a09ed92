package capture

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/pcapfilter"
	"github.com/sluice-net/sluice/observe"
)

// Programs makes containers' programs capture (implemented by endpoint.Manager).
type Programs interface {
	// Capture makes the programs of containers capture so many bytes of every packet, by the containers' names, and those of
	// all others none. It returns when they do; an error means that some do not.
	Capture(ctx context.Context, lengths map[string]uint32) error
}

// Names tells whose a packet is and which rule decided (implemented by endpoint.Manager).
type Names interface {
	Slot(slot uint32) *observe.Party
	Rule(slot, revision uint32, side uint8, rule uint16) *observe.Rule
}

// Ring is where programs write packets (implemented by observe.Captures).
type Ring interface {
	Read() (observe.Captured, error)
	Lost(slot uint32) (uint64, error)
	Close() error
}

// Options are what a hub needs.
type Options struct {
	Programs Programs
	Names    Names
	Open     func() (Ring, error) // opens the ring
	Log      logrus.FieldLogger
}

// Hub shares the captured packets among those who ask for them. The zero Hub is not usable.
type Hub struct {
	Options
	// switching is held while programs are changed: changes follow each other in the order of the sessions.
	switching sync.Mutex

	mu       sync.RWMutex
	sessions map[*session]bool
	ring     Ring
	read     sync.WaitGroup // the goroutine that reads the ring
}

// New returns a hub.
func New(o Options) *Hub { return &Hub{Options: o, sessions: map[*session]bool{}} }

// waiting is how many packets wait for a session that is slower than they come.
const waiting = 4096

// lossPeriod is how often a session is told of losses.
const lossPeriod = 250 * time.Millisecond

// endTime is how long programs get to stop capturing.
const endTime = 30 * time.Second

// session is one who captures.
type session struct {
	containers map[string]bool
	length     uint32
	drops      bool
	begun      time.Time // older packets are of a capture before this one
	filter     *pcapfilter.Filter
	packets    chan api.Captured

	mu     sync.Mutex
	missed map[string]uint64 // packets that were too many for it, by container
	slots  map[uint32]loss   // by slot, what the ring lost
}

// loss is what the ring lost of a slot.
type loss struct {
	container string
	before    uint64 // when the session saw the slot first
	now       uint64
}

// Capture gives the packets of containers until the context ends or yield fails. It begins with an item without packet for
// each container, when its programs capture.
func (h *Hub) Capture(ctx context.Context, containers []string, r api.CaptureRequest, addrs func(name string) []netip.Addr,
	yield func(api.Captured) error) error {
	filter, err := pcapfilter.Parse(r.Filter, addrs)
	if err != nil {
		return api.Errorf(api.CodeInvalid, "%v", err)
	}
	s := &session{containers: map[string]bool{}, length: r.SnapLength, drops: r.DropsOnly, filter: filter,
		begun: time.Now(), packets: make(chan api.Captured, waiting), missed: map[string]uint64{}, slots: map[uint32]loss{}}
	for _, c := range containers {
		s.containers[c] = true
	}
	err = h.begin(ctx, s)
	if err == nil {
		err = h.follow(ctx, s, containers, yield)
	}
	return errors.Join(err, h.end(context.WithoutCancel(ctx), s))
}

// follow gives what comes to a session.
func (h *Hub) follow(ctx context.Context, s *session, containers []string, yield func(api.Captured) error) error {
	for _, c := range containers {
		if err := yield(api.Captured{Time: time.Now(), Container: c}); err != nil {
			return err
		}
	}
	tick := time.NewTicker(lossPeriod)
	defer tick.Stop()
	told := map[string]uint64{}
	for {
		select {
		case p, open := <-s.packets:
			if !open {
				return api.Errorf(api.CodeUnavailable, "capture packets: the ring cannot be read any more; see the daemon's log")
			}
			if err := yield(p); err != nil {
				return err
			}
		case now := <-tick.C:
			for container, n := range h.losses(s) {
				if n == told[container] {
					continue
				}
				told[container] = n
				if err := yield(api.Captured{Time: now, Container: container, Lost: n}); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// begin makes the programs capture what the session wants.
func (h *Hub) begin(ctx context.Context, s *session) error {
	h.switching.Lock()
	defer h.switching.Unlock()
	h.mu.Lock()
	if h.ring == nil {
		ring, err := h.Open()
		if err != nil {
			h.mu.Unlock()
			return fmt.Errorf("capture packets: %w", err)
		}
		h.ring = ring
		h.read.Go(func() { h.give(ring) })
	}
	h.sessions[s] = true
	h.mu.Unlock()
	if err := h.Programs.Capture(ctx, h.lengths()); err != nil {
		return fmt.Errorf("capture packets: %w", err)
	}
	return nil
}

// end makes the programs capture no more than the others want, and closes the ring behind the last session.
func (h *Hub) end(ctx context.Context, s *session) error {
	h.switching.Lock()
	defer h.switching.Unlock()
	h.mu.Lock()
	delete(h.sessions, s)
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	err := h.Programs.Capture(ctx, h.lengths())
	if err != nil {
		h.Log.WithError(err).Error("programs go on capturing; regenerating them ends it")
	}
	h.mu.Lock()
	ring := h.ring
	if len(h.sessions) > 0 || ring == nil {
		h.mu.Unlock()
		return nil
	}
	h.ring = nil
	h.mu.Unlock()
	closed := ring.Close()
	h.read.Wait()
	return closed
}

// lengths returns how many bytes of the packets of which containers the sessions want.
func (h *Hub) lengths() map[string]uint32 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	all := map[string]uint32{}
	for s := range h.sessions {
		for c := range s.containers {
			all[c] = max(all[c], s.length)
		}
	}
	return all
}

// give reads the ring until it is closed.
func (h *Hub) give(ring Ring) {
	for {
		p, err := ring.Read()
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case errors.Is(err, observe.ErrRecord):
			h.Log.WithError(err).Warn("captured packet left out")
			continue
		case err != nil:
			h.Log.WithError(err).Error("captured packets cannot be read")
			h.mu.Lock()
			for s := range h.sessions {
				close(s.packets)
				delete(h.sessions, s)
			}
			h.mu.Unlock()
			return
		}
		h.offer(p)
	}
}

// offer gives a packet to the sessions that want it.
func (h *Hub) offer(p observe.Captured) {
	party := h.Names.Slot(p.Event.Slot)
	if party == nil || party.Container == "" {
		return
	}
	var told api.Captured
	h.mu.RLock()
	defer h.mu.RUnlock()
	for s := range h.sessions {
		if !s.containers[party.Container] || p.Time.Before(s.begun) {
			continue
		}
		s.see(h.ring, p.Event.Slot, party.Container)
		if s.drops && p.Event.Type != abi.EventDrop || !s.filter.Match(p.Frame, p.Length) {
			continue
		}
		if told.Container == "" {
			told = h.describe(p, party)
		}
		mine := told
		mine.Frame = told.Frame[:min(len(told.Frame), int(s.length))]
		select {
		case s.packets <- mine:
		default:
			s.mu.Lock()
			s.missed[party.Container]++
			s.mu.Unlock()
		}
	}
}

// see notes what the ring had lost of a slot before its first packet.
func (s *session) see(ring Ring, slot uint32, container string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.slots[slot]; known {
		return
	}
	if lost, err := ring.Lost(slot); err == nil {
		s.slots[slot] = loss{container: container, before: lost, now: lost}
	}
}

// losses returns how many packets a session lost, by container.
func (h *Hub) losses(s *session) map[string]uint64 {
	h.mu.RLock()
	ring := h.ring
	h.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]uint64{}
	for container, n := range s.missed {
		all[container] += n
	}
	for slot, l := range s.slots {
		if ring != nil {
			if now, err := ring.Lost(slot); err == nil {
				l.now = now
				s.slots[slot] = l
			}
		}
		all[l.container] += l.now - l.before
	}
	return all
}

// points are the names of observation points.
var points = map[uint8]string{abi.PointEgress: api.Egress, abi.PointIngress: api.Ingress}

// describe says what became of a packet, in words.
func (h *Hub) describe(p observe.Captured, party *observe.Party) api.Captured {
	c := api.Captured{Time: p.Time, Container: party.Container, Network: party.Network, Point: points[p.Event.Point],
		Verdict: api.VerdictForwarded, Length: p.Length, Frame: p.Frame}
	if p.Event.Type == abi.EventDrop {
		c.Verdict, c.Reason = api.VerdictDropped, abi.DropReason(p.Event.Reason).String()
		flow := observe.Flow{Kernel: p.Event}
		if flow.ByPolicy() {
			if rule := h.Names.Rule(p.Event.Slot, p.Event.Revision, p.Event.Side, p.Event.Rule); rule != nil {
				c.Policy, c.Rule = rule.Policy, rule.Place
			}
		}
	}
	return c
}
