package maps

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/internal/abi"
)

// EventBudget is the map event_budget: what events may still be written, by their type.
type EventBudget struct{ m *ebpf.Map }

// NewEventBudget types the map event_budget.
func NewEventBudget(m *ebpf.Map) *EventBudget { return &EventBudget{m} }

// Lost returns how many events of the type were not written since the map was made, for lack of budget or of room.
func (e *EventBudget) Lost(eventType uint8) (uint64, error) {
	var values []abi.Budget
	if err := e.m.Lookup(uint32(eventType), &values); err != nil {
		return 0, fmt.Errorf("read budget of events of type %d: %w", eventType, err)
	}
	sum := uint64(0)
	for _, v := range values {
		sum += uint64(v.Lost)
	}
	return sum, nil
}
