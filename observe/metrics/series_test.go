package metrics

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// sorted returns a series with its labels in order.
func sorted(series string) string {
	labels, value, _ := strings.Cut(series, " ")
	all := strings.Split(labels, ",")
	slices.Sort(all)
	return strings.Join(all, ",") + " " + value
}

const byContainer = "tcp:labelsContext=source_container,destination_container"

// TestGoneContainers: series go a minute after the last container that they are about, and no other does.
func TestGoneContainers(t *testing.T) {
	living := map[string]bool{"e-web": true, "e-db": true}
	c := NewFlows(mustParse(t, byContainer), func() map[string]bool { return maps.Clone(living) })
	for _, f := range []*observe.Flow{flow(), flow(from(world)), flow(to(world)), flow(from(host), to(world))} {
		c.Count(f)
	}
	start := time.Unix(1000, 0)
	see := func(after time.Duration, want ...string) {
		t.Helper()
		c.sweep(start.Add(after))
		var got []string
		for _, s := range exposed(t, c, "hubble_tcp_flags_total") {
			got = append(got, strings.TrimSuffix(s, ",family=IPv4,flag=SYN 1"))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", after, diff)
		}
	}
	label := func(from, to string) string {
		return "destination_container=" + to + ",family=IPv4,flag=SYN,source_container=" + from + " 1"
	}
	all := []string{label("shop-web-1", "db"), label("world", "db"), label("host", "world"), label("shop-web-1", "world")}
	see(0, all...)
	delete(living, "e-web")
	see(time.Second, all...)
	living["e-web"] = true
	see(50*time.Second, all...) // it is back: the time begins anew when it goes
	delete(living, "e-web")
	see(55*time.Second, all...)
	see(114*time.Second, all...)
	see(116*time.Second, label("world", "db"), label("host", "world"))
	delete(living, "e-db")
	see(120*time.Second, label("world", "db"), label("host", "world"))
	see(500*time.Second, label("host", "world"))
	c.Count(flow(to(world))) // a connection of it expires late: nobody is told
	again := *web
	again.EndpointID = "e-web-2"
	c.Count(flow(from(&again), to(world)))
	living["e-web-2"] = true
	see(501*time.Second, label("host", "world"), label("shop-web-1", "world"))
	c.Count(flow(from(&again), to(db))) // db is still gone
	see(600*time.Second, label("host", "world"), label("shop-web-1", "world"))
}

// TestUnknownContainers: while it cannot be told who lives, everybody does.
func TestUnknownContainers(t *testing.T) {
	c := NewFlows(mustParse(t, byContainer), func() map[string]bool { return nil })
	c.Count(flow())
	for hour := range 3 {
		c.sweep(time.Unix(1000, 0).Add(time.Duration(hour) * time.Hour))
	}
	if got := exposed(t, c, "hubble_tcp_flags_total"); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

// TestReplicas: a series of a service lives as long as one of its containers.
func TestReplicas(t *testing.T) {
	living := map[string]bool{}
	c := NewFlows(mustParse(t, "tcp:labelsContext=source_service"), func() map[string]bool { return maps.Clone(living) })
	for i := range 2 * maxHolders {
		replica := *web
		replica.EndpointID = fmt.Sprint("e-", i)
		if i == 0 || i == 2*maxHolders-1 {
			living[replica.EndpointID] = true
		}
		c.Count(flow(from(&replica), to(world)))
	}
	start := time.Unix(1000, 0)
	series := func(after time.Duration) int {
		c.sweep(start.Add(after))
		return len(exposed(t, c, "hubble_tcp_flags_total"))
	}
	if n := series(0) + series(5*time.Minute); n != 2 {
		t.Errorf("%d series while two replicas live", n)
	}
	delete(living, "e-0") // the last one is none of those that are remembered
	if n := series(6*time.Minute) + series(10*time.Minute); n != 2 {
		t.Errorf("%d series while one replica lives", n)
	}
}

// TestIdleAddresses: series of addresses go when nothing is seen of them any more.
func TestIdleAddresses(t *testing.T) {
	c := count(t, "tcp:destinationContext=ip", flow(to(world)))
	c.sweep(time.Unix(1, 0).Add(idlePeriod - time.Second))
	if got := exposed(t, c, "hubble_tcp_flags_total"); len(got) != 1 {
		t.Errorf("before: %v", got)
	}
	c.sweep(time.Unix(1, 0).Add(idlePeriod))
	if got := exposed(t, c, "hubble_tcp_flags_total"); len(got) != 0 {
		t.Errorf("after: %v", got)
	}
}

// TestBoundedSeries: what there is no room for is counted as other, so that sums stay right.
func TestBoundedSeries(t *testing.T) {
	c := count(t, "port-distribution tcp:destinationContext=ip")
	for _, counter := range c.counters {
		counter.limit = 100
	}
	for i := range 1000 {
		c.Count(flow(to(world), port(uint16(i+1)), func(f *observe.Flow) {
			f.Kernel.Dst = abi.FromAddr(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}))
		}))
	}
	for metric, folded := range map[string]string{
		"hubble_port_distribution_total": "port=other,protocol=TCP 900",
		"hubble_tcp_flags_total":         "destination=other,family=IPv4,flag=SYN 900",
	} {
		got := exposed(t, c, metric)
		if len(got) != 101 || !slices.Contains(got, folded) {
			t.Errorf("%s: %d series, without %s", metric, len(got), folded)
		}
	}
	want := []string{"metric=hubble_port_distribution_total 900", "metric=hubble_tcp_flags_total 900"}
	if diff := cmp.Diff(want, exposed(t, c, "sluice_flow_metrics_folded_total")); diff != "" {
		t.Errorf("folded (-want +got):\n%s", diff)
	}
	want = []string{"metric=hubble_port_distribution_total 101", "metric=hubble_tcp_flags_total 101"}
	if diff := cmp.Diff(want, exposed(t, c, "sluice_flow_metrics_series")); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}

// TestNamesThatAreNoText: bytes that are no UTF-8 neither stop a scrape nor make two series of one name.
func TestNamesThatAreNoText(t *testing.T) {
	odd := &observe.Party{EndpointID: "e-odd", Container: "a\xffb", Labels: map[string]string{}}
	c := count(t, byContainer, flow(from(odd)), flow(from(odd), port(1)))
	if got := exposed(t, c, "hubble_tcp_flags_total"); len(got) != 1 || !strings.Contains(got[0], "source_container=a?b") {
		t.Errorf("got %q", got)
	}
}
