package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/sluice-net/sluice/bench/load"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/internal/testutil"
	"github.com/sluice-net/sluice/policy"
)

// constantSamples gives every task the same value, but for those named.
func constantSamples(value float64, others map[task]float64) samples {
	out := samples{}
	for _, t := range tasks() {
		v := value
		if o, ok := others[t]; ok {
			v = o
		}
		out[t] = []float64{v, v, v}
	}
	return out
}

func TestGatesAreMeasured(t *testing.T) {
	measured := map[task]bool{}
	for _, task := range tasks() {
		if measured[task] {
			t.Errorf("%v is measured twice", task)
		}
		measured[task] = true
	}
	for _, g := range gates {
		for _, path := range []string{g.of, g.vs} {
			if !measured[task{path, g.mode}] {
				t.Errorf("gate %q: nobody measures %s by %s", g.measure, g.mode, path)
			}
		}
	}
}

func TestTrafficRows(t *testing.T) {
	rows := trafficRows(constantSamples(10, map[task]float64{{pathSluice, load.RR}: 12}))
	if len(rows) != len(gates) {
		t.Fatalf("%d rows for %d gates", len(rows), len(gates))
	}
	for i, r := range rows {
		want := 1.0
		if gates[i].of == pathSluice && gates[i].mode == load.RR {
			want = 1.2
		} else if gates[i].vs == pathSluice && gates[i].mode == load.RR {
			want = 10.0 / 12
		}
		if math.Abs(r.Judged-want) > 1e-9 || r.N != 3 {
			t.Errorf("%s: ratio %v of %d rounds, want %v of 3", r.title(), r.Judged, r.N, want)
		}
	}
}

func TestMissed(t *testing.T) {
	tests := []struct {
		name string
		row  row
		want bool
		text string
	}{
		{"within", row{Judged: 1.05, Gate: 1.07, Gated: true}, false, "PASS"},
		{"exactly", row{Judged: 1.07, Gate: 1.07, Gated: true}, false, "PASS"},
		{"beyond", row{Judged: 1.08, Gate: 1.07, Gated: true}, true, "MISS"},
		{"nothing demanded", row{Judged: 9}, false, ""},
		{"nothing measured", row{Judged: math.NaN(), Gate: 1, Gated: true}, true, "MISS"},
		{"a gate of nought", swapsRow(swapResult{swaps: 4, sent: 9, received: 9}), false, "PASS"},
		{"too few swaps", swapsRow(swapResult{wanted: 5, swaps: 4}), true, "MISS"},
		{"a packet lost", swapsRow(swapResult{swaps: 4, sent: 9, received: 8}), true, "MISS"},
		{"a packet too many", swapsRow(swapResult{swaps: 4, sent: 8, received: 9}), true, "MISS"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.row.missed(); got != test.want {
				t.Errorf("missed: %v", got)
			}
			if got := test.row.verdict(); got != test.text {
				t.Errorf("verdict %q", got)
			}
		})
	}
}

func TestStartsRow(t *testing.T) {
	r := startsRow([]float64{30, 40, 50}, []float64{100, 80, 90})
	if got := r.Judged; math.Abs(got-40.0/90) > 1e-9 || r.missed() {
		t.Errorf("got %v, missed %v", got, r.missed())
	}
}

func TestPrintTable(t *testing.T) {
	var b strings.Builder
	printTable(&b, []row{
		{Measure: "speed", Against: "bridge", Unit: "µs", Value: 4.5, Other: 6, Judged: 0.75, Low: 0.7, High: 0.8, Gate: 0.7, Gated: true},
		valueRow("memory", "MiB", []float64{40}, 50),
	})
	for _, want := range []string{"0.750", "0.700–0.800", "≤ 0.70", "MISS", "40 MiB", "≤ 50 MiB", "PASS"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
}

func TestInsert(t *testing.T) {
	before := "head\n" + beginMarker + "\nold\n" + endMarker + "\ntail\n"
	got, err := insert([]byte(before), "new\n")
	if want := "head\n" + beginMarker + "\nnew\n" + endMarker + "\ntail\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v", got, err)
	}
	if again, err := insert(got, "new\n"); err != nil || string(again) != string(got) {
		t.Errorf("again: %q, %v", again, err)
	}
	if _, err := insert([]byte("no markers"), "new"); err == nil {
		t.Error("a document without markers was accepted")
	}
}

// TestDocumentHasMarkers keeps the project's page one that a run can write.
func TestDocumentHasMarkers(t *testing.T) {
	text, err := os.ReadFile("../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := insert(text, "x"); err != nil {
		t.Error(err)
	}
}

func TestWriteDocument(t *testing.T) {
	o := options{docs: t.TempDir(), rounds: 3, slice: time.Second, start: time.Unix(0, 0)}
	all := constantSamples(1, nil)
	for range 2 {
		if err := writeDocument(o, trafficRows(all), all, "a machine"); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(o.docs, "performance.md"))
	if err != nil || strings.Count(string(text), "a machine") != 1 || !strings.Contains(string(text), "| 1.000 |") {
		t.Errorf("got %v:\n%s", err, text)
	}
	if _, err := os.Stat(filepath.Join(o.docs, "performance.svg")); err != nil {
		t.Error(err)
	}
}

func TestChartIsXML(t *testing.T) {
	drawing := chart(`<"title"> & more`, groupsOf(constantSamples(1, map[task]float64{{pathBridge, load.CRR}: 1e6})))
	bars := 0
	for d := xml.NewDecoder(strings.NewReader(drawing)); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			bars++
		}
	}
	if bars != 16 {
		t.Errorf("%d bars", bars)
	}
}

func TestParse(t *testing.T) {
	o, err := parse(nil)
	if err != nil || o.rounds < 7 || o.quick {
		t.Errorf("defaults: %+v, %v", o, err)
	}
	if o, err = parse([]string{"--quick", "--rounds", "9"}); err != nil || o.rounds != 9 || o.starts != 7 {
		t.Errorf("quick: %+v, %v", o, err)
	}
	for _, args := range [][]string{{"--rounds", "-1"}, {"--cpu", "4096"}, {"more"}, {"--nonsense"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}

func TestParseRollup(t *testing.T) {
	const text = "00400000-7fff rollup\nRss:               20480 kB\nPss:               10240 kB\nShared_Clean: 1 kB\n"
	if resident, share := parseRollup(text); resident != 20 || share != 10 {
		t.Errorf("got %v and %v MiB", resident, share)
	}
}

func TestBusiest(t *testing.T) {
	before := map[ebpf.ProgramID]usage{1: {"a", 10, 100}, 2: {"b", 10, 100}}
	after := map[ebpf.ProgramID]usage{1: {"a", 20, 200}, 2: {"b", 12, 900}, 3: {"c", 10, 500}, 4: {"d", 0, 0}}
	got := busiest(before, after, 5)
	if len(got) != 2 || got[0] != (usage{"c", 10, 500}) || got[1] != (usage{"a", 10, 100}) {
		t.Errorf("got %+v", got)
	}
}

// TestPoliciesParse reads the documents that the measurement gives the daemon.
func TestPoliciesParse(t *testing.T) {
	text := document("server", "ingress", "client", "") + document("many-client", "egress", "many-server",
		manyEntries("egress", "toEndpoints", "toCIDR")) + "---\n" + regenerationPolicy("one", 9000)
	parsed, err := policy.Parse(strings.NewReader(text), "bench")
	if err != nil {
		t.Fatal(err)
	}
	if len(parsed) != 3 {
		t.Errorf("%d policies", len(parsed))
	}
}

// TestPrivilegedBare measures the bare pair, and that its counters agree with what was sent.
func TestPrivilegedBare(t *testing.T) {
	testutil.Privileged(t)
	s := &scene{paths: map[string]path{}}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.buildBare(); err != nil {
		t.Fatal(err)
	}
	ends, err := openEnds(s.paths[pathBare])
	if err != nil {
		t.Fatal(err)
	}
	defer ends.close()
	before, err := ends.count()
	if err != nil {
		t.Fatal(err)
	}
	sample, err := s.send(t.Context(), task{pathBare, load.UDP}, 50*time.Millisecond, 0)
	if err != nil {
		t.Fatal(err)
	}
	after, err := ends.count()
	if err != nil {
		t.Fatal(err)
	}
	if sent := after.sent - before.sent; sent != after.received-before.received || sent < sample.Client.Transactions {
		t.Errorf("devices sent %d and received %d, the client sent %d", sent, after.received-before.received,
			sample.Client.Transactions)
	}
	if _, err := s.send(t.Context(), task{"nowhere", load.UDP}, time.Second, 0); err == nil {
		t.Error("a path that does not exist was measured")
	}
}

func TestMain(m *testing.M) {
	if load.Main() {
		return
	}
	os.Exit(m.Run())
}

func TestParseStat(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1 (sluiced) S 1 1 1 0 -1 4 0 0 0 0 150 50 7 7 20 0": 2 * time.Second,
		"1 (a ) b) S 1 1 1 0 -1 4 0 0 0 0 1 2 7 7 20 0":      30 * time.Millisecond,
	} {
		if got, err := parseStat(text); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "1 (sluiced) S 1", "1 (sluiced) S 1 1 1 0 -1 4 0 0 0 0 x 50 7"} {
		if _, err := parseStat(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// TestPartPolicies: every container is selected by every policy, and has a table of its own.
func TestPartPolicies(t *testing.T) {
	const n = 5
	policies, err := policy.Parse(strings.NewReader(partPolicies(n, 9000)), "bench")
	if err != nil || len(policies) != n {
		t.Fatalf("%d policies, %v", len(policies), err)
	}
	set, err := policy.NewSet(policies...)
	if err != nil {
		t.Fatal(err)
	}
	var known []policy.KnownIdentity
	for i := range n {
		known = append(known, policy.KnownIdentity{ID: identity.First + identity.ID(i), Labels: identity.Labels{
			"app": "crowd", "part": fmt.Sprint(i + 1), identity.LabelNetwork: "net"}})
	}
	hashes := map[string]bool{}
	for _, k := range known {
		tables, err := policy.Resolve(set, policy.Subject{Labels: k.Labels}, policy.NewUniverse(known...))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(tables.Ingress.Identities); got != n {
			t.Errorf("%d peers are listed for %v, want %d", got, k.Labels, n)
		}
		hashes[tables.Ingress.Hash()] = true
	}
	if len(hashes) != n {
		t.Errorf("%d tables for %d containers", len(hashes), n)
	}
}
