package maps

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/internal/abi"
)

// Slots is the map slots: what was forwarded from and to every container.
type Slots struct{ m *ebpf.Map }

// NewSlots types the map slots.
func NewSlots(m *ebpf.Map) *Slots { return &Slots{m} }

// Get returns what the container of the slot sent and received.
func (s *Slots) Get(slot uint32) (sent, received abi.Counter, err error) {
	if sent, err = sumCPUs(s.m, slot*2+abi.DirectionEgress); err == nil {
		received, err = sumCPUs(s.m, slot*2+abi.DirectionIngress)
	}
	if err != nil {
		return sent, received, fmt.Errorf("read counters of slot %d: %w", slot, err)
	}
	return sent, received, nil
}

// Reset sets the slot's counters to zero, for its next container.
func (s *Slots) Reset(slot uint32) error {
	zero := make([]abi.Counter, ebpf.MustPossibleCPU())
	for _, key := range []uint32{slot*2 + abi.DirectionEgress, slot*2 + abi.DirectionIngress} {
		if err := s.m.Put(key, zero); err != nil {
			return fmt.Errorf("reset counters of slot %d: %w", slot, err)
		}
	}
	return nil
}
