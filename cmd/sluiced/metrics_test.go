package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/observe/metrics"
	"github.com/sluice-net/sluice/observe/metrics/catalog"
	"github.com/sluice-net/sluice/observe/metrics/own"
)

const metricsPath = "../../docs/reference/metrics.md"

// TestReferenceOfMetrics compares docs/reference/metrics.md with the definitions: go test ./cmd/sluiced -run TestReference -update
func TestReferenceOfMetrics(t *testing.T) {
	want := metricsReference()
	if *update {
		if err := os.WriteFile(metricsPath, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(metricsPath)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("docs/reference/metrics.md is stale: go test ./cmd/sluiced -run TestReference -update")
	}
}

func metricsReference() []byte {
	var b bytes.Buffer
	b.WriteString("<!-- Generated from the definitions by go test ./cmd/sluiced -run TestReference -update; do not edit. -->\n" +
		"# Metrics\n\nWhat `--metrics-listen` and the API socket serve at `/metrics`; [metrics.md](../metrics.md) says how to use it.\n\n" +
		"## The daemon's own\n\n")
	table(&b, own.Definitions())
	b.WriteString("\nBeside them those of the Go runtime (`go_…`) and of the process (`process_…`), as Go's client library has them.\n\n" +
		"## Flows, by Hubble's names\n\n`--metrics` chooses those with a setting, and may add labels: " +
		"[options](../metrics.md#metrics-of-flows).\n\n")
	table(&b, metrics.Definitions())
	return b.Bytes()
}

func table(b *bytes.Buffer, all []catalog.Metric) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(x, y catalog.Metric) int { return strings.Compare(x.Name, y.Name) })
	settings := metrics.Settings()
	b.WriteString("| metric | type | labels | setting | what |\n|---|---|---|---|---|\n")
	for _, m := range all {
		setting := settings[m.Name]
		if setting != "" {
			setting = "`" + setting + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", m.Name, m.Kind, strings.Join(m.Labels, ", "), setting, strings.ReplaceAll(m.Help, "|", "\\|"))
	}
}

// TestMetricsSettings: what is wrong is said before anything is opened.
func TestMetricsSettings(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string // of the error; empty: none
	}{
		"none":                  {nil, ""},
		"every address":         {[]string{"--metrics-listen=:9965"}, ""},
		"an address":            {[]string{"--metrics-listen=[::1]:9965", "--metrics="}, ""},
		"a unix socket":         {[]string{"--metrics-listen=/run/sluice/metrics.sock"}, ""},
		"TLS":                   {[]string{"--metrics-listen=:9965", "--metrics-tls-cert=a", "--metrics-tls-key=b"}, ""},
		"no port":               {[]string{"--metrics-listen=localhost"}, "use HOST:PORT"},
		"a key alone":           {[]string{"--metrics-listen=:9965", "--metrics-tls-key=b"}, "go together"},
		"tokens in clear":       {[]string{"--metrics-listen=:9965", "--metrics-token-file=t"}, "loopback"},
		"tokens on loopback":    {[]string{"--metrics-listen=127.0.0.1:9965", "--metrics-token-file=t"}, ""},
		"files without address": {[]string{"--metrics-token-file=t"}, "name an address"},
		"an unknown metric":     {[]string{"--metrics=dns"}, `unknown metric "dns"`},
		"an unknown option":     {[]string{"--metrics=drop:colour=red"}, `unknown option "colour"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := parseConfig(c.args)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
