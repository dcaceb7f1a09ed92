package datapath

import (
	"fmt"
	"time"

	"github.com/sluice-net/sluice/internal/abi"
)

// DefaultFlowInterval is how often a flow that goes on is told of.
const DefaultFlowInterval = 5 * time.Second

// flowTick is the unit of the flows' clock.
const flowTick = time.Duration(1 << 30)

// eventBurst is how long a container that was quiet may write events as fast as it likes, in terms of its rate. The ring holds
// what some of them write at once; denials are few.
const (
	eventBurst  = 250 * time.Millisecond
	denialBurst = time.Second
)

// setEvents writes what holds for the events of all programs, those of an adopted container included. The limits are those of
// few containers that write: observe lowers them.
func (l *Loader) setEvents() error {
	interval := max((l.opts.FlowInterval+flowTick/2)/flowTick, 1)
	if err := l.put("settings", 0, &abi.Settings{FlowInterval: uint32(interval)}); err != nil {
		return err
	}
	for class, rate := range map[uint32]uint64{abi.EventsDenials: abi.EventRateDenials, abi.EventsFlows: abi.EventRateFlows,
		abi.EventsPackets: abi.EventRatePackets, abi.EventsLearn: abi.EventRateLearn} {
		limit := abi.EventLimit{Cost: uint64(time.Second) / rate, Burst: uint64(eventBurst)}
		if class == abi.EventsDenials {
			limit.Burst = uint64(denialBurst)
		}
		if err := l.put("event_limits", class, &limit); err != nil {
			return err
		}
	}
	return nil
}

// put writes an entry of a shared map that only some objects have.
func (l *Loader) put(name string, key uint32, value any) error {
	m := l.maps.get(name)
	if m == nil {
		return nil
	}
	if err := m.Put(key, value); err != nil {
		return fmt.Errorf("write map %s: %w", name, err)
	}
	return nil
}
