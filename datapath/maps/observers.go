package maps

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// Observers is the map observers: what somebody listens to, as flags of enum observer_flags in bpf/abi/event.h.
type Observers struct{ m *ebpf.Map }

// NewObservers types the map observers.
func NewObservers(m *ebpf.Map) *Observers { return &Observers{m} }

// Set replaces the flags.
func (o *Observers) Set(flags uint32) error {
	if err := o.m.Put(uint32(0), flags); err != nil {
		return fmt.Errorf("set observers: %w", err)
	}
	return nil
}

// Get returns the flags.
func (o *Observers) Get() (flags uint32, err error) {
	if err := o.m.Lookup(uint32(0), &flags); err != nil {
		return 0, fmt.Errorf("read observers: %w", err)
	}
	return flags, nil
}
