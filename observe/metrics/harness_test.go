package metrics

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// The ends of the tests' flows.
var (
	web = &observe.Party{Number: 1, EndpointID: "e-web", Container: "shop-web-1", Project: "shop", Service: "web", Network: "front",
		Identity: 300, Labels: map[string]string{"compose.project": "shop", "compose.service": "web", "tier": "front"}}
	db = &observe.Party{Number: 2, EndpointID: "e-db", Container: "db", Network: "front", Identity: 301,
		Labels: map[string]string{"app": "postgres"}}
	world = &observe.Party{Entity: api.EntityWorld, Identity: abi.IdentityWorld}
	host  = &observe.Party{Entity: api.EntityHost, Identity: abi.IdentityHost}
)

// Bits of TCP.
const fin, syn, rst, ack = 1, 2, 4, 16

// flow is a forwarded SYN from web to db, with changes.
func flow(changes ...func(*observe.Flow)) *observe.Flow {
	f := &observe.Flow{Time: time.Unix(1, 0), Source: web, Destination: db, Endpoint: web, Kernel: abi.Event{
		Type: abi.EventTrace, Point: abi.PointEgress, Proto: 6, Family: 4, TCPFlags: syn, Opened: 1,
		Sport: abi.ToBE16(40000), Dport: abi.ToBE16(5432),
		Src: abi.FromAddr(netip.MustParseAddr("10.90.0.2")), Dst: abi.FromAddr(netip.MustParseAddr("10.90.0.3")),
	}}
	for _, c := range changes {
		c(f)
	}
	return f
}

func from(p *observe.Party) func(*observe.Flow) { return func(f *observe.Flow) { f.Source = p } }
func to(p *observe.Party) func(*observe.Flow)   { return func(f *observe.Flow) { f.Destination = p } }
func port(n uint16) func(*observe.Flow) {
	return func(f *observe.Flow) { f.Kernel.Dport = abi.ToBE16(n) }
}
func udp(f *observe.Flow)                  { f.Kernel.Proto, f.Kernel.TCPFlags = 17, 0 }
func reply(f *observe.Flow)                { f.Kernel.Reply = 1 }
func sixth(f *observe.Flow)                { f.Kernel.Family = 6 }
func flags(bits uint8) func(*observe.Flow) { return func(f *observe.Flow) { f.Kernel.TCPFlags = bits } }

func ping(family, kind uint8) func(*observe.Flow) {
	return func(f *observe.Flow) {
		f.Kernel.Proto, f.Kernel.Family, f.Kernel.TCPFlags, f.Kernel.ICMPType = 1, family, 0, kind
		if family == 6 {
			f.Kernel.Proto = 58
		}
	}
}

func dropped(reason abi.DropReason) func(*observe.Flow) {
	return func(f *observe.Flow) {
		f.Kernel.Type, f.Kernel.Reason, f.Kernel.Opened = abi.EventDrop, uint16(reason), 0
	}
}

func judged(kind uint8, reason abi.DropReason, r *observe.Rule) func(*observe.Flow) {
	return func(f *observe.Flow) {
		f.Kernel.Type, f.Kernel.Reason, f.Kernel.Side, f.Rule = kind, uint16(reason), abi.PolicyEgress, r
	}
}

// everyone is a host on which the tests' containers live.
func everyone() map[string]bool { return map[string]bool{"e-web": true, "e-db": true, "e-odd": true} }

func mustParse(t testing.TB, config string) Config {
	t.Helper()
	c, err := Parse(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// count returns what counts by a configuration, after some flows.
func count(t testing.TB, config string, flows ...*observe.Flow) *Flows {
	t.Helper()
	counted := NewFlows(mustParse(t, config), everyone)
	for _, f := range flows {
		counted.Count(f)
	}
	return counted
}

// exposed returns the series of a metric as name{labels} value, sorted.
func exposed(t testing.TB, c prometheus.Collector, metric string) []string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, family := range families {
		if family.GetName() != metric {
			continue
		}
		for _, m := range family.GetMetric() {
			all = append(all, fmt.Sprintf("%s %v", labelsOf(m), value(m)))
		}
	}
	slices.Sort(all)
	return all
}

func value(m *dto.Metric) float64 {
	if m.Counter != nil {
		return m.Counter.GetValue()
	}
	return m.Gauge.GetValue()
}

func labelsOf(m *dto.Metric) string {
	values := map[string]string{}
	for _, l := range m.GetLabel() {
		values[l.GetName()] = l.GetValue()
	}
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		pairs = append(pairs, name+"="+values[name])
	}
	return strings.Join(pairs, ",")
}
