package observe

import (
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/abi"
)

// Names tells what the numbers of a record mean (implemented by the use-cases). It is asked several times for every
// record by one goroutine: it answers from an index, without allocating, and what it returns is never changed. Whatever
// happens to containers, networks and policies is known to it when their change is done.
type Names interface {
	// Slot returns the endpoint that has a slot, nil if none has.
	Slot(slot uint32) *Party
	// Addr returns the endpoint that has an address, or the host if it is a gateway; nil if neither is known.
	Addr(addr netip.Addr) *Party
	// Identity returns what is known of somebody by an identity alone: the host, the world, or labels; nil if nothing is.
	Identity(identity uint32) *Party
	// Rule returns a rule (from 1) of an endpoint's table of a revision, nil if it is not known any more; side is an
	// enum policy_side.
	Rule(slot, revision uint32, side uint8, rule uint16) *Rule
}

// clock returns the time and what the kernel's monotonic clock shows, ns.
type clock func() (wall time.Time, monotonic uint64)

// kernelClock is the real clock.
func kernelClock() (time.Time, uint64) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // it cannot fail for this clock (clock_gettime(2))
	}
	return time.Now(), uint64(ts.Nano())
}

// chunk is how many flows are allocated at a time.
const chunk = 64

// namer makes flows of records. It is not safe for concurrent use.
type namer struct {
	names Names
	spare []Flow // of the chunk in use
	// wall and monotonic are the time of the batch in hand.
	wall      time.Time
	monotonic uint64
}

// flow returns a new flow of a record.
func (n *namer) flow(e *abi.Event) *Flow {
	if len(n.spare) == 0 {
		n.spare = make([]Flow, chunk)
	}
	f := &n.spare[0]
	n.spare = n.spare[1:]
	f.Kernel = *e
	f.Time = n.wall.Add(-time.Duration(n.monotonic - e.Time)).Round(0)
	return f
}

// name appends what a record tells: first what the policy said of the packet, if the record carries that, then what
// became of it.
func (n *namer) name(flows []*Flow, e *abi.Event) []*Flow {
	f := n.flow(e)
	n.parties(f)
	f.Published = published(e)
	f.Rule = n.rule(f)
	if judged, ok := judgement(e); ok {
		v := n.flow(&judged)
		v.Source, v.Destination, v.Endpoint = f.Source, f.Destination, f.Endpoint
		v.SourceNames, v.DestinationNames, v.Published, v.Rule = f.SourceNames, f.DestinationNames, f.Published, f.Rule
		flows = append(flows, v)
	}
	return append(flows, f)
}

// judgement returns the record of what the policy said of the packet of another record, which carries it. What audit lets
// through though it is denied has a record of its own.
func judgement(e *abi.Event) (v abi.Event, ok bool) {
	v = *e
	v.Type = abi.EventVerdict
	switch {
	case e.Type == abi.EventTrace && e.Judged == abi.JudgedAllowed:
		v.Reason = uint16(abi.DropNone)
		return v, true
	case e.Type == abi.EventDrop && e.Judged == abi.JudgedDenied:
		return v, true
	case e.Type == abi.EventDrop && e.Judged == abi.JudgedAllowed: // dropped for another reason
		v.Reason = uint16(abi.DropNone)
		return v, true
	}
	return v, false
}

// published returns the host port that the packet's connection was opened to.
func published(e *abi.Event) uint16 {
	if e.Frontend != 0 {
		return e.Frontend.Host()
	}
	return e.DNATPort.Host()
}

// rule names what decided.
func (n *namer) rule(f *Flow) *Rule {
	e := &f.Kernel
	if asked := e.Judged != abi.JudgedNo || f.ByPolicy(); !asked || e.Rule == 0 || sideName(e.Side) == "" {
		return nil
	}
	if r := n.names.Rule(e.Slot, e.Revision, e.Side, e.Rule); r != nil {
		return r
	}
	return &Rule{Place: "rule " + strconv.Itoa(int(e.Rule)) + " of revision " + strconv.Itoa(int(e.Revision))}
}

// parties names both ends. The container's own end is known by its slot, whatever address the packet claims.
func (n *namer) parties(f *Flow) {
	e := &f.Kernel
	src, dst := f.Src(), f.Dst()
	switch e.Point {
	case abi.PointEgress:
		f.Endpoint = n.names.Slot(e.Slot)
		f.Source, f.Destination = f.Endpoint, n.peer(dst, e.Identity)
	case abi.PointIngress:
		f.Endpoint = n.names.Slot(e.Slot)
		f.Source, f.Destination = n.peer(src, e.Identity), f.Endpoint
	default: // the way out and in: who is no container and not the host is the world
		f.Source, f.Destination = n.peer(src, abi.IdentityWorld), n.peer(dst, abi.IdentityWorld)
	}
	if f.Source == nil {
		f.Source = nobody
	}
	if f.Destination == nil {
		f.Destination = nobody
	}
	f.SourceNames, f.DestinationNames = f.Source.Domains, f.Destination.Domains
}

// peer names an address, else the identity that the program gave it; nil if neither is known.
func (n *namer) peer(addr netip.Addr, identity uint32) *Party {
	if !addr.IsValid() {
		return nil
	}
	if p := n.names.Addr(addr); p != nil {
		return p
	}
	if identity == abi.IdentityUnknown {
		return nil
	}
	return n.names.Identity(identity)
}
