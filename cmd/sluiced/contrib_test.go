package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe/metrics"
	"github.com/sluice-net/sluice/observe/metrics/own"
)

var (
	metricName = regexp.MustCompile(`\b(sluice|hubble)_[a-z0-9_]+`)
	reasonIs   = regexp.MustCompile(`reason(=|!=|=~|!~)"([^"]*)"`)
)

// known are the names of all metrics, with those that a histogram has.
func known() map[string]bool {
	all := map[string]bool{}
	for _, m := range slices.Concat(own.Definitions(), metrics.Definitions()) {
		all[m.Name] = true
		if len(m.Buckets) > 0 {
			all[m.Name+"_bucket"], all[m.Name+"_count"], all[m.Name+"_sum"] = true, true, true
		}
	}
	return all
}

// checkQueries: a query asks for metrics that exist, and for reasons of drops that there are.
func checkQueries(t *testing.T, file, text string) {
	t.Helper()
	defined := known()
	for _, name := range metricName.FindAllString(text, -1) {
		if !defined[name] {
			t.Errorf("%s asks for %s, which is no metric", file, name)
		}
	}
	var reasons []string
	for r := abi.DropReason(1); r < abi.DropReasons; r++ {
		if r.Help() != "" {
			reasons = append(reasons, r.String())
		}
	}
	for _, m := range reasonIs.FindAllStringSubmatch(text, -1) {
		for _, alternative := range strings.Split(m[2], "|") {
			is := func(reason string) bool { return regexp.MustCompile("^(" + alternative + ")$").MatchString(reason) }
			if !slices.ContainsFunc(reasons, is) {
				t.Errorf("%s asks for the reason %q, which no drop has", file, alternative)
			}
		}
	}
}

// TestDashboards: panels lie in a grid without gaps or overlaps, and ask for what there is.
func TestDashboards(t *testing.T) {
	files, err := filepath.Glob("../../contrib/grafana/*.json")
	if err != nil || len(files) != 4 {
		t.Fatalf("found %v: %v", files, err)
	}
	seen := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			UID, Title string
			Panels     []struct {
				ID          int
				Type, Title string
				GridPos     struct{ X, Y, W, H int }
				Targets     []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if board.UID == "" || seen[board.UID] != "" {
			t.Errorf("%s has the uid %q of %s", file, board.UID, seen[board.UID])
		}
		seen[board.UID] = file
		taken, ids := map[[2]int]string{}, map[int]bool{}
		for _, p := range board.Panels {
			if ids[p.ID] || p.Title == "" || (p.Type == "row") != (len(p.Targets) == 0) || p.GridPos.X+p.GridPos.W > 24 {
				t.Errorf("%s: panel %d %q is odd", file, p.ID, p.Title)
			}
			ids[p.ID] = true
			for x := range p.GridPos.W {
				for y := range p.GridPos.H {
					at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
					if taken[at] != "" {
						t.Fatalf("%s: %q lies over %q", file, p.Title, taken[at])
					}
					taken[at] = p.Title
				}
			}
			for _, target := range p.Targets {
				checkQueries(t, file+", "+p.Title, target.Expr)
			}
		}
	}
}

// TestAlerts: each alert is about metrics that exist, says where its remedy is, and has a test that it fires and one that
// it does not.
func TestAlerts(t *testing.T) {
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr         string
				Labels, Annotations map[string]string
			}
		}
	}
	var tests struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []any `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		}
	}
	for file, into := range map[string]any{"alerts.yaml": &rules, "alerts_test.yaml": &tests} {
		text, err := os.ReadFile("../../contrib/prometheus/" + file)
		if err == nil {
			err = yaml.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	document, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, c := range tests.Tests {
		for _, a := range c.AlertRuleTest {
			if len(a.ExpAlerts) > 0 {
				fires[a.Alertname] = true
			} else {
				silent[a.Alertname] = true
			}
		}
	}
	var names []string
	for _, r := range rules.Groups[0].Rules {
		names = append(names, "### "+r.Alert)
		checkQueries(t, r.Alert, r.Expr)
		if !fires[r.Alert] || !silent[r.Alert] {
			t.Errorf("%s: tested that it fires: %v, that it is silent: %v", r.Alert, fires[r.Alert], silent[r.Alert])
		}
		if !slices.Contains([]string{"info", "warning", "critical"}, r.Labels["severity"]) || r.Annotations["summary"] == "" ||
			r.Annotations["description"] == "" || r.Annotations["runbook"] != "docs/metrics.md#"+strings.ToLower(r.Alert) {
			t.Errorf("%s: %v %v", r.Alert, r.Labels, r.Annotations)
		}
	}
	explained := regexp.MustCompile(`(?m)^### Sluice.*$`).FindAllString(string(document), -1)
	if !slices.Equal(explained, names) {
		t.Errorf("docs/metrics.md explains %v, and the alerts are %v", explained, names)
	}
}
