package datapath

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/datapath/compile"
	"github.com/sluice-net/sluice/datapath/obj"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/policy"
)

// The names of the arrays whose slots hold the containers' programs.
const (
	egressSlots  = "egress_slots"
	ingressSlots = "ingress_slots"
)

// Errors of the loader, to be tested with errors.Is.
var (
	// ErrVerifier: the kernel refused a program; what ran before runs on.
	ErrVerifier = errors.New("the kernel refused the program")
	// ErrMapLayout: a pinned map of another layout cannot be replaced while containers run.
	ErrMapLayout = errors.New("pinned map has another layout")
	// ErrSlot: the slot is beyond the arrays.
	ErrSlot = errors.New("no such slot")
	// ErrRevision: flows have no room for the number.
	ErrRevision = errors.New("no such revision")
)

// Options configure Open.
type Options struct {
	// PinDir is a directory on a BPF file system; the shared maps are pinned in its directory maps.
	PinDir string
	// MapSizes overrides the number of entries of shared maps, by name.
	MapSizes map[string]uint32
	// MasqueradePorts are the first and last port that masquerading takes; zero means 32768 to 60999.
	MasqueradePorts [2]uint16
	// FlowInterval is how often a flow that goes on is told of; 0 means DefaultFlowInterval.
	FlowInterval time.Duration
	// TreeLimit is the number of instructions above which a policy is searched in a map; 0 means compile.DefaultLimit.
	TreeLimit int
	// Log receives what an operator should know; nil means the standard logger.
	Log logrus.FieldLogger
}

// Loader loads and replaces programs. Its methods may be called concurrently; calls for one slot wait for each other.
type Loader struct {
	opts      Options
	log       logrus.FieldLogger
	maps      *sharedMaps
	container *template
	shared    *template
	uplink    *template
	socket    *template
	tables    *tables
	pacer     pacer
	version   uint32         // of the containers' and the shared programs, not 0
	slots     [64]sync.Mutex // by slot modulo their number
}

// objects are the compiled BPF objects.
type objects struct{ container, shared, uplink, socket []byte }

// Open reads the embedded objects and creates the shared maps or adopts those that are pinned.
func Open(opts Options) (*Loader, error) {
	return open(objects{obj.Container(), obj.Shared(), obj.Uplink(), obj.Socket()}, opts)
}

func open(o objects, opts Options) (*Loader, error) {
	if opts.Log == nil {
		opts.Log = logrus.StandardLogger()
	}
	if opts.MasqueradePorts == [2]uint16{} {
		opts.MasqueradePorts = [2]uint16{32768, 60999}
	}
	if opts.FlowInterval == 0 {
		opts.FlowInterval = DefaultFlowInterval
	}
	if opts.TreeLimit == 0 {
		opts.TreeLimit = compile.DefaultLimit
	}
	maps, err := openMaps(opts)
	if err != nil {
		return nil, err
	}
	l := &Loader{opts: opts, log: opts.Log, maps: maps, tables: newTables(opts.TreeLimit),
		pacer: pacer{limited: map[uint32]bool{}}}
	if err := l.read(o); err != nil {
		maps.close()
		return nil, fmt.Errorf("open datapath: %w", err)
	}
	return l, nil
}

func (l *Loader) read(o objects) (err error) {
	if l.shared, err = readTemplate("shared", o.shared, l.maps); err != nil {
		return err
	}
	sum, err := l.versionSum(o)
	if err != nil {
		return err
	}
	l.version = binary.NativeEndian.Uint32(sum) | 1
	l.maps.version = hex.EncodeToString(sum[:8])
	if l.container, err = readTemplate("container", o.container, l.maps); err != nil {
		return err
	}
	if l.uplink, err = readTemplate("uplink", o.uplink, l.maps); err != nil {
		return err
	}
	if l.socket, err = readTemplate("socket", o.socket, l.maps); err != nil {
		return err
	}
	for _, name := range []string{egressSlots, ingressSlots, sharedSlots} {
		if l.maps.get(name) == nil {
			return fmt.Errorf("object container has no map %s", name)
		}
	}
	if err := l.setEvents(); err != nil {
		return err
	}
	return l.loadShared()
}

// Close releases the loader's descriptors. What is pinned or attached goes on.
func (l *Loader) Close() error {
	l.tables.close()
	l.maps.close()
	return nil
}

// Map returns a shared map by name, nil if there is none. It belongs to the loader.
func (l *Loader) Map(name string) *ebpf.Map { return l.maps.get(name) }

// Slots is the number of slots.
func (l *Loader) Slots() uint32 { return l.maps.get(egressSlots).MaxEntries() }

// Replace loads and verifies p's programs beside the running ones and then writes both slots. An error before the first
// write leaves the old programs as they were; ErrVerifier carries the end of the verifier's log.
func (l *Loader) Replace(ctx context.Context, p Program) error {
	if err := l.checkSlot(p.Slot); err != nil {
		return err
	}
	if p.Revision == 0 || p.Revision >= abi.RevisionAudited {
		return fmt.Errorf("replace programs of slot %d: revision %d: %w", p.Slot, p.Revision, ErrRevision)
	}
	lock := &l.slots[p.Slot%uint32(len(l.slots))]
	lock.Lock()
	defer lock.Unlock()
	egress, ingress, use, err := l.load(ctx, p)
	if err != nil {
		return fmt.Errorf("replace programs of slot %d: %w", p.Slot, err)
	}
	defer egress.Close()
	defer ingress.Close()
	if err = l.limit(p.Slot, p.EgressRate, p.IngressRate); err == nil {
		err = l.write(p.Slot, egress, ingress)
	}
	if err != nil {
		l.tables.release(use)
		return fmt.Errorf("replace programs of slot %d: %w", p.Slot, err)
	}
	l.tables.occupy(p.Slot, use)
	return nil
}

// load makes both programs. use are the tables that they need as long as they run.
func (l *Loader) load(ctx context.Context, p Program) (egress, ingress *ebpf.Program, use []*table, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, nil, err
	}
	stubs := map[string]*table{}
	defer func() {
		if err != nil {
			l.tables.release(use)
			use = nil
		}
	}()
	for name, t := range p.tables() {
		compiled, err := l.tables.take(t)
		if err != nil {
			return nil, nil, use, fmt.Errorf("%s: %w", name, err)
		}
		stubs[name] = compiled
		use = append(use, compiled)
	}
	constants, err := l.container.constants(p.constants(l.version))
	if err != nil {
		return nil, nil, use, err
	}
	defer constants.Close()
	from, to := "egress", "ingress"
	if p.Closed {
		from, to = "egress_closed", "ingress_closed"
	}
	egress, ingress, err = l.container.both(from, to, constants, stubs)
	return egress, ingress, use, err
}

// write puts the programs into their slots: first what decides what enters, which others may already send to.
func (l *Loader) write(slot uint32, egress, ingress *ebpf.Program) error {
	if err := l.maps.get(ingressSlots).Put(slot, uint32(ingress.FD())); err != nil {
		return fmt.Errorf("write %s: %w", ingressSlots, err)
	}
	if err := l.maps.get(egressSlots).Put(slot, uint32(egress.FD())); err != nil {
		return fmt.Errorf("write %s: %w", egressSlots, err)
	}
	return nil
}

// Clear empties the slot's entries: everything is dropped. Clearing an empty slot succeeds.
func (l *Loader) Clear(slot uint32) error {
	if err := l.checkSlot(slot); err != nil {
		return err
	}
	lock := &l.slots[slot%uint32(len(l.slots))]
	lock.Lock()
	defer lock.Unlock()
	for _, name := range []string{egressSlots, ingressSlots} {
		if err := l.maps.get(name).Delete(slot); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("clear slot %d of %s: %w", slot, name, err)
		}
	}
	l.tables.occupy(slot, nil)
	return l.limit(slot, policy.Rate{}, policy.Rate{})
}

func (l *Loader) checkSlot(slot uint32) error {
	if n := l.Slots(); slot >= n {
		return fmt.Errorf("slot %d of %d: %w", slot, n, ErrSlot)
	}
	return nil
}
