package dockerapi

import (
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDomains: new engines list what their DNS answers, old ones the aliases only.
func TestDomains(t *testing.T) {
	answers := map[string]string{
		"new": `{"Name": "/shop-web-1", "NetworkSettings": {"Networks": {
			"shop": {"EndpointID": "e1", "Aliases": ["web"], "DNSNames": ["shop-web-1", "web", "0123", "web"]}, "none": {"DNSNames": ["x"]}}}}`,
		"old": `{"Name": "/web", "NetworkSettings": {"Networks": {
			"shop": {"EndpointID": "e1", "Aliases": ["www", "0123"], "Gateway": "fd00::1/64"}, "other": {"EndpointID": "e2", "Aliases": null}}}}`,
	}
	socket := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/containers/{id}/json", func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.PathValue("id")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte(answer))
	})
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	c, err := New("unix://"+socket, "sluice")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for id, want := range map[string]map[string][]string{
		"new": {"e1": {"shop-web-1", "web", "0123"}},
		"old": {"e1": {"web", "www", "0123"}, "e2": {"web"}},
	} {
		got, err := c.Domains(t.Context(), id)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", id, err, diff)
		}
	}
	if _, err := c.Domains(t.Context(), "gone"); err == nil {
		t.Error("a container that is gone has domains")
	}
}
