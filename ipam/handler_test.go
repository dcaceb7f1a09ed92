package ipam

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// call sends a body to a method and returns the answer's JSON or the error.
func (f *fixture) call(name, body string) string {
	f.t.Helper()
	method, ok := Driver{f.Allocator}.Methods()["IpamDriver."+name]
	if !ok {
		f.t.Fatalf("no method %s", name)
	}
	answer, err := method(f.t.Context(), []byte(body))
	if err != nil {
		return "error: " + err.Error()
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(raw)
}

// The calls of docker network create --subnet --ip-range --gateway --aux-address, a run with --ip6 and the removal.
func TestProtocol(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct{ method, body, want string }{
		{"GetCapabilities", "", `{"RequiresMACAddress":false,"RequiresRequestReplay":false}`},
		{"GetDefaultAddressSpaces", "", `{"LocalDefaultAddressSpace":"sluice-local","GlobalDefaultAddressSpace":"sluice-global"}`},
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
		{"RequestPool", "", "body is empty"},
		{"RequestPool", " \n", "body is empty"},
		{"RequestAddress", "", "body is empty"},
		{"ReleaseAddress", "", "body is empty"},
		{"ReleasePool", "", "body is empty"},
		{"RequestPool", "{", "malformed"},
		{"RequestPool", `[]`, "malformed"},
		{"RequestPool", `{"Pool":7}`, "malformed"},
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
	if _, err := (Driver{f.Allocator}).Methods()["IpamDriver.RequestPool"](t.Context(), nil); !errors.Is(err, ErrRequest) {
		t.Errorf("empty body: %v, want ErrRequest", err)
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
		method, ok := Driver{x.Allocator}.Methods()["IpamDriver."+name]
		if !ok {
			return
		}
		answer, err := method(t.Context(), body)
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
	want := []string{"10.0.0.53/32", "fe80::1/128", "10.0.0.54/32"}
	var texts []string
	for _, p := range got {
		texts = append(texts, p.String())
	}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
