package maps

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/internal/abi"
)

// EventBudget is the map event_budget: what the programs of each container wrote of each class of events.
type EventBudget struct{ m *ebpf.Map }

// NewEventBudget types the map event_budget.
func NewEventBudget(m *ebpf.Map) *EventBudget { return &EventBudget{m} }

// Of returns what the programs of a slot wrote of a class (abi.EventsFlows and so on) since the map was made, and lost for
// lack of budget or of room.
func (e *EventBudget) Of(slot, class uint32) (b abi.EventBudget, err error) {
	return e.at((slot+1)*abi.EventsClasses + class)
}

// OfNone returns what was written and lost of a class that is about no container's packets.
func (e *EventBudget) OfNone(class uint32) (b abi.EventBudget, err error) { return e.at(class) }

func (e *EventBudget) at(key uint32) (b abi.EventBudget, err error) {
	if err := e.m.Lookup(key, &b); err != nil {
		return b, fmt.Errorf("read budget of events: %w", err)
	}
	return b, nil
}
