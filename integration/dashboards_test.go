package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/integration/hosts"
)

// fillTime is how long series may take to be there after the traffic that makes them.
const fillTime = 40 * time.Second

// mayBeEmpty begins the descriptions of panels that show nothing while all is well.
const mayBeEmpty = "Empty while all is well."

// board is what matters here of a Grafana dashboard.
type board struct {
	Title      string
	Templating struct {
		List []struct {
			Name, Type string
			Definition string
		}
	}
	Panels []struct {
		Title, Description string
		Targets            []struct{ Expr string }
	}
}

// question is a query, and who asks it.
type question struct {
	asker, query string
	quiet        bool // no answer is fine
}

// readBoards returns the queries of the dashboards, with their variables set to all.
func readBoards(dir string) ([]question, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no dashboards in %s: %w", dir, err)
	}
	var all []question
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var b board
		if err := json.Unmarshal(text, &b); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, v := range b.Templating.List {
			if v.Type == "query" {
				all = append(all, question{asker: b.Title + ", variable " + v.Name, query: labelValues(plain(v.Definition))})
			}
		}
		for _, p := range b.Panels {
			for _, t := range p.Targets {
				all = append(all, question{b.Title + ", " + p.Title, plain(t.Expr), strings.HasPrefix(p.Description, mayBeEmpty)})
			}
		}
	}
	return all, nil
}

var variable = regexp.MustCompile(`\$[a-z]+`)

// plain sets Grafana's variables. Scrapes come each second here.
func plain(query string) string {
	return variable.ReplaceAllString(strings.ReplaceAll(query, "$__rate_interval", "30s"), ".*")
}

var labelValuesCall = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)

// labelValues writes Grafana's function for values of a label as a query.
func labelValues(call string) string {
	return labelValuesCall.ReplaceAllString(call, "group by ($2) ($1)")
}

// readRules returns the queries of alerts, which may all be silent.
func readRules(file string) ([]question, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(text, &rules); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var all []question
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			all = append(all, question{"alert " + r.Alert, r.Expr, true})
		}
	}
	return all, nil
}

// runDashboards is "dashboards URL": what dashboards and alerts ask must be answered by the Prometheus of the host, with
// data unless a panel says that it may be empty.
func runDashboards(s *scene, ts *testscript.TestScript, args []string) error {
	if len(args) != 1 {
		ts.Fatalf("usage: dashboards URL")
	}
	contrib := filepath.Join(ts.Getenv("ROOT"), "contrib")
	all, err := readBoards(filepath.Join(contrib, "grafana"))
	if err != nil {
		return err
	}
	rules, err := readRules(filepath.Join(contrib, "prometheus", "alerts.yaml"))
	if err != nil {
		return err
	}
	deadline := time.Now().Add(fillTime)
	var problems []error
	for _, q := range append(all, rules...) {
		err := hosts.Poll(time.Until(deadline), func() error { return ask(s.host, args[0], q) })
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %s: %w", q.asker, q.query, err))
		}
	}
	ts.Logf("%d queries of dashboards, %d of alerts", len(all), len(rules))
	return errors.Join(problems...)
}

// ask asks Prometheus.
func ask(h *hosts.Host, url string, q question) error {
	ctx, cancel := withTimeout()
	defer cancel()
	cmd := h.Command(ctx, "curl", "-sS", "--data-urlencode", "query@-", url+"/api/v1/query")
	cmd.Stdin = strings.NewReader(q.query)
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("ask Prometheus: %w", err)
	}
	var answer struct {
		Status, Error string
		Warnings      []string
		Data          struct{ Result []any }
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return fmt.Errorf("answer %q: %w", out, err)
	}
	if answer.Status != "success" || len(answer.Warnings) > 0 {
		return fmt.Errorf("%s %s %v", answer.Status, answer.Error, answer.Warnings)
	}
	if len(answer.Data.Result) == 0 && !q.quiet {
		return errors.New("no data")
	}
	return nil
}
