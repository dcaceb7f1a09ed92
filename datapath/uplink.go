package datapath

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/datapath/link"
	"github.com/sluice-net/sluice/identity"
)

// Uplink is what the map uplinks knows of a device.
type Uplink struct {
	Name  string     // not in the map
	Addr4 netip.Addr // what containers are masqueraded as; invalid: none
	Addr6 netip.Addr
	MTU   int
	// NoEthernet: its frames have no Ethernet header.
	NoEthernet bool
	// Paces: its queues (fq) keep a packet until its departure time.
	Paces bool
}

// fields are what the log says of an uplink: addresses that it lacks are left away.
func (u Uplink) fields() logrus.Fields {
	fields := logrus.Fields{"device": u.Name, "mtu": u.MTU}
	for name, a := range map[string]netip.Addr{"ipv4": u.Addr4, "ipv6": u.Addr6} {
		if a.IsValid() {
			fields[name] = a.String()
		}
	}
	return fields
}

// UplinkPrograms makes the program of uplinks (implemented by Loader).
type UplinkPrograms interface {
	// Uplink returns the program that every uplink gets, which the caller closes.
	Uplink() (*ebpf.Program, error)
}

// UplinkTable is the map uplinks, by ifindex.
type UplinkTable interface {
	Put(ifindex int, u Uplink) error
	Delete(ifindex int) error
	List() (map[int]Uplink, error)
}

// HostAddresses is the map endpoints, of which Uplinks owns the entries with Address.Host.
type HostAddresses interface {
	Put(addr netip.Addr, a Address) error
	Delete(addr netip.Addr) error
	List() (map[netip.Addr]Address, error)
}

// HostNetwork is what the host's network is to policy.
type HostNetwork struct {
	LAN   []netip.Prefix // on-link and private routes (link.Network.LAN), sorted
	Addrs []netip.Addr   // the host's own, sorted
}

// UplinksConfig is what FollowUplinks is given.
type UplinksConfig struct {
	Prefix string // of the containers' devices, which are no uplinks
	PinDir string // links are pinned in PinDir/uplinks/IFINDEX
	Clsact bool   // attach by clsact even where the kernel has tcx
	Log    logrus.FieldLogger
}

// Times of the follower.
const (
	uplinksGather = 10 * time.Millisecond // changes come in groups; wait for the rest of one
	uplinksRetry  = time.Second           // after an error
	uplinksCheck  = time.Minute           // in case somebody else detached something
)

// Uplinks keeps the uplinks' programs, the map uplinks and the host's own addresses in the map endpoints true while
// devices, addresses and routes come and go.
type Uplinks struct {
	cfg       UplinksConfig
	hooks     hooks
	table     UplinkTable
	addresses HostAddresses
	program   *ebpf.Program

	mu      sync.Mutex
	current map[int]Uplink
	err     error // of the last synchronisation

	toldMu    sync.Mutex // held while onNetwork is called
	told      HostNetwork
	onNetwork func(HostNetwork)

	changed chan struct{}
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// FollowUplinks brings the programs and maps up to date and then keeps them so, until Close. Links that a former daemon
// pinned are kept, with the new program: no packet is missed.
func FollowUplinks(cfg UplinksConfig, programs UplinkPrograms, table UplinkTable, addresses HostAddresses) (*Uplinks, error) {
	host, err := link.Open(cfg.Prefix)
	if err != nil {
		return nil, fmt.Errorf("follow uplinks: %w", err)
	}
	program, err := programs.Uplink()
	if err != nil {
		host.Close()
		return nil, fmt.Errorf("follow uplinks: %w", err)
	}
	u := &Uplinks{cfg: cfg, table: table, addresses: addresses, program: program, changed: make(chan struct{}, 1),
		hooks: hooks{host: host, dir: filepath.Join(cfg.PinDir, "uplinks"), clsact: cfg.Clsact || !haveTCX()}}
	ctx, cancel := context.WithCancel(context.Background())
	u.stop = cancel
	// Watching begins before the first look, so that nothing falls between.
	ready := make(chan struct{})
	u.done.Go(func() { u.watch(ctx, sync.OnceFunc(func() { close(ready) })) })
	<-ready
	if err := u.sync(); err != nil {
		u.Close()
		return nil, fmt.Errorf("follow uplinks: %w", err)
	}
	u.done.Go(func() { u.follow(ctx) })
	return u, nil
}

// Close stops following. Programs and maps stay as they are.
func (u *Uplinks) Close() {
	u.stop()
	u.done.Wait()
	u.program.Close()
	u.hooks.host.Close()
}

// List returns the current uplinks by ifindex, and what is wrong with them, if anything.
func (u *Uplinks) List() (map[int]Uplink, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.current, u.err
}

// OnNetwork has f called, with what the host's network is, now and whenever that changed. The calls come one after
// another.
func (u *Uplinks) OnNetwork(f func(HostNetwork)) {
	u.toldMu.Lock()
	defer u.toldMu.Unlock()
	u.onNetwork = f
	f(u.told)
}

// tell remembers what the host's network is, and tells it if it changed.
func (u *Uplinks) tell(now HostNetwork) {
	u.toldMu.Lock()
	defer u.toldMu.Unlock()
	if !slices.Equal(now.LAN, u.told.LAN) {
		u.cfg.Log.WithField("prefixes", now.LAN).Info("local network")
	} else if slices.Equal(now.Addrs, u.told.Addrs) {
		return
	}
	u.told = now
	if u.onNetwork != nil {
		u.onNetwork(now)
	}
}

// watch subscribes, and again when the subscription breaks; then everything may have changed.
func (u *Uplinks) watch(ctx context.Context, ready func()) {
	defer ready()
	for ctx.Err() == nil {
		err := u.hooks.host.Watch(ctx, ready, u.notify)
		if err == nil {
			return
		}
		u.cfg.Log.WithError(err).Warn("uplinks: subscribing again")
		ready()
		select {
		case <-ctx.Done():
		case <-time.After(uplinksRetry):
		}
		u.notify()
	}
}

func (u *Uplinks) notify() {
	select {
	case u.changed <- struct{}{}:
	default:
	}
}

func (u *Uplinks) follow(ctx context.Context) {
	timer := time.NewTimer(uplinksCheck)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-u.changed:
			select {
			case <-ctx.Done():
				return
			case <-time.After(uplinksGather):
			}
		}
		timer.Reset(uplinksCheck)
		if err := u.sync(); err != nil {
			u.cfg.Log.WithError(err).Warn("uplinks: trying again")
			timer.Reset(uplinksRetry)
		}
	}
}

// sync makes everything true once. What fails for one device does not keep the others from being done.
func (u *Uplinks) sync() error {
	n, err := u.hooks.host.Network()
	if err != nil {
		return u.note(nil, err)
	}
	u.tell(HostNetwork{LAN: n.LAN(), Addrs: n.HostAddrs()})
	want := map[int]Uplink{}
	for _, l := range n.Uplinks() {
		want[l.Ifindex] = Uplink{Name: l.Name, Addr4: l.Addr4, Addr6: l.Addr6, MTU: l.MTU,
			NoEthernet: l.NoEthernet, Paces: l.Paces}
	}
	// The maps first: the programs of a new uplink find themselves in them.
	err = errors.Join(u.syncAddresses(n.HostAddrs()), u.syncTable(want), u.detachOthers(n, want))
	for _, ifindex := range sortedKeys(want) {
		err = errors.Join(err, u.attach(ifindex))
	}
	return u.note(want, err)
}

func (u *Uplinks) note(now map[int]Uplink, err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.err = err
	if now == nil {
		return err
	}
	for _, ifindex := range sortedKeys(now) {
		if old, ok := u.current[ifindex]; !ok || old != now[ifindex] {
			u.cfg.Log.WithFields(now[ifindex].fields()).Info("uplink")
		}
	}
	for _, ifindex := range sortedKeys(u.current) {
		if _, ok := now[ifindex]; !ok {
			u.cfg.Log.WithField("device", u.current[ifindex].Name).Info("no longer an uplink")
		}
	}
	u.current = now
	return err
}

// attach gives a device the program, and takes the other one away that older versions had for what leaves. A device that
// disappeared meanwhile is no error: the next look sees it.
func (u *Uplinks) attach(ifindex int) error {
	name := strconv.Itoa(ifindex)
	err := u.hooks.attach(name, ifindex, link.Ingress, u.program)
	if err == nil {
		err = u.hooks.detach(name, ifindex, link.Egress)
	}
	if err != nil {
		if !u.hooks.host.Has(ifindex) {
			return nil
		}
		return err
	}
	return u.hooks.settle(name, ifindex)
}

// detachOthers removes the programs of devices that are no uplinks, or no longer.
func (u *Uplinks) detachOthers(n link.Network, want map[int]Uplink) error {
	names, err := u.hooks.names()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		ifindex, err := strconv.Atoi(name)
		if _, ok := want[ifindex]; err != nil || !ok {
			errs = append(errs, u.hooks.unpin(name))
		}
	}
	for _, d := range n.Devices {
		_, is := want[d.Ifindex]
		_, was := u.current[d.Ifindex]
		// At first any device may have filters of a former daemon.
		if !is && (was || u.current == nil) && !d.Own && !d.Loopback {
			errs = append(errs, u.hooks.unfilter(d.Ifindex))
		}
	}
	return errors.Join(errs...)
}

func (u *Uplinks) syncTable(want map[int]Uplink) error {
	have, err := u.table.List()
	if err != nil {
		return err
	}
	var errs []error
	for _, ifindex := range sortedKeys(want) {
		w := want[ifindex]
		h, ok := have[ifindex]
		if h.Name = w.Name; !ok || h != w {
			errs = append(errs, u.table.Put(ifindex, w))
		}
	}
	for _, ifindex := range sortedKeys(have) {
		if _, ok := want[ifindex]; !ok {
			errs = append(errs, u.table.Delete(ifindex))
		}
	}
	return errors.Join(errs...)
}

// syncAddresses makes the host's addresses the only entries with Host. An address that a container has stays the
// container's.
func (u *Uplinks) syncAddresses(want []netip.Addr) error {
	have, err := u.addresses.List()
	if err != nil {
		return err
	}
	var errs []error
	host := Address{Identity: uint32(identity.Host), Host: true}
	for _, a := range want {
		switch h, ok := have[a]; {
		case !ok:
			errs = append(errs, u.addresses.Put(a, host))
		case !h.Host:
			errs = append(errs, fmt.Errorf("add host address %s: container with slot %d has it", a, h.Slot))
		}
	}
	for a, h := range have {
		if _, found := slices.BinarySearchFunc(want, a, netip.Addr.Compare); h.Host && !found {
			errs = append(errs, u.addresses.Delete(a))
		}
	}
	return errors.Join(errs...)
}

func sortedKeys[V any](m map[int]V) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
