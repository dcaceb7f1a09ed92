package observe

import (
	"fmt"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/internal/abi"
)

// balancePeriod is how often the containers' shares are looked at.
const balancePeriod = time.Second

// classRates are how many events of each class one container may write in a second while few want to.
var classRates = [abi.EventsClasses]uint64{
	abi.EventsDenials: abi.EventRateDenials, abi.EventsFlows: abi.EventRateFlows,
	abi.EventsPackets: abi.EventRatePackets, abi.EventsLearn: abi.EventRateLearn,
} // captures have no rate

// budgetSize is the size of an entry of the map event_budget, bytes.
const budgetSize = int(unsafe.Sizeof(abi.EventBudget{}))

// budgets are the maps event_budget and event_limits: what the programs of each container wrote, lost and may write.
type budgets struct {
	counters, limits *ebpf.Map
	memory           *ebpf.Memory // of counters

	mu   sync.Mutex
	now  []abi.EventBudget // as read last
	seen []uint64          // wanted of each entry, when balance looked last
}

func newBudgets(counters, limits *ebpf.Map) (*budgets, error) {
	memory, err := counters.Memory()
	if err != nil {
		return nil, fmt.Errorf("map the budgets of events: %w", err)
	}
	n := counters.MaxEntries()
	return &budgets{counters: counters, limits: limits, memory: memory, now: make([]abi.EventBudget, n)}, nil
}

// read returns all entries, valid until the next read. The caller holds the lock.
func (b *budgets) read() ([]abi.EventBudget, error) {
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&b.now[0])), len(b.now)*budgetSize)
	if _, err := b.memory.ReadAt(bytes, 0); err != nil {
		return nil, fmt.Errorf("read budgets of events: %w", err)
	}
	return b.now, nil
}

// losses sums up what was lost by slot.
func (b *budgets) losses() (Losses, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	entries, err := b.read()
	if err != nil {
		return nil, err
	}
	all := Losses{}
	for key, e := range entries {
		if e.Lost == 0 {
			continue
		}
		slot, class := slotOf(uint32(key))
		if class == abi.EventsCaptures {
			continue // they are no events
		}
		loss := all[slot]
		loss.add(class, e.Lost)
		all[slot] = loss
	}
	return all, nil
}

// add counts events of a class.
func (l *Loss) add(class uint32, n uint64) {
	l.Events += n
	switch class {
	case abi.EventsDenials:
		l.Denials += n
	case abi.EventsFlows:
		l.Flows += n
	case abi.EventsPackets:
		l.Packets += n
	case abi.EventsLearn:
		l.Learn += n
	}
}

// budgetKey is the key of the map event_budget; the first entries are those of the uplinks.
func budgetKey(slot, class uint32) uint32 { return (slot+1)*abi.EventsClasses + class }

// slotOf is what budgetKey was made of.
func slotOf(key uint32) (slot, class uint32) {
	slot, class = key/abi.EventsClasses, key%abi.EventsClasses
	if slot == 0 {
		return NoSlot, class
	}
	return slot - 1, class
}

// balance sets what every container may write in the next second, after what all of them wanted to in the last: no more than
// the daemon reads.
func (b *budgets) balance() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	entries, err := b.read()
	if err != nil {
		return err
	}
	var wanted []uint64
	before := b.seen
	b.seen = slices.Grow(b.seen[:0:0], len(entries))
	for key, e := range entries {
		total := e.Written + e.Lost
		b.seen = append(b.seen, total)
		_, class := slotOf(uint32(key))
		if before == nil || total <= before[key] || classRates[class] == 0 {
			continue
		}
		wanted = append(wanted, min(total-before[key], classRates[class]))
	}
	share := fairShare(wanted, abi.EventRateAll)
	for class, rate := range classRates {
		if rate == 0 {
			continue
		}
		if err := b.limit(uint32(class), min(rate, share)); err != nil {
			return err
		}
	}
	return nil
}

// limit sets the rate of a class; the burst stays as it is.
func (b *budgets) limit(class uint32, rate uint64) error {
	var l abi.EventLimit
	if err := b.limits.Lookup(class, &l); err != nil {
		return fmt.Errorf("read limit of events: %w", err)
	}
	cost := uint64(time.Second) / rate
	if l.Cost == cost {
		return nil
	}
	l.Cost = cost
	if err := b.limits.Put(class, &l); err != nil {
		return fmt.Errorf("write limit of events: %w", err)
	}
	return nil
}

// fairShare is the most that each of those who want so much may have, so that all of them together have no more than there
// is (max-min fairness): who wants less gets that. It is at least 1.
func fairShare(wanted []uint64, there uint64) uint64 {
	slices.Sort(wanted)
	for i, w := range wanted {
		left := uint64(len(wanted) - i)
		if w > there/left {
			return max(there/left, 1)
		}
		there -= w
	}
	return ^uint64(0)
}
