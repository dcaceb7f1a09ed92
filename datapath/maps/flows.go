package maps

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/service"
)

// tick is the unit of Flow.last: 2^30 ns.
const tick = time.Duration(1 << 30)

// The timeouts of bpf/step/flow.h.
const (
	timeoutEstablished = 8000 * time.Second // TCP, after the handshake
	timeoutOpening     = 60 * time.Second   // TCP before it, and what was never answered
	timeoutReplied     = 180 * time.Second  // not TCP, answered
	timeoutClosed      = 10 * time.Second   // TCP after both FIN, or RST
)

// Flow is one connection.
type Flow struct {
	Proto                uint8
	Initiator, Responder netip.AddrPort // the initiator's own source and the real destination
	State                abi.Flow
	Idle                 time.Duration // since the last packet, to the second
	Timeout              time.Duration // the idle time after which it is over
}

// Expired tells whether the flow is over: its next packet opens a new one.
func (f Flow) Expired() bool { return f.Idle > f.Timeout }

// Flows are the maps flows_tcp and flows_any.
type Flows struct {
	tcp, any *ebpf.Map
	now      func() uint32 // in ticks
	over     func(...abi.Event)
}

// NewFlows types the maps flows_tcp and flows_any.
func NewFlows(tcp, any *ebpf.Map) *Flows { return &Flows{tcp: tcp, any: any, now: coarseNow} }

// coarseNow is the clock that programs stamp flows with.
func coarseNow() uint32 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &ts); err != nil {
		return 0 // the clock exists on every supported kernel
	}
	return uint32(uint64(ts.Nano()) >> 30)
}

// All yields the flows of both maps, the expired ones included. An error is the last thing that it yields.
func (f *Flows) All() iter.Seq2[Flow, error] {
	return func(yield func(Flow, error) bool) {
		for _, m := range []*ebpf.Map{f.tcp, f.any} {
			for b, err := range batches[abi.Tuple, abi.Flow](m) {
				if err != nil {
					yield(Flow{}, fmt.Errorf("list map %s: %w", name(m), err))
					return
				}
				now := f.now()
				for i := range b.keys {
					if !yield(newFlow(b.keys[i], b.values[i], now), nil) {
						return
					}
				}
			}
		}
	}
}

func newFlow(t abi.Tuple, v abi.Flow, now uint32) Flow {
	initiator, responder := t.Ends(v)
	idle := time.Duration(max(int32(now-v.Last), 0)) * tick
	return Flow{Proto: t.Proto, Initiator: initiator, Responder: responder, State: v, Idle: idle.Truncate(time.Second),
		Timeout: timeout(v.Flags, t.Proto)}
}

func timeout(flags uint32, proto uint8) time.Duration {
	switch {
	case proto != unix.IPPROTO_TCP && flags&abi.FlowReplied != 0:
		return timeoutReplied
	case proto != unix.IPPROTO_TCP:
		return timeoutOpening
	case closed(flags):
		return timeoutClosed
	case flags&abi.FlowEstablished != 0:
		return timeoutEstablished
	}
	return timeoutOpening
}

// closed tells whether a TCP connection is over: reset, or closed by both ends.
func closed(flags uint32) bool {
	const bothFIN = abi.FlowFINInitiator | abi.FlowFINResponder
	return flags&abi.FlowReset != 0 || flags&bothFIN == bothFIN
}

// frontend is the address and port that the initiator of a translated flow named.
func (f Flow) frontend() netip.AddrPort {
	return netip.AddrPortFrom(f.State.DNATAddr.Addr(), f.State.DNATPort.Host())
}

// client is the initiator as the frontend saw it: a container that reached itself has the gateway's address in the flow.
func (f Flow) client() netip.AddrPort {
	if f.State.Flags&abi.FlowHairpin != 0 {
		return netip.AddrPortFrom(f.Responder.Addr(), f.Initiator.Port())
	}
	return f.Initiator
}

// reached tells whether the flow was opened to the frontend and came to the backend.
func (f Flow) reached(to service.Frontend, b service.Backend) bool {
	named := f.frontend()
	return f.State.Flags&abi.FlowDNAT != 0 && f.Proto == uint8(to.Proto) &&
		f.Responder == netip.AddrPortFrom(b.Addr, b.Port) &&
		named.Port() == to.Port && (to.Addr.IsUnspecified() || to.Addr == named.Addr())
}

// key is the flow's key.
func (f Flow) key() abi.Tuple {
	t, _ := abi.NewTuple(f.Initiator, f.Responder, f.Proto)
	return t
}

func (f *Flows) of(proto uint8) *ebpf.Map {
	if proto == unix.IPPROTO_TCP {
		return f.tcp
	}
	return f.any
}

// get returns the flow of a key, expired or not.
func (f *Flows) get(key abi.Tuple) (Flow, bool, error) {
	var v abi.Flow
	err := f.of(key.Proto).Lookup(&key, &v)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return Flow{}, false, nil
	}
	if err != nil {
		return Flow{}, false, fmt.Errorf("look up flow: %w", err)
	}
	return newFlow(key, v, f.now()), true, nil
}

// Delete removes a flow; one that is gone succeeds. Its next packet opens a new one, if the policy allows.
func (f *Flows) Delete(flow Flow) error {
	_, err := f.end([]abi.Tuple{flow.key()}, func(Flow) bool { return true })
	return err
}

// deleteIf removes the flows that match. Those are looked at once more right before, for they may live again.
func (f *Flows) deleteIf(match func(Flow) bool) (seen, deleted int, err error) {
	var found []abi.Tuple
	for flow, err := range f.All() {
		if err != nil {
			return seen, 0, err
		}
		seen++
		if match(flow) {
			found = append(found, flow.key())
		}
	}
	deleted, err = f.end(found, match)
	return seen, deleted, err
}

// flowName is what an error calls a flow.
type flowName Flow

func (f flowName) String() string {
	return fmt.Sprintf("flow %d %s -> %s", f.Proto, f.Initiator, f.Responder)
}
