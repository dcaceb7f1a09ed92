package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	logtest "github.com/sirupsen/logrus/hooks/test"
)

// serveMetricsAlone serves the metrics of a daemon that has no other part, and returns how to reach it.
func serveMetricsAlone(t *testing.T, args ...string) net.Listener {
	t.Helper()
	c, _, err := parseConfig(args)
	if err != nil {
		t.Fatal(err)
	}
	log, _ := logtest.NewNullLogger()
	d := &daemon{config: c, log: log}
	if err := d.wireMetrics(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	server := &http.Server{Handler: d.metered.outside}
	go func() { _ = server.Serve(d.metered.listener) }()
	t.Cleanup(func() { server.Close() })
	return d.metered.listener
}

// scrape asks for metrics, with a token unless that is empty.
func scrape(t *testing.T, network, address, token string) (status int, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}}
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// TestWhoReadsMetrics: everybody, unless there are tokens; none that is for some namespaces only.
func TestWhoReadsMetrics(t *testing.T) {
	all, some := strings.Repeat("a", 64), strings.Repeat("b", 64)
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(all+"\n"+some+" shop\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := serveMetricsAlone(t, "--metrics-listen=127.0.0.1:0")
	if status, body := scrape(t, "tcp", open.Addr().String(), ""); status != http.StatusOK || !strings.Contains(body, "hubble_lost_events_total") ||
		!strings.Contains(body, "go_goroutines") || !strings.Contains(body, "process_start_time_seconds") {
		t.Errorf("status %d: %.200s", status, body)
	}
	guarded := serveMetricsAlone(t, "--metrics-listen=127.0.0.1:0", "--metrics-token-file="+file)
	for token, want := range map[string]int{"": 401, strings.Repeat("c", 64): 401, all: 200, some: 403} {
		if status, body := scrape(t, "tcp", guarded.Addr().String(), token); status != want {
			t.Errorf("with token %.3s: status %d, want %d: %.200s", token, status, want, body)
		}
	}
	socket := filepath.Join(t.TempDir(), "m.sock")
	serveMetricsAlone(t, "--metrics-listen="+socket)
	if status, _ := scrape(t, "unix", socket, ""); status != http.StatusOK {
		t.Errorf("unix socket: status %d", status)
	}
}

// TestMetricsAddressTaken: the daemon says which setting is in the way.
func TestMetricsAddressTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, _, err := parseConfig([]string{"--metrics-listen=" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	log, _ := logtest.NewNullLogger()
	d := &daemon{config: c, log: log}
	if err := d.wireMetrics(t.Context()); err == nil || !strings.Contains(err.Error(), "--metrics-listen") || !strings.Contains(err.Error(), "in use") {
		t.Errorf("error %v", err)
	}
}
