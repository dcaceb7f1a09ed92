package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/datapath/maps"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/internal/netns"
	"github.com/sluice-net/sluice/internal/testutil"
)

// replacementsEnv is how often TestPrivilegedReplacements replaces the policies; a thousand takes two minutes.
const replacementsEnv = "SLUICE_REPLACEMENTS"

// fate is what the policies say of a port: the same always, or another thing with each version.
type fate int

const (
	allowed fate = iota
	denied
	flipping
)

// ports are those of each fate.
var ports = map[fate][]int{allowed: {7000, 7001, 7002, 7003}, denied: {7100, 7101}, flipping: {7200, 7201}}

// shut says whether a version of the policies denies what flips.
func shut(version int) bool { return version%2 == 1 }

// replacement is a version of both containers' policies. What it denies is denied by both, or by one of them.
func replacement(version int) string {
	named := func(flips bool) string {
		list := fmt.Sprintf(`{port: "%d", protocol: ANY}, {port: "7000", endPort: 7003, protocol: ANY}`, 20000+version%20000)
		if flips {
			list += `, {port: "7200", endPort: 7201, protocol: ANY}`
		}
		return list
	}
	by := version / 2 % 3
	return fmt.Sprintf(`apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: client}
spec:
  endpointSelector: {matchLabels: {app: client}}
  egress: [{toEndpoints: [{matchLabels: {app: server}}], toPorts: [{ports: [%s]}]}]
---
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: server}
spec:
  endpointSelector: {matchLabels: {app: server}}
  ingress: [{fromEndpoints: [{matchLabels: {app: client}}], toPorts: [{ports: [%s]}]}]
`, named(!shut(version) || by == 1), named(!shut(version) || by == 2))
}

// theatre is a client and a server, and what runs between them.
type theatre struct {
	*host
	client, server   sandbox
	addrs            [2]netip.Addr // the server's
	streams          *streams
	pairs            []*pair
	callers, knocked *caller
}

// TestPrivilegedReplacements replaces the policies of two containers again and again, while connections and streams of
// datagrams between them go on. No packet that each version allows is lost, none that each version denies passes, and
// of what some versions allow, all passes while they are in force and nothing while the others are: so the counters at
// both ends say.
func TestPrivilegedReplacements(t *testing.T) {
	testutil.Privileged(t)
	rounds, err := strconv.Atoi(os.Getenv(replacementsEnv))
	if err != nil {
		rounds = 60
	}
	h := newHost(t)
	h.dual, h.options = true, []string{"--flows", "16384"}
	h.start()
	h.makeNetwork()
	th := &theatre{host: h, client: h.container("ee01", "client-1"), server: h.container("ee02", "server-1")}
	th.addrs = [2]netip.Addr{h.held["ee02"].Addr(), h.held6["ee02"].Addr()}
	th.begin()
	before := th.balance()
	start := time.Now()
	for version := range rounds {
		th.replace(version + 1)
	}
	took := time.Since(start)
	if shut(rounds) {
		th.replace(rounds + 1) // what flips is to go on
	}
	th.end(before)
	t.Logf("%d replacements in %s", rounds, took.Round(time.Millisecond))
	for _, endpoint := range []string{"ee01", "ee02"} {
		if err := h.detach(endpoint, h.insist); err != nil {
			t.Fatal(err)
		}
	}
	th.client.close(t)
	th.server.close(t)
	h.removeNetwork()
	h.end(syscall.SIGTERM)
}

// begin opens everything while no policy denies it, also what will be denied.
func (th *theatre) begin() {
	th.t.Helper()
	th.streams = newStreams(th)
	th.pairs = th.connect()
	th.apply(0)
	th.streams.run()
	for _, p := range th.pairs {
		p.run()
	}
	th.callers, th.knocked = th.call(), th.knock()
}

// replace applies a version and watches what passes while nothing but it is in force.
func (th *theatre) replace(version int) {
	th.t.Helper()
	s := th.streams
	s.enter(changing)
	th.apply(version)
	now, cut := open, segments(th.pairs, denied)
	if shut(version) {
		now, cut = closed, segments(th.pairs, denied, flipping)
	}
	s.enter(now)
	s.wait(3)
	s.enter(between)
	for p, n := range cut {
		if m := p.segments(); m != n {
			th.t.Errorf("version %d: a connection to port %d that is denied had %d segments at its ends, now %d", version, p.port, n, m)
		}
	}
	s.check(version)
}

// apply puts a version of the policies in force, for both containers.
func (th *theatre) apply(version int) {
	th.t.Helper()
	change, err := th.control.ApplyPolicies(th.t.Context(), api.ApplyRequest{
		Sources: []api.PolicySource{{Source: "replaced.yaml", Text: replacement(version)}}, Waiting: api.Waiting{Wait: true}})
	if err != nil {
		th.t.Fatalf("version %d: %v\n%s", version, err, &th.output)
	}
	for _, r := range change.Regenerations {
		if r.Error != "" {
			th.t.Fatalf("version %d: %s", version, r.Error)
		}
	}
	if len(change.Regenerations) != 2 {
		th.t.Fatalf("version %d: %d containers have other programs, want 2", version, len(change.Regenerations))
	}
}

// end waits until everything that is allowed has arrived, and compares the counters of both ends.
func (th *theatre) end(before balance) {
	th.t.Helper()
	calls, knocks := th.callers.end(), th.knocked.end()
	if calls.done == 0 || knocks.done == 0 {
		th.t.Errorf("%d connections were opened and %d tried in vain, want some", calls.done, knocks.done)
	}
	if calls.lost != 0 {
		th.t.Errorf("%d segments of new connections were lost", calls.lost)
	}
	blocks := map[fate]int64{}
	for _, p := range th.pairs {
		if p.fate == flipping {
			p.progress(th.t)
		}
		blocks[p.fate] += p.blocks.Load()
		if p.fate == allowed {
			p.lostNone(th.t)
		}
	}
	th.streams.end()
	for _, p := range th.pairs {
		p.end(th.t)
	}
	after := th.balance()
	if gone, dropped := after.gone-before.gone, after.dropped-before.dropped; gone > dropped {
		th.t.Errorf("%d packets went and did not come, %d were dropped", gone, dropped)
	}
	if after.other != before.other {
		th.t.Errorf("%d packets were dropped for another reason than policy", after.other-before.other)
	}
	th.t.Logf("blocks over allowed, denied, flipping connections: %v; %d connections opened, %d tried in vain; datagrams: %s; %d packets dropped",
		blocks, calls.done, knocks.done, th.streams, after.dropped-before.dropped)
}

// balance is what the devices and the programs have counted.
type balance struct {
	gone    int64 // packets that one container's device sent, less those that the other's received
	dropped int64 // by the programs
	other   int64 // of these, not by policy, nor because they are for many
}

// balance reads the counters once they stand still.
func (th *theatre) balance() balance {
	th.t.Helper()
	var b balance
	th.waitFor(func() string {
		now, again := th.count(), th.count()
		if b = again; now != again {
			return "the counters do not stand still"
		}
		return ""
	})
	return b
}

func (th *theatre) count() (b balance) {
	th.t.Helper()
	m, err := ebpf.LoadPinnedMap(filepath.Join(netns.BPFDir, "kill", "maps", "metrics"), nil)
	if err != nil {
		th.t.Fatal(err)
	}
	defer m.Close()
	for _, s := range []sandbox{th.client, th.server} {
		sent, received := s.counters(th.t)
		b.gone += int64(sent) - int64(received)
	}
	all, err := maps.NewMetrics(m).List()
	if err != nil {
		th.t.Fatal(err)
	}
	for _, c := range all {
		switch c.Reason {
		case abi.DropNone:
		case abi.DropPolicyDenied, abi.DropMulticast:
			b.dropped += int64(c.Packets)
		default:
			b.dropped += int64(c.Packets)
			b.other += int64(c.Packets)
		}
	}
	return b
}

// counters are the packets that the container's device sent and received.
func (s sandbox) counters(t *testing.T) (sent, received uint64) {
	t.Helper()
	nl, err := s.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer nl.Close()
	link, err := nl.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	return link.Attrs().Statistics.TxPackets, link.Attrs().Statistics.RxPackets
}
