package own

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/observe/metrics/catalog"
)

// full are sources of which each has something to say.
func full() Sources {
	endpoint := func(id, container string, packets uint64) api.Endpoint {
		return api.Endpoint{
			ID: id, Container: container, Project: "shop", Service: "web", Network: "front", Revision: 7,
			Program: api.Program{Fingerprint: "f", Instructions: 900},
			Egress:  api.Direction{Enforced: true, Packets: packets, Bytes: 100 * packets}, Ingress: api.Direction{Packets: 1, Bytes: 60},
		}
	}
	return Sources{
		Version: api.Version{Version: "1.2.3", Commit: "abc", Go: "go1.26"}, Slots: 4096,
		Count: func(s *api.Status) {
			s.Endpoints = api.EndpointCounts{Total: 6, Ready: 3, Closed: 2, Failed: 1}
			s.Networks, s.Policies, s.Identities, s.Ports = 4, 5, 6, 7
		},
		Generations: func() (uint64, uint64) { return 12, 11 },
		Files: func(context.Context) ([]api.PolicyFile, error) {
			return []api.PolicyFile{{State: api.PolicyFileActive}, {State: api.PolicyFileBroken}, {State: api.PolicyFileActive}}, nil
		},
		Endpoints: func(context.Context) ([]api.Endpoint, error) {
			unknown := api.Endpoint{ID: "e3", Network: "front", Ingress: api.Direction{Packets: 4}}
			other := unknown
			other.ID = "e4"
			return []api.Endpoint{endpoint("e1", "web-1", 10), endpoint("e2", "web-2", 20), unknown, other}, nil
		},
		Packets: func(context.Context) ([]api.Metric, error) {
			return []api.Metric{
				{Direction: "egress", Packets: 9, Bytes: 900}, {Direction: "ingress", Reason: "policy denied", Packets: 3, Bytes: 180},
			}, nil
		},
		Tables: func() ([]api.TableUse, error) { return []api.TableUse{{Name: "nat", Entries: 5, Max: 100}}, nil },
		Events: func() api.EventCounts { return api.EventCounts{Seen: 50, Lost: 2, Undecodable: 1} },
		Flows:  func() (uint64, uint64, int) { return 11, 31, 1000 },
		Exports: func() []api.Export {
			return []api.Export{{Name: "siem", Type: "syslog", State: api.ExportDown, Exported: 4, Failed: 3, Lost: 2, Waiting: 1}}
		},
		ExportChanges: func() ExportChanges {
			return ExportChanges{Added: 3, Updated: 2, Removed: 1, Hash: 77, Applied: time.Unix(1_900_000_000, 0)}
		},
		FlowStore: func() (FlowStore, bool) {
			return FlowStore{Bytes: 4096, Flows: 100, Written: 120, Lost: 5, Damaged: 1}, true
		},
		Pools: func(context.Context) ([]Pool, error) {
			return []Pool{{Network: "front", Subnet: netip.MustParsePrefix("10.0.0.0/24"), Used: 4, Capacity: 254}}, nil
		},
		Store: func() (int64, error) { return 32768, nil },
	}
}

func register(t *testing.T, s Sources) *prometheus.Registry {
	t.Helper()
	log, _ := logtest.NewNullLogger()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(NewCollector(s, log))
	return r
}

// values returns the series of a registry: name{labels} to value.
func values(t *testing.T, r prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			v := m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			all[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = v
		}
	}
	return all
}

func TestCollector(t *testing.T) {
	got := values(t, register(t, full()))
	const web = "container=web-1,%snetwork=front,project=shop,service=web"
	egress, ingress, plain := fmt.Sprintf(web, "direction=egress,"), fmt.Sprintf(web, "direction=ingress,"), fmt.Sprintf(web, "")
	for series, want := range map[string]float64{
		"sluice_build_info{commit=abc,goversion=go1.26,version=1.2.3}":                                 1,
		"sluice_endpoints{state=ready}":                                                                3,
		"sluice_endpoints{state=closed}":                                                               2,
		"sluice_endpoints{state=failed}":                                                               1,
		"sluice_endpoints_capacity{}":                                                                  4096,
		"sluice_networks{}":                                                                            4,
		"sluice_policies{}":                                                                            5,
		"sluice_identities{}":                                                                          6,
		"sluice_published_ports{}":                                                                     7,
		"sluice_policy_generation{}":                                                                   12,
		"sluice_policy_generation_applied{}":                                                           11,
		"sluice_policy_files{state=active}":                                                            2,
		"sluice_policy_files{state=broken}":                                                            1,
		"sluice_forward_packets_total{direction=egress}":                                               9,
		"sluice_forward_bytes_total{direction=egress}":                                                 900,
		"sluice_drop_packets_total{direction=ingress,reason=policy denied}":                            3,
		"sluice_drop_packets_total{direction=uplink,reason=spoofed on uplink}":                         0,
		"sluice_drop_bytes_total{direction=ingress,reason=policy denied}":                              180,
		"sluice_container_packets_total{" + egress + "}":                                               10,
		"sluice_container_bytes_total{" + egress + "}":                                                 1000,
		"sluice_container_packets_total{" + ingress + "}":                                              1,
		"sluice_container_enforced{" + egress + "}":                                                    1,
		"sluice_container_enforced{" + ingress + "}":                                                   0,
		"sluice_container_policy_revision{" + plain + "}":                                              7,
		"sluice_container_program_instructions{" + plain + "}":                                         900,
		"sluice_container_packets_total{container=,direction=ingress,network=front,project=,service=}": 8,
		"sluice_bpf_programs{}":                                                                        4,
		"sluice_bpf_map_entries{map=nat}":                                                              5,
		"sluice_bpf_map_capacity{map=nat}":                                                             100,
		"sluice_events_total{}":                                                                        50,
		"sluice_events_lost_total{}":                                                                   2,
		"sluice_events_undecodable_total{}":                                                            1,
		"sluice_flows_total{}":                                                                         30,
		"sluice_flows_in_memory{}":                                                                     20,
		"sluice_flows_capacity{}":                                                                      1000,
		"sluice_export_flows_total{export=siem,outcome=exported,type=syslog}":                          4,
		"sluice_export_flows_total{export=siem,outcome=lost,type=syslog}":                              2,
		"sluice_export_up{export=siem,type=syslog}":                                                    0,
		"sluice_export_waiting_flows{export=siem,type=syslog}":                                         1,
		"hubble_dynamic_exporter_up{name=siem}":                                                        0,
		"hubble_dynamic_exporter_reconfigurations_total{op=update}":                                    2,
		"hubble_dynamic_exporter_config_hash{}":                                                        77,
		"hubble_dynamic_exporter_config_last_applied{}":                                                1_900_000_000,
		"sluice_flow_store_bytes{}":                                                                    4096,
		"sluice_flow_store_lost_total{}":                                                               5,
		"sluice_addresses_used{network=front,subnet=10.0.0.0/24}":                                      4,
		"sluice_addresses_capacity{network=front,subnet=10.0.0.0/24}":                                  254,
		"sluice_store_bytes{}":                                                                         32768,
	} {
		if v, ok := got[series]; !ok || v != want {
			t.Errorf("%s is %v (%v), want %v", series, v, ok, want)
		}
	}
}

// TestEveryDefinitionIsExposed: nothing is documented that nobody gives, and the names are as Prometheus wants them.
func TestEveryDefinitionIsExposed(t *testing.T) {
	s := full()
	s.Store = func() (int64, error) { return 1, errors.New("away") }
	r := register(t, s)
	rec := NewRecorder(r)
	rec.Answered("IpamDriver.RequestPool", 200, time.Millisecond)
	rec.Served("GET /v1/status", false, 200, time.Millisecond)
	rec.Served("POST /v1/events", true, 200, time.Hour)
	exposed := map[string]bool{storeBytes.Name: true}
	for series := range values(t, r) {
		name, _, _ := strings.Cut(series, "{")
		exposed[name] = true
	}
	for _, m := range Definitions() {
		if !exposed[m.Name] {
			t.Errorf("%s is defined and not exposed", m.Name)
		}
		delete(exposed, m.Name)
		if m.Help == "" || strings.HasSuffix(m.Help, ".") {
			t.Errorf("%s: help %q", m.Name, m.Help)
		}
		if m.Kind == catalog.Histogram && len(m.Buckets) == 0 {
			t.Errorf("%s has no buckets", m.Name)
		}
	}
	for name := range exposed {
		t.Errorf("%s is exposed and not defined", name)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

// TestFailingSources: what cannot be read is missing and counted, and told once; the rest is there.
func TestFailingSources(t *testing.T) {
	s := full()
	away := errors.New("away")
	s.Files = func(context.Context) ([]api.PolicyFile, error) { return nil, away }
	s.Endpoints = func(context.Context) ([]api.Endpoint, error) { return nil, away }
	s.Packets = func(context.Context) ([]api.Metric, error) { return nil, away }
	s.Tables = func() ([]api.TableUse, error) { return nil, away }
	s.Pools = func(context.Context) ([]Pool, error) { return nil, away }
	s.Store = func() (int64, error) { return 0, away }
	log, hook := logtest.NewNullLogger()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(NewCollector(s, log))
	values(t, r)
	got := values(t, r)
	for _, source := range []string{"policy files", "endpoints", "packets", "maps", "pools", "store"} {
		if n := got["sluice_collect_errors_total{source="+source+"}"]; n != 2 {
			t.Errorf("%s failed %v times", source, n)
		}
	}
	if got["sluice_networks{}"] != 4 || got["sluice_events_total{}"] != 50 {
		t.Errorf("the others are missing: %v", got)
	}
	if len(hook.AllEntries()) != 6 {
		t.Errorf("told %d times", len(hook.AllEntries()))
	}
}

// TestWithoutSources: a daemon that has less exposes less.
func TestWithoutSources(t *testing.T) {
	if got := values(t, register(t, Sources{})); len(got) != 2 {
		t.Errorf("got %v", got)
	}
}

func TestRecorder(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	rec := NewRecorder(r)
	if got := values(t, r); got["sluice_regenerations_total{outcome=failure}"] != 0 || len(got) != 6 {
		t.Errorf("at first: %v", got)
	}
	rec.Replaced(time.Millisecond, nil)
	rec.Replaced(time.Second, errors.New("refused"))
	rec.Passed(time.Millisecond, nil)
	rec.Answered("NetworkDriver.Join", 500, time.Second)
	rec.Served("GET /v1/status", false, 200, time.Second)
	rec.Served("POST /v1/events", true, 200, time.Hour)
	got := values(t, r)
	for series, want := range map[string]float64{
		"sluice_regenerations_total{outcome=success}":                                1,
		"sluice_regenerations_total{outcome=failure}":                                1,
		"sluice_regeneration_duration_seconds{}":                                     2,
		"sluice_regeneration_passes_total{outcome=success}":                          1,
		"sluice_plugin_request_duration_seconds{code=500,method=NetworkDriver.Join}": 1,
		"sluice_api_request_duration_seconds{code=200,route=GET /v1/status}":         1,
		"sluice_api_streams_total{code=200,route=POST /v1/events}":                   1,
	} {
		if got[series] != want {
			t.Errorf("%s is %v, want %v", series, got[series], want)
		}
	}
}

// TestTables: counting takes a hundredth of the time at most.
func TestTables(t *testing.T) {
	now, counted := time.Unix(0, 0), 0
	tables := Tables(func() ([]api.TableUse, error) {
		counted++
		now = now.Add(20 * time.Millisecond)
		return []api.TableUse{{Entries: counted}}, nil
	}, func() time.Time { return now })
	for _, c := range []struct {
		later time.Duration
		want  int
	}{{0, 1}, {0, 1}, {time.Second, 1}, {time.Second, 2}, {1990 * time.Millisecond, 2}, {10 * time.Millisecond, 3}} {
		now = now.Add(c.later)
		if got, err := tables(); err != nil || got[0].Entries != c.want {
			t.Errorf("%s later: %v, want %d", c.later, got, c.want)
		}
	}
}
