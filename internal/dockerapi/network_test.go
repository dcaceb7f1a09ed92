package dockerapi

import (
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNetworksOfOldEngines: 20.10 answers with a prefix length behind the gateway that it chose.
func TestNetworksOfOldEngines(t *testing.T) {
	const answer = `{"Name": "net", "Id": "0123", "Driver": "sluice",
		"IPAM": {"Config": [{"Subnet": "fd00::/64", "Gateway": "fd00::1/64"}, {"Subnet": "nonsense"}]},
		"Containers": {"c1": {"Name": "web", "EndpointID": "e1", "IPv6Address": "fd00::2/64"}}}`
	socket := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/networks", func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.Query().Get("filters"); got != `{"driver":{"sluice":true}}` {
			t.Errorf("filters %s", got)
		}
		_, _ = w.Write([]byte("[" + answer + "]"))
	})
	mux.HandleFunc("/networks/0123", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) })
	mux.HandleFunc("/networks/absent", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"message": "network absent not found"}`, http.StatusNotFound)
	})
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	c, err := New("unix://"+socket, "sluice")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	listed, err := c.listNetworks(t.Context(), "sluice")
	if err != nil || len(listed) != 1 || listed[0].Name != "net" {
		t.Errorf("listNetworks: %+v, %v", listed, err)
	}
	n, err := c.inspectNetwork(t.Context(), "0123")
	if err != nil || n.Containers["c1"].EndpointID != "e1" {
		t.Errorf("inspectNetwork: %+v, %v", n, err)
	}
	if got := n.subnets(); len(got) != 1 || got[0] != netip.MustParsePrefix("fd00::/64") {
		t.Errorf("subnets: %v", got)
	}
	_, err = c.inspectNetwork(t.Context(), "absent")
	if diff := cmp.Diff("inspect network absent: the engine says: network absent not found", err.Error()); diff != "" {
		t.Error(diff)
	}
}
