package datapath

import (
	"encoding/binary"
	"iter"
	"net"
	"net/netip"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/policy"
)

// The functions of container.bpf.c that compiled policies replace.
const (
	stubEgress  = "policy_egress"
	stubIngress = "policy_ingress"
	stubPublish = "policy_publish"
)

// tables yields the tables of p by the function that each replaces. A closed container judges nothing.
func (p Program) tables() iter.Seq2[string, *policy.Table] {
	return func(yield func(string, *policy.Table) bool) {
		if p.Closed {
			return
		}
		if p.Egress != nil && !yield(stubEgress, p.Egress) {
			return
		}
		if p.Ingress != nil && !yield(stubIngress, p.Ingress) {
			return
		}
		if p.Publish != nil {
			yield(stubPublish, p.Publish)
		}
	}
}

// constants are the values of bpf/abi/config.h for p.
//
// FEATURE_SERVICES is on for every open container: any of them may connect to a published port of the host, ports come
// and go while containers run, and off it would save 10 ns on a connection's first packet only.
func (p Program) constants(version uint32) map[string][]byte {
	values := map[string][]byte{
		"SLOT":                   u32(p.Slot),
		"IDENTITY":               u32(p.Identity),
		"NETWORK":                u32(p.Network),
		"REVISION":               u32(p.Revision),
		"JUDGEMENT":              u32(p.judgement()),
		"ENFORCEMENT":            {byte(p.Enforcement)},
		"HOST_IFINDEX":           u32(uint32(p.HostIfindex)),
		"CONTAINER_MAC":          mac(p.MAC),
		"HOST_MAC":               mac(p.HostMAC),
		"ADDRESS4":               mapped(p.IPv4.Addr()),
		"ADDRESS6":               mapped(p.IPv6.Addr()),
		"GATEWAY4":               mapped(p.Gateway4),
		"GATEWAY6":               mapped(p.Gateway6),
		"SUBNET4":                mapped(p.IPv4.Masked().Addr()),
		"SUBNET6":                mapped(p.IPv6.Masked().Addr()),
		"SUBNET4_BITS":           u32(uint32(max(p.IPv4.Bits(), 0))),
		"SUBNET6_BITS":           u32(uint32(max(p.IPv6.Bits(), 0))),
		"FEATURE_IPV4":           flag(p.IPv4.IsValid()),
		"FEATURE_IPV6":           flag(p.IPv6.IsValid()),
		"FEATURE_INTERNAL":       flag(p.Internal),
		"FEATURE_MASQUERADE":     flag(p.Masquerade),
		"FEATURE_SERVICES":       flag(!p.Closed),
		"FEATURE_POLICY_EGRESS":  flag(p.Egress != nil && !p.Closed),
		"FEATURE_POLICY_INGRESS": flag(p.Ingress != nil && !p.Closed),
		"FEATURE_POLICY_PUBLISH": flag(p.Publish != nil && !p.Closed),
		"EGRESS_DENIES":          u32(p.denies(p.Egress)),
		"INGRESS_DENIES":         u32(p.denies(p.Ingress)),
		"INGRESS_BASE":           u32(base(p.Ingress)),
		"PUBLISH_BASE":           u32(base(p.Publish)),
		"FEATURE_RATE_EGRESS":    flag(p.EgressRate.BitsPerSecond != 0 && !p.Closed),
		"FEATURE_RATE_INGRESS":   flag(p.IngressRate.BitsPerSecond != 0 && !p.Closed),
		"LEVEL":                  {p.level()},
		"CAPTURE":                u32(min(p.Capture, abi.CaptureMax)),
		"VERSION":                u32(version),
		"FINGERPRINT":            p.fingerprint(),
	}
	return values
}

// denies is how many of a table's rules hold whatever the enforcement.
func (p Program) denies(t *policy.Table) uint32 {
	if t == nil || !p.KeepDenies {
		return 0
	}
	return uint32(t.Denies)
}

// base is the number from which on a table's rules are about no peer.
func base(t *policy.Table) uint32 {
	if t == nil {
		return 0
	}
	return uint32(t.Base)
}

// judgement is what flows remember of what p's policies allow.
func (p Program) judgement() uint32 {
	if p.Enforcement == policy.Learn {
		return p.Revision | abi.RevisionLearned
	}
	return p.Revision
}

// level is the enum level of the programs.
func (p Program) level() byte {
	switch p.Level.Effective() {
	case policy.LevelNone:
		return abi.LevelNone
	case policy.LevelDrops:
		return abi.LevelDrops
	case policy.LevelPackets:
		return abi.LevelPackets
	}
	return abi.LevelFlows
}

func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
func u64(v uint64) []byte { return binary.NativeEndian.AppendUint64(nil, v) }
func u16(v uint16) []byte { return binary.NativeEndian.AppendUint16(nil, v) }

func flag(on bool) []byte {
	if on {
		return []byte{1}
	}
	return []byte{0}
}

// mac is six bytes in memory order, then two zero bytes.
func mac(a net.HardwareAddr) []byte {
	b := make([]byte, 8)
	copy(b[:6], a)
	return b
}

// mapped is a v4-mapped address in network order; zero if a is invalid.
func mapped(a netip.Addr) []byte {
	var b [16]byte
	if a.IsValid() {
		b = a.As16()
	}
	return b[:]
}
