package abi

import (
	"bytes"
	"net/netip"
)

// NewTuple returns the key of the flow between two ends, and whether a is the tuple's lo.
func NewTuple(a, b netip.AddrPort, proto uint8) (Tuple, bool) {
	t := Tuple{
		Lo: FromAddr(a.Addr()), LoPort: ToBE16(a.Port()),
		Hi: FromAddr(b.Addr()), HiPort: ToBE16(b.Port()), Proto: proto,
	}
	order := bytes.Compare(t.Lo[:], t.Hi[:])
	if order < 0 || order == 0 && a.Port() <= b.Port() {
		return t, true
	}
	t.Lo, t.Hi, t.LoPort, t.HiPort = t.Hi, t.Lo, t.HiPort, t.LoPort
	return t, false
}

// Ends returns the initiator's and the responder's ends of flow f under key t.
func (t Tuple) Ends(f Flow) (initiator, responder netip.AddrPort) {
	lo := netip.AddrPortFrom(t.Lo.Addr(), t.LoPort.Host())
	hi := netip.AddrPortFrom(t.Hi.Addr(), t.HiPort.Host())
	if f.Flags&FlowInitiatorLo != 0 {
		return lo, hi
	}
	return hi, lo
}
