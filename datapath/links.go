package datapath

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/datapath/link"
)

// ErrNoSlot: every slot is taken.
var ErrNoSlot = errors.New("no free slot")

// LinksConfig is what Links are opened with.
type LinksConfig struct {
	Prefix string        // of device names, link.CheckPrefix
	PinDir string        // doors are pinned in PinDir/doors/SLOT
	Pool   int           // pairs made ahead; 0 makes each when it is asked for
	Settle time.Duration // background work waits until nobody asked for anything that long
	Slots  uint32        // slots are 1 to Slots-1, the size of the program arrays
	Clsact bool          // attach doors by clsact even where the kernel has tcx
	Log    logrus.FieldLogger
}

// Links owns the containers' veth pairs and the slots that go with them.
//
// A slot is busy from the moment its pair is begun until the pair is gone, so that no two containers ever share a slot.
// Making a pair and removing it cost tens of milliseconds in which the kernel lets nobody else change the network;
// both are done in the background, and pairs with their doors stand ready for Take.
type Links struct {
	cfg   LinksConfig
	doors DoorPrograms
	front hooks // for what a caller waits for
	back  hooks // for the background, on its own connection

	mu      sync.Mutex
	slots   map[uint32]*slotState
	ready   []uint32 // slots of the pool, oldest first
	touched time.Time
	failed  time.Time // when the background last failed

	turn chan struct{} // closed and replaced whenever the background did something
	wake chan struct{}
	stop context.CancelFunc
	done chan struct{}
}

// slotState is what a busy slot is used for.
type slotState struct {
	stage stage
	pair  link.Pair
}

type stage int

const (
	stageMaking   stage = iota // the pair is being made
	stagePooled                // in the pool
	stageTaken                 // a container's
	stageReleased              // to be removed
)

// OpenLinks finds the pairs that exist. Those of the slots in use are kept; all others, the former pool and what a crash
// left, are removed in the background, with pins that have no pair. It starts to fill the pool.
func OpenLinks(cfg LinksConfig, doors DoorPrograms, inUse []uint32) (*Links, error) {
	if cfg.Slots < 2 {
		return nil, fmt.Errorf("open links: %d slots leave none for containers", cfg.Slots)
	}
	l := &Links{cfg: cfg, doors: doors, slots: map[uint32]*slotState{}, turn: make(chan struct{}),
		wake: make(chan struct{}, 1), done: make(chan struct{})}
	clsact := cfg.Clsact || !haveTCX()
	for _, k := range []*hooks{&l.front, &l.back} {
		host, err := link.Open(cfg.Prefix)
		if err != nil {
			l.closeHosts()
			return nil, fmt.Errorf("open links: %w", err)
		}
		*k = hooks{host: host, dir: filepath.Join(cfg.PinDir, "doors"), clsact: clsact}
	}
	if err := l.adopt(inUse); err != nil {
		l.closeHosts()
		return nil, fmt.Errorf("open links: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	go l.work(ctx)
	return l, nil
}

// adopt fills slots from what the kernel and the pins have.
func (l *Links) adopt(inUse []uint32) error {
	pairs, err := l.front.host.List()
	if err != nil {
		return err
	}
	for slot, p := range pairs {
		s := &slotState{stage: stageReleased, pair: p}
		if slices.Contains(inUse, slot) {
			s.stage = stageTaken
		}
		l.slots[slot] = s
	}
	names, err := l.front.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		slot, err := strconv.ParseUint(name, 10, 32)
		if err == nil && l.slots[uint32(slot)] == nil {
			l.slots[uint32(slot)] = &slotState{stage: stageReleased}
		}
	}
	for slot, s := range l.slots {
		if s.stage != stageTaken {
			continue
		}
		// The doors may be missing after a crash, or belong to program arrays whose pins were lost.
		if err := l.front.hang(l.doors, slot, s.pair.Ifindex); err != nil {
			return err
		}
		if err := l.front.settle(slotPins(slot), s.pair.Ifindex); err != nil {
			return err
		}
	}
	return nil
}

func (l *Links) closeHosts() {
	for _, k := range []hooks{l.front, l.back} {
		if k.host != nil {
			k.host.Close()
		}
	}
}

// Close removes the pool, finishes what was released and stops the background work. Containers' pairs stay.
func (l *Links) Close() error {
	l.stop()
	<-l.done
	l.mu.Lock()
	for _, slot := range l.ready {
		l.slots[slot].stage = stageReleased
	}
	l.ready = nil
	l.mu.Unlock()
	var errs []error
	for {
		slot, ok := l.nextReleased()
		if !ok {
			break
		}
		if err := l.remove(slot); err != nil {
			errs = append(errs, err)
			l.mu.Lock()
			delete(l.slots, slot)
			l.mu.Unlock()
		}
	}
	l.closeHosts()
	return errors.Join(errs...)
}

// Take gives a pair from the pool, or makes one. If no slot is free it waits for those that will soon be; ErrNoSlot says
// that all are containers'.
func (l *Links) Take(ctx context.Context) (Veth, error) {
	defer l.kick()
	for {
		slot, s, turn := l.pop()
		if s != nil {
			if link.Exists(s.pair) {
				return veth(s.pair), nil
			}
			l.setStage(slot, stageReleased) // somebody deleted it
			continue
		}
		v, err := l.takeNew()
		if !errors.Is(err, ErrNoSlot) || !l.slotsComing() {
			return v, err
		}
		l.kick()
		select {
		case <-turn:
		case <-ctx.Done():
			return Veth{}, errors.Join(err, ctx.Err())
		}
	}
}

// slotsComing reports whether the background will have a pair or a free slot.
func (l *Links) slotsComing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.slots {
		if s.stage != stageTaken {
			return true
		}
	}
	return false
}

// pop takes the oldest pair of the pool, nil if it is empty, and says when to look again.
func (l *Links) pop() (uint32, *slotState, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.touched = time.Now()
	if len(l.ready) == 0 {
		return 0, nil, l.turn
	}
	slot := l.ready[0]
	l.ready = l.ready[1:]
	s := l.slots[slot]
	s.stage = stageTaken
	return slot, s, l.turn
}

func (l *Links) takeNew() (Veth, error) {
	slot, err := l.reserve()
	if err != nil {
		return Veth{}, fmt.Errorf("take veth pair: %w", err)
	}
	p, err := l.build(l.front, slot)
	if err != nil {
		return Veth{}, fmt.Errorf("take veth pair: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.slots[slot] = slotState{stage: stageTaken, pair: p}
	return veth(p), nil
}

// reserve marks the lowest free slot as busy.
func (l *Links) reserve() (uint32, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for slot := uint32(1); slot < l.cfg.Slots; slot++ {
		if l.slots[slot] == nil {
			l.slots[slot] = &slotState{stage: stageMaking}
			return slot, nil
		}
	}
	return 0, fmt.Errorf("%w: all %d are taken", ErrNoSlot, l.cfg.Slots-1)
}

// build makes the pair of a reserved slot and hangs its doors. On error the slot is given back to be cleaned.
func (l *Links) build(k hooks, slot uint32) (link.Pair, error) {
	p, err := k.host.Create(slot)
	if err == nil {
		err = k.hang(l.doors, slot, p.Ifindex)
	}
	if err != nil {
		l.setStage(slot, stageReleased)
		return link.Pair{}, err
	}
	return p, nil
}

func (l *Links) setStage(slot uint32, to stage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slots[slot].stage = to
}

// Configure sets the peer's MAC, both MTUs, and the host's routes and neighbours to the addresses; idempotent.
func (l *Links) Configure(v Veth, c LinkConfig) error {
	l.touch()
	err := l.front.host.Configure(v.Slot, link.Config{MAC: c.MAC, MTU: c.MTU, Addrs: c.Addrs, Gateways: c.Gateways})
	if err != nil {
		return fmt.Errorf("configure slot %d: %w", v.Slot, err)
	}
	return nil
}

// Release gives a slot back. The routes are gone when it returns; the pair, its doors and pins go in the background,
// and only then the slot is free. A slot that is free already succeeds.
func (l *Links) Release(slot uint32) error {
	defer l.kick()
	l.mu.Lock()
	s := l.slots[slot]
	if s == nil || s.stage != stageTaken {
		l.mu.Unlock()
		return nil
	}
	s.stage = stageReleased
	l.touched = time.Now()
	l.mu.Unlock()
	if err := l.front.host.Unroute(slot); err != nil {
		return fmt.Errorf("release slot %d: %w", slot, err)
	}
	return nil
}

// List returns the pairs in use that exist in the kernel, by slot.
func (l *Links) List() ([]Veth, error) {
	pairs, err := l.front.host.List()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []Veth
	for slot, p := range pairs {
		if s := l.slots[slot]; s != nil && s.stage == stageTaken {
			list = append(list, veth(p))
		}
	}
	slices.SortFunc(list, func(a, b Veth) int { return cmp.Compare(a.Slot, b.Slot) })
	return list, nil
}

// Gateways makes the host own exactly these gateway addresses, beside addresses that are not Sluice's.
func (l *Links) Gateways(addrs []netip.Addr) error {
	l.touch()
	return l.front.host.SetGateways(addrs)
}

func (l *Links) touch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.touched = time.Now()
}

func veth(p link.Pair) Veth {
	return Veth{Slot: p.Slot, Host: p.Name, Ifindex: p.Ifindex, HostMAC: p.MAC, Peer: p.Peer}
}
