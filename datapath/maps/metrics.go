package maps

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/internal/abi"
)

// Direction is where packets were counted.
type Direction uint8

// The directions.
const (
	Egress  Direction = abi.DirectionEgress  // from containers
	Ingress Direction = abi.DirectionIngress // to containers
	Uplink  Direction = abi.DirectionUplink  // from and to uplinks
)

// String returns egress, ingress or uplink.
func (d Direction) String() string {
	switch d {
	case Egress:
		return "egress"
	case Ingress:
		return "ingress"
	case Uplink:
		return "uplink"
	}
	return fmt.Sprintf("direction %d", uint8(d))
}

// Metric counts the packets of one direction that had one fate; Reason 0 is forwarded.
type Metric struct {
	Direction Direction
	Reason    abi.DropReason
	abi.Counter
}

// Metrics is the map metrics.
type Metrics struct{ m *ebpf.Map }

// NewMetrics types the map metrics.
func NewMetrics(m *ebpf.Map) *Metrics { return &Metrics{m} }

// List returns the counters that are not zero, by direction and reason.
func (s *Metrics) List() ([]Metric, error) {
	var out []Metric
	for key := range s.m.MaxEntries() {
		sum, err := sumCPUs(s.m, key)
		if err != nil {
			return nil, fmt.Errorf("list map metrics: %w", err)
		}
		if sum != (abi.Counter{}) {
			out = append(out, Metric{Direction(key / abi.DropReasons), abi.DropReason(key % abi.DropReasons), sum})
		}
	}
	return out, nil
}

func sumCPUs(m *ebpf.Map, key uint32) (sum abi.Counter, err error) {
	var values []abi.Counter
	if err := m.Lookup(key, &values); err != nil {
		return sum, err
	}
	for _, v := range values {
		sum.Packets += v.Packets
		sum.Bytes += v.Bytes
	}
	return sum, nil
}
