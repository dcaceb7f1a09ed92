package maps

import (
	"fmt"
	"iter"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/abi"
)

// youngMapping is how long a mapping may be without a flow: the flow may be about to be entered.
const youngMapping = time.Minute

// Mapping is one translated flow as its other end sees it: masqueraded, or to a published port.
type Mapping struct {
	Proto    uint8
	External [2]netip.AddrPort // the two ends outside: the host's and the peer's, in the key's order
	Inner    netip.AddrPort    // the container's
	Source   bool              // masqueraded: the container opened it
	Idle     time.Duration     // since it was made or last used
	key      abi.Tuple
}

// NAT is the map nat.
type NAT struct {
	m   *ebpf.Map
	now func() uint32 // in ticks
}

// NewNAT types the map nat.
func NewNAT(m *ebpf.Map) *NAT { return &NAT{m: m, now: coarseNow} }

// All yields the mappings. An error is the last thing that it yields.
func (n *NAT) All() iter.Seq2[Mapping, error] {
	return func(yield func(Mapping, error) bool) {
		for b, err := range batches[abi.Tuple, abi.NAT](n.m) {
			if err != nil {
				yield(Mapping{}, fmt.Errorf("list map nat: %w", err))
				return
			}
			now := n.now()
			for i := range b.keys {
				if !yield(newMapping(b.keys[i], b.values[i], now), nil) {
					return
				}
			}
		}
	}
}

func newMapping(k abi.Tuple, v abi.NAT, now uint32) Mapping {
	return Mapping{
		Proto: k.Proto,
		External: [2]netip.AddrPort{
			netip.AddrPortFrom(k.Lo.Addr(), k.LoPort.Host()), netip.AddrPortFrom(k.Hi.Addr(), k.HiPort.Host())},
		Inner:  netip.AddrPortFrom(v.Addr.Addr(), v.Port.Host()),
		Source: v.Flags&abi.NATSource != 0,
		Idle:   time.Duration(max(int32(now-v.Last), 0)) * tick,
		key:    k,
	}
}

// keep remembers the backend of a flow that was opened to a frontend; ifindex is that of the backend's host-side veth.
func (n *NAT) keep(f Flow, ifindex uint32) error {
	key, _ := abi.NewTuple(f.client(), f.frontend(), f.Proto)
	value := abi.NAT{Addr: abi.FromAddr(f.Responder.Addr()), Port: abi.ToBE16(f.Responder.Port()),
		Flags: abi.NATDestination, Last: n.now(), Ifindex: ifindex}
	if err := n.m.Put(&key, &value); err != nil {
		return fmt.Errorf("keep %s: %w", flowName(f), err)
	}
	return nil
}

// Free removes the mappings whose flow is over, and tells how many there were.
func (n *NAT) Free(flows *Flows) (int, error) {
	var orphans []Mapping
	for m, err := range n.All() {
		if err != nil {
			return 0, err
		}
		if m.Idle < youngMapping {
			continue
		}
		alive, err := m.alive(flows)
		if err != nil {
			return 0, err
		}
		if !alive {
			orphans = append(orphans, m)
		}
	}
	for i, m := range orphans {
		if err := remove(n.m, &m.key, mappingName(m)); err != nil {
			return i, err
		}
	}
	return len(orphans), nil
}

// alive asks for the flow between the container and either external end: which of them is the peer shows there.
func (m Mapping) alive(flows *Flows) (bool, error) {
	for _, peer := range m.External {
		if peer.Addr() == m.Inner.Addr() { // it reached itself by a frontend; the flow has another address of it
			return m.Idle < timeoutEstablished, nil
		}
		if m.Proto == unix.IPPROTO_ICMP || m.Proto == unix.IPPROTO_ICMPV6 { // both ports are the identifier
			peer = netip.AddrPortFrom(peer.Addr(), m.Inner.Port())
		}
		key, _ := abi.NewTuple(m.Inner, peer, m.Proto)
		flow, ok, err := flows.get(key)
		if err != nil || ok && !flow.Expired() {
			return ok, err
		}
	}
	return false, nil
}

// mappingName is what an error calls a mapping.
type mappingName Mapping

func (m mappingName) String() string { return fmt.Sprintf("mapping of %s", m.Inner) }
