package endpoint

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// onTwoNetworks makes container 1 on networks 1 (both families) and 2 (IPv4 only), in one sandbox, with port 8080
// published by the first.
func onTwoNetworks(t *testing.T) *world {
	w := newWorld(t)
	w.makeNetwork(1)
	w.run(1, 1)
	w.must(w.Program(t.Context(), portsRequest(1, 1, 8080)))
	w.connectIPv4()
	return w
}

// connectIPv4 attaches container 1 to a network 2, with an IPv4 address only.
func (w *world) connectIPv4() {
	w.t.Helper()
	w.makeNetwork(2)
	request := endpointRequest(2, 1)
	request.IPv6 = netip.Prefix{}
	_, err := w.CreateEndpoint(w.t.Context(), request)
	w.must(err)
	w.engine.attach(request.NetworkID, request.ID, container(1))
	_, err = w.Join(w.t.Context(), joinRequest(2, 1))
	w.must(err)
}

// takeIPv4 makes network 2 the container's way out for IPv4, as Docker does from 29 on.
func (w *world) takeIPv4() error {
	if err := w.Program(w.t.Context(), portsRequest(1, 1, 8080)); err != nil {
		return err
	}
	r := portsRequest(2, 1, 8080)
	r.Split = true
	return w.Program(w.t.Context(), r)
}

func (w *world) backends() map[string]string {
	all := map[string]string{}
	for f, b := range w.kernel.frontends {
		all[f.String()] = b.Addr.String()
	}
	return all
}

// A port follows the container's way out from endpoint to endpoint, also over restarts of the daemon.
func TestPortsMoveWithinSandbox(t *testing.T) {
	own := map[string]string{"0.0.0.0:8080/tcp": "10.1.1.1", "[::]:8080/tcp": "fd00:1::101"}
	split := map[string]string{"0.0.0.0:8080/tcp": "10.2.1.1", "[::]:8080/tcp": "fd00:1::101"}
	for _, restart := range []bool{false, true} {
		w := onTwoNetworks(t)
		check := func(when string, want map[string]string) {
			t.Helper()
			if restart {
				w.start()
			}
			if diff := cmp.Diff(want, w.backends()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
			w.check()
		}
		check("published", own)
		w.must(w.takeIPv4())
		check("IPv4 moved", split)
		w.must(w.takeIPv4())
		check("moved again", split)
		w.must(w.stop(2, 1))
		w.must(w.Program(t.Context(), portsRequest(1, 1, 8080)))
		check("moved back", own)
		w.must(w.stop(1, 1))
		check("stopped", map[string]string{})
	}
}

// A refusal names the container that has the port, not its endpoint.
func TestRefusalNamesTheContainer(t *testing.T) {
	w := newWorld(t)
	w.makeNetwork(1)
	w.run(1, 1)
	w.run(1, 2)
	w.must(w.Program(t.Context(), portsRequest(1, 1, 8080)))
	err := w.Program(t.Context(), portsRequest(1, 2, 8080))
	if err == nil || !strings.Contains(err.Error(), "0.0.0.0:8080/tcp: port is already allocated to container c1") {
		t.Errorf("refused by %v", err)
	}
	w.sockets.taken[9090] = true
	if err := w.Program(t.Context(), portsRequest(1, 2, 9090)); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("refused by %v", err)
	}
	w.check()
}
