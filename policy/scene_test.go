package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/identity"
)

// host is a small host: shop's web and db, a job of no project, on the network front, and another on back.
type host struct {
	set      *Set
	universe *Universe
	members  []Member
}

func shopLabels(service string) identity.Labels {
	return identity.Labels{identity.LabelProject: "shop", identity.LabelService: service, identity.LabelNetwork: "front"}
}

func newHost(t testing.TB, documents ...string) *host {
	t.Helper()
	var policies []*Policy
	for i, text := range documents {
		list, err := Parse(strings.NewReader(text), fmt.Sprintf("file%d.yaml", i))
		if err != nil {
			t.Fatal(err)
		}
		policies = append(policies, list...)
	}
	set, err := NewSet(policies...)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{set: set}
	labels := []identity.Labels{shopLabels("web"), shopLabels("db"),
		{"app": "job", identity.LabelNetwork: "front"}, {"app": "far", identity.LabelNetwork: "back"}}
	var known []KnownIdentity
	for i, l := range labels {
		known = append(known, KnownIdentity{ID: identity.First + identity.ID(i), Labels: l})
	}
	h.universe = NewUniverse(known...).WithLAN([]netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")})
	names := []string{"shop/web", "shop/db", "job", "far"}
	for i, k := range known {
		tables, err := Resolve(set, Subject{Labels: k.Labels}, h.universe)
		if err != nil {
			t.Fatal(err)
		}
		h.members = append(h.members, Member{Group: names[i], ID: k.ID, Network: k.Labels[identity.LabelNetwork], Tables: tables,
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{172, 30, byte(i), 2})}})
	}
	return h
}

const dbFromWeb = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: db}
spec:
  endpointSelector: {matchLabels: {compose.service: db}}
  ingress:
  - fromEndpoints: [{matchLabels: {compose.service: web}}]
    toPorts: [{ports: [{port: "5432", protocol: TCP}]}]
  - fromCIDR: [192.0.2.0/24]
`

const webOut = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web-out}
spec:
  endpointSelector: {matchLabels: {compose.service: web}}
  egress:
  - toEndpoints: [{matchLabels: {compose.service: db}}]
    toPorts: [{ports: [{port: "5432", protocol: TCP}, {port: "80", protocol: TCP}]}]
`

func edges(list []Edge) []string {
	out := []string{}
	for _, e := range list {
		out = append(out, e.From+" -> "+e.To+": "+e.Reach.String())
	}
	return out
}

func TestGraph(t *testing.T) {
	h := newHost(t, dbFromWeb, webOut)
	h.members[0].Published = []Publication{{Protocol: ProtocolTCP, Addr: netip.IPv4Unspecified(), HostPort: 8080, Port: 80},
		{Protocol: ProtocolTCP, Addr: netip.IPv6Unspecified(), HostPort: 8080, Port: 80}}
	h.members[3].Internal = true
	want := []string{
		"@host -> far: any", "@host -> job: any", "@host -> shop/web: any",
		"@world -> shop/web: tcp 80",
		"far -> @host: any",
		"job -> @host: any", "job -> @world: any", "job -> shop/web: any",
		"shop/db -> @host: any", "shop/db -> @world: any", "shop/db -> job: any", "shop/db -> shop/web: any",
		"shop/web -> shop/db: tcp 5432",
	}
	if diff := cmp.Diff(want, edges(Graph(h.members, h.universe))); diff != "" {
		t.Error(diff)
	}
	h.members[1].Routed = true
	if got := edges(Graph(h.members, h.universe)); !slices.Contains(got, "192.0.2.0/24 -> shop/db: any") {
		t.Errorf("the world reaches a routed container by its address: %q", got)
	}
}

func TestGraphKnowsReplicas(t *testing.T) {
	h := newHost(t)
	if got := edges(Graph(h.members[:1], h.universe)); slices.Contains(got, "shop/web -> shop/web: any") {
		t.Error("a container alone has an edge to itself")
	}
	if got := edges(Graph(append(h.members[:1:1], h.members[0]), h.universe)); !slices.Contains(got, "shop/web -> shop/web: any") {
		t.Errorf("two replicas have no edge: %q", got)
	}
}

// TestDiff also holds Diff to Graph: before, without what closed and with what opened, is after.
func TestDiff(t *testing.T) {
	before, after := newHost(t, webOut), newHost(t, dbFromWeb)
	var got []string
	edges := map[[2]string]Reach{}
	for _, e := range Graph(before.members, before.universe) {
		edges[[2]string{e.From, e.To}] = e.Reach
	}
	for _, d := range Diff(before.members, after.members, before.universe) {
		got = append(got, fmt.Sprintf("%s -> %s: +%s -%s", d.From, d.To, d.Opened, d.Closed))
		ends := [2]string{d.From, d.To}
		edges[ends] = edges[ends].Or(d.Opened).Minus(d.Closed)
	}
	want := []string{
		"@host -> shop/db: +nothing -any",
		"job -> shop/db: +nothing -any",
		"shop/web -> @host: +any -nothing",
		"shop/web -> @world: +any -nothing",
		"shop/web -> job: +any -nothing",
		"shop/web -> shop/db: +nothing -tcp 80",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, e := range Graph(after.members, after.universe) {
		if ends := [2]string{e.From, e.To}; !edges[ends].Equal(e.Reach) {
			t.Errorf("%s -> %s: %s by the differences, %s by the graph", e.From, e.To, edges[ends], e.Reach)
		}
	}
}

func exposures(list []Exposure) []string {
	out := []string{}
	for _, e := range list {
		target := ""
		if e.Published {
			target = fmt.Sprintf(" => %d", e.Port)
		}
		out = append(out, fmt.Sprintf("%s %s %s%s from %s by %s", e.Group, e.Address, e.Reach, target, e.From, e.Rule))
	}
	return out
}

func TestExposed(t *testing.T) {
	h := newHost(t, dbFromWeb)
	h.members[1].Published = []Publication{{Protocol: ProtocolTCP, Addr: netip.IPv4Unspecified(), HostPort: 15432, Port: 5432}}
	want := []string{
		"far 172.30.3.2 any from @host by ",
		"far 172.30.3.2 any from @net by ",
		"job 172.30.2.2 any from @host by ",
		"job 172.30.2.2 any from @net by ",
		"shop/db 0.0.0.0 tcp 15432 => 5432 from 192.0.2.0/24 by db: ingress[1]",
		"shop/db 172.30.1.2 tcp 5432 from shop/web by db: ingress[0].toPorts[0]",
		"shop/web 172.30.0.2 any from @host by ",
		"shop/web 172.30.0.2 any from @net by ",
	}
	if diff := cmp.Diff(want, exposures(Exposed(h.members, h.universe))); diff != "" {
		t.Error(diff)
	}
	h.members[1].Routed = true
	if got := exposures(Exposed(h.members, h.universe)); !slices.Contains(got, "shop/db 172.30.1.2 any from 192.0.2.0/24 by db: ingress[1]") {
		t.Errorf("the world reaches a routed container by its address: %q", got)
	}
}

// TestExposedByPublishedPort: a list of a published port opens it to containers that ingress keeps out, and one on a loopback
// address is the host's own.
func TestExposedByPublishedPort(t *testing.T) {
	const publishing = "policies:\n- {name: pub, for: shop/db, ingress: [shop/web:5432], publish: {15432: [\"%s\"]}}\n"
	published := func(t *testing.T, peers, addr string) ([]string, []Edge) {
		h := newHost(t, fmt.Sprintf(publishing, peers))
		h.members[1].Published = []Publication{{Protocol: ProtocolTCP, Addr: netip.MustParseAddr(addr), HostPort: 15432, Port: 5432}}
		var found []string
		for _, e := range exposures(Exposed(h.members, h.universe)) {
			if strings.Contains(e, "=>") {
				found = append(found, e)
			}
		}
		return found, slices.DeleteFunc(Graph(h.members, h.universe), func(e Edge) bool { return e.To != "shop/db" || e.From == NameHost })
	}
	edges := func(list []Edge) (out []string) {
		for _, e := range list {
			out = append(out, e.From+" "+e.Reach.String())
		}
		return out
	}
	for _, tt := range []struct {
		peers, addr  string
		found, edges []string
	}{
		{"label:app=job", "0.0.0.0",
			[]string{"shop/db 0.0.0.0 tcp 15432 => 5432 from job by pub: publish.15432[0] label:app=job"},
			[]string{"job tcp 5432", "shop/web tcp 5432"}},
		{"label:*", "0.0.0.0",
			[]string{"shop/db 0.0.0.0 tcp 15432 => 5432 from @net by pub: publish.15432[0] label:*",
				"shop/db 0.0.0.0 tcp 15432 => 5432 from @other by pub: publish.15432[0] label:*"},
			[]string{"far tcp 5432", "job tcp 5432", "shop/web tcp 5432"}},
		{"@any", "127.0.0.1", nil, []string{"shop/web tcp 5432"}},
	} {
		found, graph := published(t, tt.peers, tt.addr)
		if diff := cmp.Diff(tt.found, found); diff != "" {
			t.Errorf("%s on %s: exposed: %s", tt.peers, tt.addr, diff)
		}
		if diff := cmp.Diff(tt.edges, edges(graph)); diff != "" {
			t.Errorf("%s on %s: graph: %s", tt.peers, tt.addr, diff)
		}
	}
}

func TestAllowList(t *testing.T) {
	h := newHost(t, dbFromWeb)
	h.members[1].Published = []Publication{{Protocol: ProtocolTCP, Addr: netip.IPv4Unspecified(), HostPort: 15432, Port: 5432}}
	for _, tt := range []struct {
		name, list string
		beyond     []string // group, from, ports
	}{
		{"everything", "* any @any # all", nil},
		{"nothing but the database", "shop/db any @any", []string{"far @host any", "far @net any", "job @host any", "job @net any", "shop/web @host any", "shop/web @net any"}},
		{"by name", "far,job any @any", []string{"far @host any", "far @net any", "job @host any", "job @net any", "shop/db 192.0.2.0/24 tcp 15432", "shop/db shop/web tcp 5432", "shop/web @host any", "shop/web @net any"}},
		{"database by service and prefix", "* any @net,@host\n\nshop/db 5432 shop/web\nshop/* 15432/tcp 192.0.0.0/16", nil},
		{"prefix too small", "* any @net,@host\nshop/db 15432 192.0.2.0/25", []string{"shop/db 192.0.2.0/24 tcp 15432"}},
		{"internet holds prefixes", "* any @net,@host\nshop/db 15432 @internet", nil},
		{"lan does not", "* any @net,@host\nshop/db 15432 @lan", []string{"shop/db 192.0.2.0/24 tcp 15432"}},
		{"some ports", "* any @host\n* 1-1000 @net\nshop/db any @any", []string{"far @net any but tcp 1-1000", "job @net any but tcp 1-1000", "shop/web @net any but tcp 1-1000"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list, err := ParseAllowList(tt.list)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range Exposed(h.members, h.universe) {
				if r := list.Beyond(e); len(r) > 0 {
					got = append(got, e.Group+" "+e.From+" "+r.String())
				}
			}
			if diff := cmp.Diff(tt.beyond, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, bad := range []string{"db 80", "db 80 @lan extra", "db eighty @lan", "db 80 @moon", "[ 80 @lan", "db 80 web,"} {
		if _, err := ParseAllowList("\n" + bad); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestWorldParts: the parts of the world are disjoint, hold every address, and policies treat one alike.
// TestSplitWorldNames: most of a prefix or of the LAN is named by what it lacks, and asked about by an address that
// packets may have.
func TestSplitWorldNames(t *testing.T) {
	hole := func(s string) *Table {
		a := to16(netip.MustParseAddr(s))
		open := Profile{{Verdict: Allow}}
		return &Table{Defaults: [Classes]Profile{open, open, open, open}, CIDRs: []RangeProfile{{First: a, Last: a, Profile: Profile{{}}}}}
	}
	for _, tt := range []struct {
		name, prefix string
		hole         string
		want         map[string]string
	}{
		{"", "10.77.0.0/16", "10.77.0.2", map[string]string{"10.77.0.0/16 but 10.77.0.2": "10.77.0.0", "10.77.0.2": "10.77.0.2"}},
		{"", "2001:db8::/32", "2001:db8::2", map[string]string{"2001:db8::/32 but 2001:db8::2": "2001:db8::1", "2001:db8::2": "2001:db8::2"}},
		{"", "10.77.0.2/31", "10.77.0.2", map[string]string{"10.77.0.2": "10.77.0.2", "10.77.0.3": "10.77.0.3"}},
		{"", "0.0.0.0/5", "1.0.0.1", map[string]string{"0.0.0.0/5 but 1.0.0.1": "1.0.0.0", "1.0.0.1": "1.0.0.1"}},
		{NameLAN, "", "192.168.1.1", map[string]string{"@lan but 192.168.1.1": "10.0.0.0", "192.168.1.1": "192.168.1.1"}},
		{"", "8.0.0.0/5", "10.0.0.1", map[string]string{"8.0.0.0/5 but 10.0.0.1": "8.0.0.0", "10.0.0.1": "10.0.0.1"}},
	} {
		var prefix netip.Prefix
		if tt.prefix != "" {
			prefix = netip.MustParsePrefix(tt.prefix)
		}
		got := map[string]string{}
		family := netip.MustParseAddr(tt.hole)
		for _, p := range SplitWorld(NewUniverse(), tt.name, prefix, family, hole(tt.hole)) {
			got[p.Name] = p.Sample.String()
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s%s: %s", tt.name, tt.prefix, diff)
		}
	}
}

func TestWorldParts(t *testing.T) {
	for seed := range uint64(200) {
		g := generator{rand.New(rand.NewPCG(seed, 7))}
		set, subject := g.set(t, 6), g.subject()
		universe := NewUniverse(g.universe(3)...)
		if seed%2 == 0 {
			universe = universe.WithLAN([]netip.Prefix{netip.MustParsePrefix("9.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48")})
		}
		tables, err := Resolve(set, subject, universe)
		if err != nil {
			t.Fatal(err)
		}
		m := Member{Tables: tables}
		parts := worldParts([]*Table{tables.Egress}, universe.lanRanges, netip.Addr{}, func(a netip.Addr) string { return m.toWorld(a).key() })
		for _, s := range someAddresses {
			a, in := netip.MustParseAddr(s), 0
			for _, p := range parts {
				if p.Contains(a) {
					in++
					if !m.toWorld(a).Equal(m.toWorld(p.Sample)) {
						t.Fatalf("seed %d: %s is in %s, which is judged otherwise", seed, a, p.Name)
					}
				}
			}
			if in != 1 {
				t.Fatalf("seed %d: %s is in %d parts", seed, a, in)
			}
		}
	}
}
