package policy

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// watched is the host under a policy for db, whose container has settings.
func watched(t *testing.T, s Settings, documents ...string) *host {
	h := newHost(t, documents...)
	h.members[1].Settings = s
	return h
}

// edge is what passes between two ends, and what of it is not enforced.
func (h *host) edge(from, to string) (passes, unenforced string) {
	edges := Graph(h.members, h.universe)
	i := slices.IndexFunc(edges, func(e Edge) bool { return e.From == from && e.To == to })
	if i < 0 {
		return "", ""
	}
	if len(edges[i].Unenforced) > 0 {
		unenforced = edges[i].Unenforced.String()
	}
	return edges[i].Reach.String(), unenforced
}

const denyJob = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: no-job}
spec:
  endpointSelector: {matchLabels: {compose.service: db}}
  ingressDeny:
  - fromEndpoints: [{matchLabels: {app: job}}]
`

// TestWatchedGraph: what a mode lets pass is in the graph, and marked; other networks stay apart, and so does whom an
// administrator denies, if the mode is a label's.
func TestWatchedGraph(t *testing.T) {
	for _, tt := range []struct {
		name               string
		settings           Settings
		from               string
		passes, unenforced string
	}{
		{"enforced, the service", Settings{}, "shop/web", "tcp 5432", ""},
		{"audit, the service", Settings{Enforcement: Audit}, "shop/web", "any", "any but tcp 5432"},
		{"learn, the host", Settings{Enforcement: Learn}, NameHost, "any", "any"},
		{"audit, another network", Settings{Enforcement: Audit}, "far", "", ""},
		{"a file's audit, denied", Settings{Enforcement: Audit}, "job", "any", "any"},
		{"a label's audit, denied", Settings{Enforcement: Audit, KeepDenies: true}, "job", "", ""},
		{"a label's audit, the host", Settings{Enforcement: Audit, KeepDenies: true}, NameHost, "any", "any"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			passes, unenforced := watched(t, tt.settings, dbFromWeb, denyJob).edge(tt.from, "shop/db")
			if passes != tt.passes || unenforced != tt.unenforced {
				t.Errorf("%q pass, of them %q not enforced; want %q, %q", passes, unenforced, tt.passes, tt.unenforced)
			}
		})
	}
}

// TestWatchedExposed: who comes in only by the mode is listed, with the rule that denies, and is beyond a list.
func TestWatchedExposed(t *testing.T) {
	h := watched(t, Settings{Enforcement: Audit, KeepDenies: true}, dbFromWeb, denyJob)
	h.members[1].Published = []Publication{{Protocol: ProtocolTCP, HostPort: 15432, Port: 5432}}
	list, err := ParseAllowList("shop/db 5432 shop/web\nshop/db 15432 192.0.2.0/24")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Enforcement{}
	for _, e := range Exposed(h.members, h.universe) {
		if e.Group != "shop/db" {
			continue
		}
		name := e.From + " " + e.Rule.String()
		if e.Published {
			name = "published " + name
		}
		got[name] = e.Watched
		if beyond := len(list.Beyond(e)) > 0; beyond != (e.Watched != Enforce) {
			t.Errorf("%s of mode %s is beyond the list: %t", name, e.Watched, beyond)
		}
	}
	want := map[string]Enforcement{
		"shop/web db: ingress[0].toPorts[0]":    Enforce,
		"shop/web db: default deny":             Audit,
		"@net db: default deny":                 Audit,
		"@host db: default deny":                Audit,
		"published @host db: default deny":      Audit,
		"published 192.0.2.0/24 db: ingress[1]": Enforce,
		"published @world db: default deny":     Audit,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestWatchedDiff: to enforce what was watched closes, though no table changes.
func TestWatchedDiff(t *testing.T) {
	before, after := watched(t, Settings{Enforcement: Audit}, dbFromWeb), newHost(t, dbFromWeb)
	found := map[string]string{}
	for _, d := range Diff(before.members, after.members, before.universe) {
		found[d.From+" "+d.To] = d.Closed.String()
		if len(d.Opened) > 0 {
			t.Errorf("%s to %s opens %s", d.From, d.To, d.Opened)
		}
	}
	want := map[string]string{"@host shop/db": "any", "job shop/db": "any", "shop/web shop/db": "any but tcp 5432"}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
}

func TestSuspends(t *testing.T) {
	table := &Table{Denies: 1}
	for _, tt := range []struct {
		s     Settings
		d     Direction
		class Class
		rule  uint16
		want  bool
	}{
		{Settings{}, Egress, ClassWorld, 2, false},
		{Settings{Enforcement: Audit}, Egress, ClassWorld, 1, true},
		{Settings{Enforcement: Learn, KeepDenies: true}, Egress, ClassWorld, 1, false},
		{Settings{Enforcement: Learn, KeepDenies: true}, Egress, ClassWorld, 2, true},
		{Settings{Enforcement: Learn, KeepDenies: true}, Ingress, ClassHost, 0, true},
		{Settings{Enforcement: Audit}, Egress, ClassOther, 2, true},
		{Settings{Enforcement: Audit}, Ingress, ClassOther, 2, false},
	} {
		if got := tt.s.Suspends(tt.d, table, tt.class, tt.rule); got != tt.want {
			t.Errorf("%+v, rule %d of %s: %t", tt.s, tt.rule, tt.d, got)
		}
	}
}
