package ipam

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	plugin "github.com/docker/go-plugins-helpers/ipam"
	"github.com/google/go-cmp/cmp"
)

// call decodes a body for a method and returns the answer's JSON or the error.
func (f *fixture) call(name, body string) string {
	f.t.Helper()
	answer, err := dispatch(f.t.Context(), Driver{f.Allocator}, name, []byte(body))
	if err != nil {
		return "error: " + err.Error()
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(raw)
}

// dispatch does what package driver does.
func dispatch(ctx context.Context, d Driver, name string, body []byte) (any, error) {
	switch name {
	case "RequestPool":
		var r plugin.RequestPoolRequest
		if err := json.Unmarshal(body, &r); err != nil {
			return nil, err
		}
		return d.RequestPool(ctx, r)
	case "RequestAddress":
		var r plugin.RequestAddressRequest
		if err := json.Unmarshal(body, &r); err != nil {
			return nil, err
		}
		return d.RequestAddress(ctx, r)
	case "ReleaseAddress":
		var r plugin.ReleaseAddressRequest
		if err := json.Unmarshal(body, &r); err != nil {
			return nil, err
		}
		return struct{}{}, d.ReleaseAddress(ctx, r)
	case "ReleasePool":
		var r plugin.ReleasePoolRequest
		if err := json.Unmarshal(body, &r); err != nil {
			return nil, err
		}
		return struct{}{}, d.ReleasePool(ctx, r)
	}
	return nil, errors.New("no such method")
}

// The calls of docker network create --subnet --ip-range --gateway --aux-address, a run with --ip6 and the removal.
func TestProtocol(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct{ method, body, want string }{
		{"RequestPool", `{"AddressSpace":"sluice-local","Pool":"10.5.0.0/16","SubPool":"10.5.9.0/24","Options":{},"V6":false}`,
			`{"PoolID":"10.5.0.0/16","Pool":"10.5.0.0/16","Data":{}}`},
		{"RequestAddress", `{"PoolID":"10.5.0.0/16","Address":"10.5.0.1","Options":{"RequestAddressType":"com.docker.network.gateway"}}`,
			`{"Address":"10.5.0.1/16","Data":{}}`},
		{"RequestAddress", `{"PoolID":"10.5.0.0/16","Address":"10.5.0.5","Options":null}`, `{"Address":"10.5.0.5/16","Data":{}}`},
		{"RequestPool", `{"AddressSpace":"sluice-local","Pool":"fd05::/64","SubPool":"","Options":null,"V6":true}`,
			`{"PoolID":"fd05::/64","Pool":"fd05::/64","Data":{}}`},
		{"RequestAddress", `{"PoolID":"10.5.0.0/16","Address":"","Options":{"com.docker.network.endpoint.name":"web"}}`,
			`{"Address":"10.5.9.0/16","Data":{}}`},
		{"RequestAddress", `{"PoolID":"fd05::/64","Address":"fd05::a","Options":{}}`, `{"Address":"fd05::a/64","Data":{}}`},
		{"ReleaseAddress", `{"PoolID":"10.5.0.0/16","Address":"10.5.9.0"}`, `{}`},
		{"ReleaseAddress", `{"PoolID":"10.5.0.0/16","Address":"10.5.9.0"}`, `{}`},
		{"ReleaseAddress", `{"PoolID":"gone","Address":"10.5.9.0"}`, `{}`},
		{"ReleasePool", `{"PoolID":"10.5.0.0/16"}`, `{}`},
		{"ReleasePool", `{"PoolID":"10.5.0.0/16"}`, `{}`},
		{"ReleasePool", `{"PoolID":"fd05::/64"}`, `{}`},
	} {
		if diff := cmp.Diff(c.want, f.call(c.method, c.body)); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.method, c.body, diff)
		}
	}
	if len(f.Pools())+len(f.Leases()) > 0 {
		t.Errorf("left: %v %v", f.Pools(), f.Leases())
	}
}

func TestProtocolRefusals(t *testing.T) {
	f := newFixture(t)
	f.pool("10.5.0.0/16", "")
	for _, c := range []struct{ method, body, want string }{
		{"RequestPool", `{"Pool":"10.6.0.0"}`, "address/length"},
		{"RequestPool", `{"Pool":"10.6.0.0/16","SubPool":"x"}`, `range "x"`},
		{"RequestPool", `{"Pool":"10.6.0.0/16","Options":{"sluice.siez":"26"}}`, "valid is sluice.size=LENGTH"},
		{"RequestPool", `{"Options":{"sluice.size":"99"}}`, "from 8 to 30"},
		{"RequestPool", `{"Pool":"0.0.0.0/0"}`, "too large"},
		{"RequestPool", `{"Pool":"fd00::/64"}`, "wrong family"},
		{"RequestAddress", `{"PoolID":"10.5.0.0/16","Address":"ten"}`, "not an IP address"},
		{"RequestAddress", `{"PoolID":"10.5.0.0/16","Address":"fe80::1%eth0"}`, "not an IP address"},
		{"RequestAddress", `{"PoolID":"","Address":""}`, "no such pool"},
		{"ReleaseAddress", `{"PoolID":"10.5.0.0/16","Address":"ten"}`, "not an IP address"},
	} {
		if got := f.call(c.method, c.body); !strings.HasPrefix(got, "error: ") || !strings.Contains(got, c.want) {
			t.Errorf("%s %s: %s, want %q", c.method, c.body, got, c.want)
		}
	}
}

func TestParsePoolOptions(t *testing.T) {
	o, err := ParsePoolOptions(map[string]string{"sluice.size": "26", "com.docker.network.x": "y"})
	if err != nil || o.Size != 26 {
		t.Errorf("%+v, %v", o, err)
	}
}

func FuzzMethods(f *testing.F) {
	for _, seed := range []string{
		`{"AddressSpace":"sluice-local","Pool":"10.5.0.0/16","SubPool":"10.5.9.0/24","Options":{},"V6":false}`,
		`{"PoolID":"10.5.0.0/16","Address":"10.5.0.1","Options":{"RequestAddressType":"com.docker.network.gateway"}}`,
		`{"V6":true}`, `{"Options":{"sluice.size":"24"}}`, ``, `null`, `{"PoolID":null}`,
	} {
		for _, name := range []string{"RequestPool", "RequestAddress", "ReleaseAddress", "ReleasePool"} {
			f.Add(name, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		x := newFixture(t)
		x.pool("10.5.0.0/16", "")
		answer, err := dispatch(t.Context(), Driver{x.Allocator}, name, body)
		if err == nil {
			if _, err := json.Marshal(answer); err != nil {
				t.Error(err)
			}
		}
		x.restart() // what was stored can be read
	})
}

func TestNameservers(t *testing.T) {
	got := nameservers([]byte("nameserver 10.0.0.53\n;nameserver 1.1.1.1\nnameserver\nnameserver fe80::1%eth0 # router\nnameserver ::ffff:10.0.0.54\nnameserver bad\n"))
	want := []string{"10.0.0.53", "fe80::1", "10.0.0.54"}
	var texts []string
	for _, p := range got {
		texts = append(texts, p.String())
	}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
