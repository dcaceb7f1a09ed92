package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/service"
	"github.com/sluice-net/sluice/store"
	"github.com/sluice-net/sluice/store/bolt"
)

func identityOf(n uint32) identity.ID { return identity.ID(n) }

// fakeEngine is Docker as the use-cases see it.
type fakeEngine struct {
	mu         sync.Mutex
	down       bool // it does not answer
	networks   map[string]string
	endpoints  map[string]Container // by endpoint id
	networkOf  map[string]string    // by endpoint id
	containers map[string]bool      // all ids
}

func newFakeEngine() *fakeEngine {
	return &fakeEngine{networks: map[string]string{}, endpoints: map[string]Container{}, networkOf: map[string]string{}, containers: map[string]bool{}}
}

func (e *fakeEngine) do(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

// attach makes the engine list a container's endpoint.
func (e *fakeEngine) attach(networkID, endpointID string, c Container) {
	e.do(func() { e.endpoints[endpointID], e.networkOf[endpointID], e.containers[c.ID] = c, networkID, true })
}

func (e *fakeEngine) detach(endpointID string) {
	e.do(func() { delete(e.endpoints, endpointID); delete(e.networkOf, endpointID) })
}

func (e *fakeEngine) Attachment(ctx context.Context, networkID, endpointID string) (Attachment, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down {
		return Attachment{}, errors.New("no answer")
	}
	c, ok := e.endpoints[endpointID]
	if !ok {
		return Attachment{}, ErrUnknown
	}
	return Attachment{EndpointID: endpointID, NetworkName: e.networks[networkID], Container: c}, nil
}

func (e *fakeEngine) Networks(context.Context) ([]EngineNetwork, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down {
		return nil, errors.New("no answer")
	}
	var all []EngineNetwork
	for id, name := range e.networks {
		n := EngineNetwork{ID: id, Name: name}
		for ep, c := range e.endpoints {
			if e.networkOf[ep] == id {
				n.Attachments = append(n.Attachments, Attachment{EndpointID: ep, NetworkName: name, Container: c})
			}
		}
		all = append(all, n)
	}
	return all, nil
}

// Domains are a container's name, and an alias with the network's.
func (e *fakeEngine) Domains(_ context.Context, containerID string) (map[string][]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down {
		return nil, errors.New("no answer")
	}
	all := map[string][]string{}
	for ep, c := range e.endpoints {
		if c.ID == containerID {
			all[ep] = []string{c.Name, "alias-on-" + e.networks[e.networkOf[ep]]}
		}
	}
	return all, nil
}

func (e *fakeEngine) ContainerIDs(context.Context) ([]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.containers)), nil
}

// fakeLeases remembers what was reported to be in use.
type fakeLeases struct {
	mu    sync.Mutex
	inUse []netip.Addr
}

func (l *fakeLeases) Reclaim(_ context.Context, inUse []netip.Addr) ([]netip.Addr, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inUse = inUse
	return nil, nil
}

// fakeSockets reserves host ports; taken are the host's own sockets.
type fakeSockets struct {
	mu       sync.Mutex
	taken    map[uint16]bool
	reserved map[service.Frontend]bool
}

func (s *fakeSockets) Reserve(f service.Frontend) (io.Closer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[f.Port] || s.reserved[f] {
		return nil, errors.New("address already in use")
	}
	s.reserved[f] = true
	return closer(func() { s.mu.Lock(); defer s.mu.Unlock(); delete(s.reserved, f) }), nil
}

type closer func()

func (c closer) Close() error { c(); return nil }

// world is a host with an engine, on which daemons live and die.
type world struct {
	*Manager
	t       testing.TB
	kernel  *fakeKernel
	engine  *fakeEngine
	leases  *fakeLeases
	sockets *fakeSockets
	store   store.Store
	clock   time.Time
	clockMu sync.Mutex
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldIn(t, t.TempDir())
}

// newWorldIn keeps the store in a directory.
func newWorldIn(t testing.TB, dir string) *world {
	t.Helper()
	s, err := bolt.Open(filepath.Join(dir, "sluice.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w := &world{t: t, kernel: newFakeKernel(t), engine: newFakeEngine(), leases: &fakeLeases{}, store: s,
		clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.start()
	return w
}

func (w *world) now() time.Time {
	w.clockMu.Lock()
	defer w.clockMu.Unlock()
	return w.clock
}

// later lets time pass.
func (w *world) later(d time.Duration) {
	w.clockMu.Lock()
	defer w.clockMu.Unlock()
	w.clock = w.clock.Add(d)
}

// start makes a daemon on what the one before left.
func (w *world) start() {
	w.t.Helper()
	if err := w.tryStart(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) tryStart() error {
	log := logrus.New()
	log.SetOutput(io.Discard)
	w.sockets = &fakeSockets{taken: map[uint16]bool{}, reserved: map[service.Frontend]bool{}}
	used, err := UsedSlots(context.Background(), w.store)
	if err != nil {
		return err
	}
	w.kernel.mu.Lock()
	for slot := range w.kernel.pairs { // as datapath.OpenLinks does
		if !slices.Contains(used, slot) {
			delete(w.kernel.pairs, slot)
		}
	}
	w.kernel.mu.Unlock()
	w.Manager = NewManager(Options{
		Store: faultyStore{w.store, w.kernel.faults}, Programs: fakePrograms{w.kernel}, Addresses: fakeAddresses{w.kernel},
		Links: fakeLinks{w.kernel}, Frontends: fakeFrontends{w.kernel}, Engine: w.engine, Leases: w.leases,
		Ports:      service.NewRegistry(w.sockets, service.Ephemeral{First: 40000, Last: 40100}),
		DefaultMTU: func() int { return 1500 }, Now: w.now, Log: log,
	})
	return w.Restore(context.Background())
}

// must fails the test on an error.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// settle runs passes until nothing is asked for any more.
func (w *world) settle() {
	w.t.Helper()
	for {
		select {
		case <-w.regeneration.wanted:
			w.must(w.catchUp(context.Background()))
		default:
			return
		}
	}
}

// id makes an id of the length of Docker's.
func id(kind string, n int) string { return fmt.Sprintf("%s%062x", kind, n) }

func networkRequest(n int) NetworkRequest {
	return NetworkRequest{
		ID:      id("aa", n),
		IPv4:    []Subnet{{Pool: netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", n)), Gateway: netip.MustParseAddr(fmt.Sprintf("10.%d.0.1", n))}},
		IPv6:    []Subnet{{Pool: netip.MustParsePrefix(fmt.Sprintf("fd00:%d::/64", n)), Gateway: netip.MustParseAddr(fmt.Sprintf("fd00:%d::1", n))}},
		Options: NetworkOptions{Policy: PolicyDefault, Masquerade: true},
	}
}

func endpointRequest(network, n int) EndpointRequest {
	return EndpointRequest{
		NetworkID: id("aa", network), ID: id("ee", network*1000+n),
		IPv4: netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.%d/16", network, 1+n/256, n%256)),
		IPv6: netip.MustParsePrefix(fmt.Sprintf("fd00:%d::%x/64", network, n+0x100)),
	}
}

func container(n int, labels ...string) Container {
	c := Container{ID: id("cc", n), Name: fmt.Sprintf("c%d", n), Image: "probe", Labels: map[string]string{}}
	for _, l := range labels {
		k, v, _ := strings.Cut(l, "=")
		c.Labels[k] = v
	}
	return c
}

func joinRequest(network, n int) JoinRequest {
	return JoinRequest{NetworkID: id("aa", network), EndpointID: id("ee", network*1000+n), SandboxKey: fmt.Sprintf("/run/docker/netns/%d", n)}
}

func portsRequest(network, n int, host uint16) PortsRequest {
	return PortsRequest{NetworkID: id("aa", network), EndpointID: id("ee", network*1000+n),
		Ports: []service.Mapping{{Proto: service.TCP, Port: 80, HostPort: host}}}
}

// network makes a network that the engine knows too.
func (w *world) makeNetwork(n int) {
	w.t.Helper()
	w.engine.do(func() { w.engine.networks[id("aa", n)] = fmt.Sprintf("net%d", n) })
	w.must(w.CreateNetwork(context.Background(), networkRequest(n)))
}

// run starts container n on a network.
func (w *world) run(network, n int, labels ...string) *Endpoint {
	w.t.Helper()
	w.must(w.tryRun(network, n, labels...))
	e, _ := w.endpoint(id("ee", network*1000+n))
	return e
}

func (w *world) tryRun(network, n int, labels ...string) error {
	if _, err := w.CreateEndpoint(context.Background(), endpointRequest(network, n)); err != nil {
		return err
	}
	w.engine.attach(id("aa", network), id("ee", network*1000+n), container(n, labels...))
	_, err := w.Join(context.Background(), joinRequest(network, n))
	return err
}

// stop ends container n on a network as Docker does.
func (w *world) stop(network, n int) error {
	ctx, ep := context.Background(), id("ee", network*1000+n)
	w.engine.detach(ep)
	return errors.Join(w.Revoke(ctx, id("aa", network), ep), w.Leave(ctx, id("aa", network), ep), w.DeleteEndpoint(ctx, id("aa", network), ep))
}

func (w *world) apply(documents ...string) uint64 {
	w.t.Helper()
	change, err := w.ApplyPolicies(context.Background(), []api.PolicySource{{Source: "test.yaml", Text: strings.Join(documents, "\n---\n")}})
	w.must(err)
	return change.Revision
}

// only is a policy: port 5432 of containers labelled app=db is open to those labelled app=PEER.
func only(peer string) string {
	return `apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: db}
spec:
  endpointSelector: {matchLabels: {app: db}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: ` + peer + `}}]
    toPorts: [{ports: [{port: "5432", protocol: TCP}]}]
`
}

// check compares records, kernel, sockets and store with each other: nothing may lack and nothing be left.
func (w *world) check() {
	w.t.Helper()
	k := w.kernel
	k.mu.Lock()
	defer k.mu.Unlock()
	var slots, pairs []uint32
	var addrs, gateways []netip.Addr
	frontends := map[service.Frontend]service.Backend{}
	records := []string{}
	identities := map[identity.ID]bool{}
	for _, n := range w.networksAll() {
		gateways = append(gateways, n.gateways()...)
		records = append(records, networkPrefix+n.ID)
	}
	for _, e := range w.endpointsAll() {
		records = append(records, endpointPrefix+e.ID)
		if !e.Identity.Reserved() {
			identities[e.Identity] = true
		}
		if _, ok := w.judgements[e.ID]; ok {
			records = append(records, judgePrefix+e.ID)
		}
		if e.Veth != nil {
			pairs = append(pairs, e.Veth.Slot)
		}
		if !e.joined() {
			continue
		}
		slots, addrs = append(slots, e.Veth.Slot), append(addrs, e.addrs()...)
		for _, p := range e.Published {
			frontends[p.Frontend] = p.Backend
		}
		w.checkEndpoint(e)
	}
	for id := range identities {
		records = append(records, fmt.Sprintf("%s%d", identityPrefix, id))
	}
	stored, err := w.store.List(context.Background(), "")
	w.must(err)
	keys := []string{}
	for _, s := range stored {
		if !strings.HasPrefix(s.Key, "next/") && !strings.HasPrefix(s.Key, policyPrefix) && !strings.HasPrefix(s.Key, changePrefix) && !strings.HasPrefix(s.Key, learnPrefix) {
			keys = append(keys, s.Key)
		}
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"slots with programs", sorted(maps.Keys(k.slots)), sorted(slices.Values(slots))},
		{"pairs", sorted(maps.Keys(k.pairs)), sorted(slices.Values(pairs))},
		{"addresses", sortedAddrs(maps.Keys(k.addresses)), sortedAddrs(slices.Values(addrs))},
		{"gateways", sortedAddrs(slices.Values(k.gateways)), sortedAddrs(slices.Values(gateways))},
		{"frontends", k.frontends, frontends},
		{"reserved ports", len(w.sockets.reserved), len(frontends)},
		{"records", keys, sorted(slices.Values(records))},
		{"identities in memory", len(w.identities.List()), len(identities)},
		{"retired identities", len(w.retired), 0},
	} {
		if d := cmp.Diff(c.want, c.got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			w.t.Errorf("%s (-want +got):\n%s", c.what, d)
		}
	}
}

// checkEndpoint compares what runs for a joined endpoint with a plan made from nothing.
func (w *world) checkEndpoint(e *Endpoint) {
	w.t.Helper()
	k := w.kernel
	fresh := plans{publish: w.PublishDefault}
	s := w.observe()
	fresh.adapt(s)
	for _, j := range s.jobs {
		if j.endpoint != e {
			continue
		}
		judgement := w.judgements[e.ID]
		want := j.makeProgram(judgement.Revision, fresh.resolve(j))
		p, ok := k.slots[e.Veth.Slot]
		switch {
		case !ok:
			w.t.Errorf("endpoint %s: nothing runs", e.Container.Name)
		case p.Fingerprint() != want.Fingerprint():
			w.t.Errorf("endpoint %s runs other programs than it should:\n%s", e.Container.Name, cmp.Diff(fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", p)))
		}
		if r := w.running[e.ID]; r == nil || r.failure != nil || r.print != want.Fingerprint() {
			w.t.Errorf("endpoint %s: running is not known rightly: %+v", e.Container.Name, r)
		}
		for _, a := range e.addrs() {
			if got := k.addresses[a]; got.Slot != e.Veth.Slot || got.Identity != uint32(e.Identity) {
				w.t.Errorf("address %s is %+v", a, got)
			}
		}
	}
}

func sorted[T uint32 | string](s func(func(T) bool)) []T {
	all := slices.Sorted(s)
	if all == nil {
		all = []T{}
	}
	return all
}

func sortedAddrs(s func(func(netip.Addr) bool)) []netip.Addr {
	all := slices.SortedFunc(s, netip.Addr.Compare)
	if all == nil {
		all = []netip.Addr{}
	}
	return all
}
