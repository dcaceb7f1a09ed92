package datapath

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// generation changes whenever the same Program and object would be loaded differently than before.
const generation = 1

// fingerprintSize is the size of the constant FINGERPRINT, bytes.
const fingerprintSize = 16

// Fingerprint identifies what p's programs are made from. Programs of equal fingerprints, loaded from the same objects,
// are the same.
func (p Program) Fingerprint() string { return hex.EncodeToString(p.fingerprint()) }

func (p Program) fingerprint() []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d %d %d %d %d %s %s %s %s %s %s %t %t %t", generation, p.Slot, p.Identity, p.Network, p.Revision,
		p.HostIfindex, p.HostMAC, p.MAC, p.IPv4, p.IPv6, p.Gateway4, p.Gateway6, p.Closed, p.Internal, p.Masquerade)
	fmt.Fprintf(h, " egress %s ingress %s", p.Egress.Hash(), p.Ingress.Hash())
	return h.Sum(nil)[:fingerprintSize]
}
