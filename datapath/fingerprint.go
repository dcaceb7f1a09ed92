package datapath

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/sluice-net/sluice/policy"
)

// generation changes whenever the same Program and object would be loaded differently than before.
const generation = 1

// fingerprintSize is the size of the constant FINGERPRINT, bytes.
const fingerprintSize = 16

// tableHash names a table by everything that its compiled form depends on.
type tableHash [sha256.Size]byte

// Fingerprint identifies what p's programs are made from. Programs of equal fingerprints, loaded from the same objects,
// are the same.
func (p Program) Fingerprint() string { return hex.EncodeToString(p.fingerprint()) }

func (p Program) fingerprint() []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d %d %d %d %d %s %s %s %s %s %s %t %t %t", generation, p.Slot, p.Identity, p.Network, p.Revision,
		p.HostIfindex, p.HostMAC, p.MAC, p.IPv4, p.IPv6, p.Gateway4, p.Gateway6, p.Closed, p.Internal, p.Masquerade)
	for _, t := range []*policy.Table{p.Egress, p.Ingress} {
		if t == nil {
			h.Write([]byte{0})
			continue
		}
		sum := hashTable(t)
		h.Write([]byte{1})
		h.Write(sum[:])
	}
	return h.Sum(nil)[:fingerprintSize]
}

// hashTable covers what a table answers, not what its rules are called.
func hashTable(t *policy.Table) (out tableHash) {
	w := hasher{Hash: sha256.New()}
	for _, p := range t.Defaults {
		w.profile(p)
	}
	w.numbers(uint32(len(t.Identities)))
	for _, i := range t.Identities {
		w.numbers(uint32(i.ID))
		w.profile(i.Profile)
	}
	for _, c := range t.CIDRs {
		first, last := c.First.As16(), c.Last.As16()
		w.buf = append(append(w.buf, first[:]...), last[:]...)
		w.profile(c.Profile)
	}
	w.flush()
	w.Sum(out[:0])
	return out
}

// hasher collects small writes.
type hasher struct {
	hash.Hash
	buf []byte
}

func (w *hasher) flush() {
	w.Write(w.buf)
	w.buf = w.buf[:0]
}

func (w *hasher) numbers(ns ...uint32) {
	for _, n := range ns {
		w.buf = binary.LittleEndian.AppendUint32(w.buf, n)
	}
	if len(w.buf) > 4096 {
		w.flush()
	}
}

func (w *hasher) profile(p policy.Profile) {
	w.numbers(uint32(len(p)))
	for _, e := range p {
		w.numbers(e.From, uint32(e.Rule)<<8|uint32(e.Verdict))
	}
}
