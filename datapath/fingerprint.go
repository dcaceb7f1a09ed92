package datapath

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"

	"github.com/sluice-net/sluice/datapath/obj"
)

// generation changes whenever the same Program and object would be loaded differently than before.
const generation = 1

// objectSum identifies the code: after an upgrade that changed it, no container is adopted with the old one.
var objectSum = sync.OnceValue(func() [sha256.Size]byte {
	h := sha256.New()
	h.Write(obj.Container())
	h.Write(obj.Shared())
	return [sha256.Size]byte(h.Sum(nil))
})

// fingerprintSize is the size of the constant FINGERPRINT, bytes.
const fingerprintSize = 16

// Fingerprint identifies what p's programs are made from, the embedded object included. Programs of equal fingerprints
// are the same.
func (p Program) Fingerprint() string { return hex.EncodeToString(p.fingerprint()) }

func (p Program) fingerprint() []byte {
	h := sha256.New()
	sum := objectSum()
	h.Write(sum[:])
	fmt.Fprintf(h, "%d %d %d %d %d %d %s %s %s %s %s %s %t %t %t", generation, p.Slot, p.Identity, p.Network, p.Revision,
		p.HostIfindex, p.HostMAC, p.MAC, p.IPv4, p.IPv6, p.Gateway4, p.Gateway6, p.Closed, p.Internal, p.Masquerade)
	fmt.Fprintf(h, " egress %s ingress %s publish %s enforcement %d %t", p.Egress.Hash(), p.Ingress.Hash(), p.Publish.Hash(), p.Enforcement, p.KeepDenies)
	fmt.Fprintf(h, " rates %d %d %d %d", p.EgressRate.BitsPerSecond, p.EgressRate.BurstBytes,
		p.IngressRate.BitsPerSecond, p.IngressRate.BurstBytes)
	fmt.Fprintf(h, " level %d capture %d", p.Level.Effective(), p.Capture)
	return h.Sum(nil)[:fingerprintSize]
}
