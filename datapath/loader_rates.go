package datapath

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/policy"
)

// ratesMap is the map of the containers' limits.
const ratesMap = "rates"

// The burst of a limit that names none. TCP that loses its packets at an empty bucket is silent for 200 ms if the round
// trip is short, and must find that time's worth of tokens then; a packet of a local sender can have 64 KiB.
const (
	defaultBurst    = 250 * time.Millisecond
	defaultBurstMin = 64 << 10 // bytes
	maxBurst        = time.Minute
)

// burstOf is how long the burst of a limit takes at its rate.
func burstOf(r policy.Rate) time.Duration {
	if r.BurstBytes == 0 {
		return max(defaultBurst, durationOf(defaultBurstMin, r.BitsPerSecond))
	}
	return durationOf(r.BurstBytes, r.BitsPerSecond)
}

// durationOf is how long so many bytes take at a rate, at most maxBurst.
func durationOf(bytes, bitsPerSecond uint64) time.Duration {
	high, low := bits.Mul64(bytes, uint64(8*time.Second))
	if bitsPerSecond == 0 || high >= bitsPerSecond {
		return maxBurst
	}
	ns, _ := bits.Div64(high, low, bitsPerSecond)
	return time.Duration(min(ns, uint64(maxBurst)))
}

// limit writes the limits of a slot's two directions. What is used of one stays used; one that does not change is not
// written. Sockets look here too (bpf/step/pace.h), so that a limit that ends must go. That they cannot be paced is not an
// error: the limit holds without.
func (l *Loader) limit(slot uint32, egress, ingress policy.Rate) error {
	m := l.maps.get(ratesMap)
	if m == nil {
		return nil // the object knows no limits; a feature that it lacks was refused before
	}
	for direction, r := range map[uint32]policy.Rate{abi.DirectionEgress: egress, abi.DirectionIngress: ingress} {
		key := slot*2 + direction
		var now abi.Rate
		if err := m.Lookup(key, &now); err != nil {
			return fmt.Errorf("read limit of slot %d: %w", slot, err)
		}
		want := now
		want.BitsPerSecond, want.Burst = r.BitsPerSecond, 0
		if r.BitsPerSecond != 0 {
			want.Burst = uint64(burstOf(r))
		}
		if want == now {
			continue
		}
		if err := m.Put(key, &want); err != nil {
			return fmt.Errorf("write limit of slot %d: %w", slot, err)
		}
	}
	if err := l.pace(slot, egress.BitsPerSecond != 0 || ingress.BitsPerSecond != 0); err != nil {
		l.log.WithError(err).Warn("sockets of this host don't pace themselves to the limits of containers")
	}
	return nil
}
