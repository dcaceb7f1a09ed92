package endpoint

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/store"
)

// Options are what a Manager works with.
type Options struct {
	Store     Store
	Programs  Programs
	Addresses Addresses
	Links     Links
	Frontends Frontends
	Engine    Engine
	Leases    Leases
	Ports     Registry
	// Prober is asked by explanations; nil: the tables answer.
	Prober Prober
	// Connections are the kernel's, for what a change of policy would cut; nil: none are looked at.
	Connections func(ctx context.Context, yield func(api.Connection) bool) error
	PolicyDir   PolicyDir  // nil: there is none
	DefaultMTU  func() int // of the uplink, for networks without sluice.mtu
	// HostDNS returns the servers that the host asks; nil: none.
	HostDNS func() []netip.Addr
	// Observe is what is told of packets of containers of which neither label nor network says it.
	Observe policy.Level
	// PublishDefault is who may reach published ports that no rule is about.
	PublishDefault policy.PublishDefault
	Recorder       Recorder         // nil: nobody counts
	Journal        Journal          // nil: nobody reads it
	Now            func() time.Time // the clock; nil: time.Now
	Log            logrus.FieldLogger
}

// Recorder counts how programs were made. Its methods are called by several goroutines.
type Recorder interface {
	// Replaced tells that an endpoint's programs were made, loaded and swapped, or with an error that they were not.
	Replaced(took time.Duration, err error)
	// Passed tells that the kernel follows all changes made before a pass began, or with an error that the pass could
	// not be made. Endpoints that failed in it were told by Replaced.
	Passed(took time.Duration, err error)
}

// unrecorded is the Recorder where nobody counts.
type unrecorded struct{}

func (unrecorded) Replaced(time.Duration, error) {}
func (unrecorded) Passed(time.Duration, error)   {}

// Store is what the use-cases need of the store.
type Store interface {
	List(ctx context.Context, prefix string) ([]store.Entry, error)
	Apply(ctx context.Context, ops ...store.Op) error
}

// Manager keeps networks, endpoints, identities and policies, and makes the kernel follow. All methods may be called
// concurrently.
type Manager struct {
	Options

	// calls serialises the calls for one object, by id. Who needs several takes them in this order: "networks", a
	// network's, "labels/" and a container's, an endpoint's (those of one sandbox in the order of their ids).
	calls keyedMutex

	// numbers is held while an identity comes or goes, until the store has it.
	numbers sync.Mutex

	// publishing is held while ports come or go, until record and services map agree.
	publishing sync.Mutex

	hints   hints
	parties *parties

	// learning guards what containers in mode learn were seen to do.
	learning   sync.Mutex
	recordings map[string]*Recording // by subject
	unsaved    map[string]bool       // subjects

	// mu guards the state below. Records are immutable, the maps hold the newest.
	mu         sync.RWMutex
	networks   map[string]*Network
	endpoints  map[string]*Endpoint
	identities *identity.Allocator
	policies   *policy.Set
	documents  map[string]*Document
	changes    map[string]*LabelChange // by container id
	generation uint64                  // counts changes of anything that programs are made from
	judgements map[string]Judgement    // by endpoint id
	mentions   mentions                // of containers' names
	refused    map[string]refusal      // by endpoint id
	host       datapath.HostNetwork
	running    map[string]*running // by endpoint id
	captures   map[string]uint32   // by container's name: bytes of its packets that its programs capture
	retired    []identity.ID       // one hold each, to be released when a pass has ended their use

	policyFiles  policyFiles
	regeneration regeneration
	plans        plans                           // guarded by regeneration.mu
	published    map[netip.Addr]datapath.Address // what the address map has of ours; guarded by regeneration.mu
	kick         chan struct{}                   // asks Follow for a reconciliation
	renamed      chan struct{}                   // asks FollowDomains to look
	kinds        sync.Map                        // *Document → its kind
}

// NewManager returns a Manager without state; Restore fills it.
func NewManager(o Options) *Manager {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Recorder == nil {
		o.Recorder = unrecorded{}
	}
	if o.Journal == nil {
		o.Journal = unwritten{}
	}
	if o.HostDNS == nil {
		o.HostDNS = func() []netip.Addr { return nil }
	}
	m := &Manager{
		Options:    o,
		networks:   map[string]*Network{},
		endpoints:  map[string]*Endpoint{},
		identities: identity.NewAllocator(),
		policies:   &policy.Set{},
		documents:  map[string]*Document{},
		changes:    map[string]*LabelChange{},
		published:  map[netip.Addr]datapath.Address{},
		judgements: map[string]Judgement{},
		mentions:   newMentions(),
		refused:    map[string]refusal{},
		running:    map[string]*running{},
		kick:       make(chan struct{}, 1),
		renamed:    make(chan struct{}, 1),
		recordings: map[string]*Recording{},
		unsaved:    map[string]bool{},
		parties:    newParties(o.Now),
	}
	m.plans.publish = o.PublishDefault
	m.regeneration.init()
	return m
}

// network returns the record of a network.
func (m *Manager) network(id string) (*Network, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, ok := m.networks[id]
	return n, ok
}

// endpoint returns the record of an endpoint.
func (m *Manager) endpoint(id string) (*Endpoint, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	e, ok := m.endpoints[id]
	return e, ok
}

// save makes the record of an endpoint durable, then current, and counts a change. An identity that the endpoint no
// longer has is retired.
func (m *Manager) save(ctx context.Context, e *Endpoint, more ...store.Op) error {
	return m.saveAll(ctx, []*Endpoint{e}, more...)
}

// saveAll saves the records of several endpoints, all or none.
func (m *Manager) saveAll(ctx context.Context, all []*Endpoint, ops ...store.Op) error {
	for _, e := range all {
		op, err := put(endpointPrefix+e.ID, e)
		if err != nil {
			return err
		}
		ops = append(ops, op)
	}
	if err := m.Store.Apply(ctx, ops...); err != nil {
		return fmt.Errorf("store endpoint %s: %w", short(all[0].ID), err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range all {
		old := m.endpoints[e.ID]
		if old != nil && old.Identity != e.Identity && !old.Identity.Reserved() {
			m.retired = append(m.retired, old.Identity)
		}
		m.mentions.replace(old, e)
		m.endpoints[e.ID] = e
		m.index(e)
		m.writeSaved(old, e)
	}
	m.generation++
	return nil
}

// erase deletes the record of an endpoint, and counts a change.
func (m *Manager) erase(ctx context.Context, e *Endpoint) error {
	err := m.Store.Apply(ctx, store.Remove(endpointPrefix+e.ID), store.Remove(judgePrefix+e.ID))
	if err != nil {
		return fmt.Errorf("store endpoint %s: %w", short(e.ID), err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mentions.replace(m.endpoints[e.ID], nil)
	delete(m.endpoints, e.ID)
	m.writeErased(e)
	m.parties.remove(e.ID)
	delete(m.judgements, e.ID)
	delete(m.refused, e.ID)
	m.generation++
	return nil
}

// short abbreviates an id as Docker does.
func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

// keyedMutex is one mutex per key; the zero value is ready.
type keyedMutex struct {
	mu   sync.Mutex
	held map[string]*keyHolder
}

type keyHolder struct {
	sync.Mutex
	users int
}

// lock locks the keys' mutexes in their order and returns the function that unlocks them.
func (k *keyedMutex) lock(keys ...string) (unlock func()) {
	var unlocks []func()
	for _, key := range keys {
		unlocks = append(unlocks, k.lockOne(key))
	}
	return func() {
		for i := len(unlocks) - 1; i >= 0; i-- {
			unlocks[i]()
		}
	}
}

func (k *keyedMutex) lockOne(key string) func() {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[string]*keyHolder{}
	}
	h := k.held[key]
	if h == nil {
		h = &keyHolder{}
		k.held[key] = h
	}
	h.users++
	k.mu.Unlock()
	h.Lock()
	return func() {
		h.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if h.users--; h.users == 0 {
			delete(k.held, key)
		}
	}
}

// list reads all records below a prefix of the store.
func list[T any](ctx context.Context, s Store, prefix string, each func(key string, record *T) error) error {
	entries, err := s.List(ctx, prefix)
	if err != nil {
		return fmt.Errorf("read %s: %w", strings.TrimSuffix(prefix, "/"), err)
	}
	for _, e := range entries {
		record, err := decode[T](e)
		if err != nil {
			return err
		}
		if err := each(strings.TrimPrefix(e.Key, prefix), record); err != nil {
			return err
		}
	}
	return nil
}
