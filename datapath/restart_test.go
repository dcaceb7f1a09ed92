package datapath_test

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/datapath/maps"
	"github.com/sluice-net/sluice/internal/netns"
	"github.com/sluice-net/sluice/internal/testutil"
)

const restartPins = netns.BPFDir + "/restart"

// parts are what a daemon makes of this package.
type parts struct {
	loader    *datapath.Loader
	links     *datapath.Links
	uplinks   *datapath.Uplinks
	endpoints *maps.Endpoints
	table     *maps.Uplinks
}

func start(t *testing.T, inUse []uint32) (p parts) {
	t.Helper()
	log := logrus.New()
	log.SetOutput(t.Output())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	host := datapath.CheckHost(datapath.HostOptions{PinDir: restartPins, CgroupFallback: t.TempDir(), Prefix: "slr"})
	must(host.Err())
	checked := time.Now()
	var err error
	p.loader, err = datapath.Open(datapath.Options{PinDir: restartPins, Log: log,
		MapSizes: map[string]uint32{"flows_tcp": 1024, "flows_any": 1024, "nat": 1024}})
	must(err)
	opened := time.Now()
	p.links, err = datapath.OpenLinks(datapath.LinksConfig{Prefix: "slr", PinDir: restartPins, Slots: p.loader.Slots(), Log: log},
		p.loader, inUse)
	must(err)
	linked := time.Now()
	p.endpoints, p.table = maps.NewEndpoints(p.loader.Map("endpoints")), maps.NewUplinks(p.loader.Map("uplinks"))
	p.uplinks, err = datapath.FollowUplinks(datapath.UplinksConfig{Prefix: "slr", PinDir: restartPins, Log: log}, p.loader, p.table, p.endpoints)
	must(err)
	followed := time.Now()
	group, err := os.MkdirTemp(host.Cgroup, "sluice-restart-")
	must(err)
	t.Cleanup(func() { os.Remove(group) })
	must(datapath.AttachSockets(group, restartPins, p.loader))
	t.Logf("%d pairs: checks %v, loader %v, pairs %v, uplinks %v, sockets %v", len(inUse), checked.Sub(began),
		opened.Sub(checked), linked.Sub(opened), followed.Sub(linked), time.Since(followed))
	return p
}

func (p parts) end(t *testing.T) {
	t.Helper()
	p.uplinks.Close()
	if err := p.links.Close(); err != nil {
		t.Error(err)
	}
	if err := p.loader.Close(); err != nil {
		t.Error(err)
	}
}

// TestPrivilegedRestart: a daemon that starts again finds all as it left it, with the real programs and maps.
func TestPrivilegedRestart(t *testing.T) {
	testutil.Privileged(t)
	netns.Unchanged(t, netns.BPFDir)
	defer os.RemoveAll(restartPins)
	first := start(t, nil)
	var slots []uint32
	for range 30 {
		v, err := first.links.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slots = append(slots, v.Slot)
	}
	gateway := netip.MustParseAddr("10.9.0.1")
	if err := first.links.Gateways([]netip.Addr{gateway}); err != nil {
		t.Fatal(err)
	}
	before, err := first.links.List()
	if err != nil {
		t.Fatal(err)
	}
	first.end(t)

	second := start(t, slots)
	defer second.end(t)
	after, err := second.links.List()
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != len(before) {
		t.Fatalf("%d pairs in use, were %d", len(after), len(before))
	}
	for i := range after {
		if after[i].Ifindex != before[i].Ifindex || after[i].Slot != before[i].Slot {
			t.Errorf("pair %+v was %+v", after[i], before[i])
		}
	}
	known, err := second.endpoints.List()
	if err != nil {
		t.Fatal(err)
	}
	if len(known) != 1 || !known[gateway].Host {
		t.Errorf("addresses in the map: %v, want the gateway as the host's", known)
	}
	for _, slot := range slots {
		if err := second.links.Release(slot); err != nil {
			t.Error(err)
		}
	}
	if err := second.links.Gateways(nil); err != nil {
		t.Error(err)
	}
}
