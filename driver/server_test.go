package driver

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnswers(t *testing.T) {
	const ids = `"NetworkID":"n1","EndpointID":"e1"`
	for _, c := range []struct{ name, method, body, want, call string }{
		{"activate", "Plugin.Activate", ``, `{"Implements":["NetworkDriver","IpamDriver"]}`, ""},
		{"capabilities", "NetworkDriver.GetCapabilities", ``, `{"ConnectivityScope":"local","GwAllocChecker":true,"Scope":"local"}`, ""},
		{"ipam capabilities", "IpamDriver.GetCapabilities", ``, `{"RequiresMACAddress":false,"RequiresRequestReplay":false}`, ""},
		{"gateway check", "NetworkDriver.GwAllocCheck", `{"Options":{"com.docker.network.generic":{"sluice.mtu":"1400"}}}`,
			`{"SkipIPv4":false,"SkipIPv6":false}`, ""},
		{"network", "NetworkDriver.CreateNetwork",
			`{"NetworkID":"n1","Options":{"com.docker.network.internal":true,"com.docker.network.enable_ipv6":true,"com.docker.network.generic":{"sluice.policy":"always","com.docker.network.driver.mtu":"1400","com.docker.network.advertise_addr_ms":"100"}},
			"IPv4Data":[{"AddressSpace":"s","Pool":"10.0.0.0/24","Gateway":"10.0.0.1/24","AuxAddresses":{"dns":"10.0.0.5/24"}}],
			"IPv6Data":[{"AddressSpace":"s","Pool":"fd00::/64"}]}`, `{}`,
			"CreateNetwork {ID:n1 IPv4:[{Space:s Pool:10.0.0.0/24 Gateway:10.0.0.1 Aux:map[dns:10.0.0.5]}] IPv6:[{Space:s Pool:fd00::/64 Gateway:invalid IP Aux:map[]}] Internal:true Options:{MTU:1400 Policy:always Masquerade:true Isolate:false Observe:}}"},
		{"endpoint without MAC", "NetworkDriver.CreateEndpoint",
			`{` + ids + `,"Interface":{"Address":"10.0.0.2/24","AddressIPv6":"fd00::2/64","MacAddress":""},"Options":{"com.docker.network.endpoint.exposedports":[{"Proto":6,"Port":80}],"com.docker.network.portmap":[{"Proto":17,"IP":"","Port":53,"HostIP":"::1","HostPort":5300,"HostPortEnd":5310}]}}`,
			`{"Interface":{"Address":"","AddressIPv6":"","MacAddress":"02:00:00:00:00:01"}}`,
			"CreateEndpoint {NetworkID:n1 ID:e1 IPv4:10.0.0.2/24 IPv6:fd00::2/64 MAC: Exposed:[{Proto:tcp Port:80}] Ports:[[::1]:5300-5310:53/udp] Options:map[] DNS:[]}"},
		{"endpoint with options and DNS servers", "NetworkDriver.CreateEndpoint",
			`{` + ids + `,"Interface":{"MacAddress":"02:42:ac:11:00:02"},"Options":{"sluice.egress":"@net, db:5432","sluice.mode":"audit","com.docker.network.endpoint.dnsservers":["9.9.9.9","::ffff:10.0.0.53","fe80::1%eth0"],"com.docker.network.endpoint.sysctls":"x"}}`, `{"Interface":null}`,
			"CreateEndpoint {NetworkID:n1 ID:e1 IPv4:invalid Prefix IPv6:invalid Prefix MAC:02:42:ac:11:00:02 Exposed:[] Ports:[] Options:map[sluice.egress:@net, db:5432 sluice.mode:audit] DNS:[9.9.9.9 10.0.0.53 fe80::1]}"},
		{"endpoint with MAC", "NetworkDriver.CreateEndpoint",
			`{` + ids + `,"Interface":{"Address":"","AddressIPv6":"","MacAddress":"02:42:ac:11:00:02"},"Options":null}`, `{"Interface":null}`,
			"CreateEndpoint {NetworkID:n1 ID:e1 IPv4:invalid Prefix IPv6:invalid Prefix MAC:02:42:ac:11:00:02 Exposed:[] Ports:[] Options:map[] DNS:[]}"},
		{"join", "NetworkDriver.Join", `{` + ids + `,"SandboxKey":"/run/docker/netns/x","Options":{}}`,
			`{"InterfaceName":{"SrcName":"src0","DstPrefix":"eth"},"Gateway":"","GatewayIPv6":"","StaticRoutes":null,"DisableGatewayService":false}`,
			"Join {NetworkID:n1 EndpointID:e1 SandboxKey:/run/docker/netns/x Exposed:[] Ports:[]}"},
		{"oper info", "NetworkDriver.EndpointOperInfo", `{` + ids + `}`, `{"Value":{}}`, "OperInfo n1 e1"},
		{"program", "NetworkDriver.ProgramExternalConnectivity",
			`{` + ids + `,"Options":{"com.docker.network.portmap":[{"Proto":6,"Port":80,"HostIP":"0.0.0.0","HostPort":8080,"HostPortEnd":8080}]}}`, `{}`,
			"Program {NetworkID:n1 EndpointID:e1 Ports:[0.0.0.0:8080:80/tcp] Split:false}"},
		{"program one family", "NetworkDriver.ProgramExternalConnectivity",
			`{` + ids + `,"Options":{"com.docker.network.driver.private.no_proxy_6to4":true,"com.docker.network.portmap":[{"Proto":6,"Port":80}]}}`, `{}`,
			"Program {NetworkID:n1 EndpointID:e1 Ports:[:80/tcp] Split:true}"},
		{"revoke", "NetworkDriver.RevokeExternalConnectivity", `{` + ids + `}`, `{}`, "Revoke n1 e1"},
		{"leave", "NetworkDriver.Leave", `{` + ids + `}`, `{}`, "Leave n1 e1"},
		{"delete endpoint", "NetworkDriver.DeleteEndpoint", `{` + ids + `}`, `{}`, "DeleteEndpoint n1 e1"},
		{"delete network", "NetworkDriver.DeleteNetwork", `{"NetworkID":"n1"}`, `{}`, "DeleteNetwork n1"},
		{"discover", "NetworkDriver.DiscoverNew", `{"DiscoveryType":1,"DiscoveryData":{"Address":"1.2.3.4","Self":true}}`, `{}`, ""},
		{"undiscover", "NetworkDriver.DiscoverDelete", `{"DiscoveryType":1,"DiscoveryData":{}}`, `{}`, ""},
		{"free network", "NetworkDriver.FreeNetwork", `{"NetworkID":"n1"}`, `{}`, ""},
		{"pool", "IpamDriver.RequestPool", `{"Pool":"10.0.0.0/24"}`, `{"PoolID":"10.0.0.0/24","Pool":"10.0.0.0/24","Data":{}}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBackends()
			status, answer := post(t, newServer(t, b), c.method, []byte(c.body))
			if diff := cmp.Diff(c.want, answer); diff != "" || status != http.StatusOK {
				t.Errorf("status %d, answer (-want +got):\n%s", status, diff)
			}
			if diff := cmp.Diff(c.call, strings.Join(b.calls, "\n")); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// Everything that is refused, and that nothing of it reaches the use-cases.
func TestRefusals(t *testing.T) {
	const ids = `"NetworkID":"n1","EndpointID":"e1"`
	network := func(rest string) string { return `{"NetworkID":"n1",` + rest + `}` }
	generic := func(options string) string {
		return network(`"Options":{"com.docker.network.generic":` + options + `}`)
	}
	for _, c := range []struct{ method, body, want string }{
		{"NetworkDriver.Nonsense", `{}`, `unknown method`},
		{"", `{}`, `unknown method`},
		{"NetworkDriver.CreateNetwork", ``, "body is empty"},
		{"NetworkDriver.CreateEndpoint", "\n", "body is empty"},
		{"NetworkDriver.Join", `null`, "body is empty"},
		{"NetworkDriver.Leave", ``, "body is empty"},
		{"NetworkDriver.DeleteEndpoint", ``, "body is empty"},
		{"NetworkDriver.ProgramExternalConnectivity", ``, "body is empty"},
		{"NetworkDriver.GwAllocCheck", ``, "body is empty"},
		{"IpamDriver.RequestAddress", ``, "body is empty"},
		{"NetworkDriver.CreateNetwork", `{"NetworkID":5}`, "malformed"},
		{"NetworkDriver.CreateNetwork", `[1]`, "malformed"},
		{"NetworkDriver.CreateNetwork", `{"NetworkID":"n1"} trailing`, "malformed"},
		{"NetworkDriver.CreateNetwork", strings.Repeat(`{"a":`, 20000), "malformed"},
		{"NetworkDriver.CreateNetwork", `{"NetworkID":"` + strings.Repeat("x", 2<<20) + `"}`, "too large"},
		{"NetworkDriver.CreateNetwork", `{"NetworkID":"../../etc"}`, "letters and digits"},
		{"NetworkDriver.CreateNetwork", `{}`, "0 characters"},
		{"NetworkDriver.CreateNetwork", generic(`{"sluice.mut":"1400"}`), "did you mean sluice.mtu?"},
		{"NetworkDriver.CreateNetwork", generic(`{"parent":"eth0"}`), "the options are sluice.mtu (1280 to 65535); sluice.policy (default, always, never)"},
		{"NetworkDriver.CreateNetwork", generic(`{"sluice.mtu":"9"}`), "valid are 1280 to 65535"},
		{"NetworkDriver.CreateNetwork", generic(`{"com.docker.network.driver.mtu":"9"}`), "valid are 1280 to 65535"},
		{"NetworkDriver.CreateNetwork", generic(`{"com.docker.network.bridge.enable_icc":"false"}`), "sluice.isolate (true, false)"},
		{"NetworkDriver.CreateNetwork", generic(`{"sluice.policy":"on"}`), "valid are default, always, never"},
		{"NetworkDriver.CreateNetwork", generic(`{"sluice.isolate":"yes"}`), "valid are true, false"},
		{"NetworkDriver.CreateNetwork", generic(`{"sluice.isolate":true}`), "no text"},
		{"NetworkDriver.CreateNetwork", generic(`{"sluice.observe":"flow"}`), "valid are none, drops, flows, packets"},
		{"NetworkDriver.CreateNetwork", generic(`{"sluice.observer":"flows"}`), "did you mean sluice.observe?"},
		{"NetworkDriver.CreateNetwork", generic(`7`), "no object"},
		{"NetworkDriver.GwAllocCheck", generic(`{"sluice.isolate":"yes"}`), "valid are true, false"},
		{"NetworkDriver.CreateNetwork", network(`"Options":{"com.docker.network.internal":"perhaps"}`), "no boolean"},
		{"NetworkDriver.CreateNetwork", network(`"IPv4Data":[{"Pool":"fd00::/64"}]`), "pool"},
		{"NetworkDriver.CreateNetwork", network(`"IPv4Data":[null]`), "pool is null"},
		{"NetworkDriver.CreateNetwork", network(`"IPv4Data":[{"Pool":"10.0.0.0/24","Gateway":"10.0.0.1"}]`), "gateway"},
		{"NetworkDriver.CreateNetwork", network(`"IPv4Data":[{"Pool":"10.0.0.0/24","AuxAddresses":{"a":7}}]`), "aux address a"},
		{"NetworkDriver.AllocateNetwork", `{"NetworkID":"n1"}`, "scope local"},
		{"NetworkDriver.CreateEndpoint", `{"NetworkID":"n1"}`, "0 characters"},
		{"NetworkDriver.CreateEndpoint", `{` + ids + `,"Interface":{"Address":"10.0.0.2"}}`, "address"},
		{"NetworkDriver.CreateEndpoint", `{` + ids + `,"Interface":{"AddressIPv6":"10.0.0.2/24"}}`, "address"},
		{"NetworkDriver.CreateEndpoint", `{` + ids + `,"Interface":{"MacAddress":"nonsense"}}`, "MAC"},
		{"NetworkDriver.CreateEndpoint", `{` + ids + `,"Interface":{"MacAddress":"01:00:5e:00:00:01"}}`, "MAC"},
		{"NetworkDriver.CreateEndpoint", `{` + ids + `,"Options":{"sluice.mtu":"1400"}}`, "docker network create -o"},
		{"NetworkDriver.CreateEndpoint", `{` + ids + `,"Options":{"colour":"red"}}`, "unknown endpoint option"},
		{"NetworkDriver.CreateEndpoint", `{` + ids + `,"Options":{"sluice.egress":7}}`, "no text"},
		{"NetworkDriver.CreateEndpoint", `{` + ids + `,"Options":{"com.docker.network.endpoint.dnsservers":["here"]}}`, "dnsservers"},
		{"NetworkDriver.CreateEndpoint", `{` + ids + `,"Options":{"com.docker.network.portmap":"x"}}`, "portmap"},
		{"NetworkDriver.CreateEndpoint", `{` + ids + `,"Options":{"com.docker.network.portmap":[{"Proto":6,"Port":99999}]}}`, "portmap"},
		{"NetworkDriver.CreateEndpoint", `{` + ids + `,"Options":{"com.docker.network.portmap":[{"Proto":6,"Port":0}]}}`, "port"},
		{"NetworkDriver.ProgramExternalConnectivity", `{` + ids + `,"Options":{"com.docker.network.portmap":[{"Proto":6,"Port":80,"HostIP":"here"}]}}`, "host address"},
		{"NetworkDriver.ProgramExternalConnectivity", `{` + ids + `,"Options":{"com.docker.network.portmap":[{"Proto":6,"Port":80,"HostPort":9,"HostPortEnd":8}]}}`, "port"},
		{"NetworkDriver.Join", `{` + ids + `}`, "SandboxKey"},
	} {
		b := newBackends()
		status, answer := post(t, newServer(t, b), c.method, []byte(c.body))
		var e struct{ Err, Error string }
		if err := json.Unmarshal([]byte(answer), &e); err != nil || e.Err == "" || e.Err != e.Error {
			t.Errorf("%s: answer %s lacks Err or Error", c.method, answer)
		}
		if status < 400 || !strings.Contains(e.Err, c.want) || len(e.Err) > 1000 {
			t.Errorf("%s %.100s: status %d, %q, want %q", c.method, c.body, status, e.Err, c.want)
		}
		if len(b.calls) > 0 {
			t.Errorf("%s %.100s reached %v", c.method, c.body, b.calls)
		}
	}
}

func TestErrorsOfUseCases(t *testing.T) {
	b := newBackends()
	b.fail = errors.New("disk full")
	const ids = `{"NetworkID":"n1","EndpointID":"e1","SandboxKey":"/x"}`
	for _, method := range []string{
		"CreateNetwork", "DeleteNetwork", "CreateEndpoint", "EndpointOperInfo", "Join", "Leave", "DeleteEndpoint",
		"ProgramExternalConnectivity", "RevokeExternalConnectivity",
	} {
		status, answer := post(t, newServer(t, b), "NetworkDriver."+method, []byte(ids))
		if status != http.StatusInternalServerError || !strings.Contains(answer, `"Err":"disk full"`) {
			t.Errorf("%s: %d %s", method, status, answer)
		}
	}
}

func TestPanicIsAnError(t *testing.T) {
	s := newServer(t, newBackends())
	s.Networks = nil
	status, answer := post(t, s, "NetworkDriver.DeleteNetwork", []byte(`{"NetworkID":"n1"}`))
	if status != http.StatusInternalServerError || !strings.Contains(answer, "defect in Sluice") || strings.Contains(answer, ".go:") {
		t.Errorf("%d %s", status, answer)
	}
}

func TestOnlyPOST(t *testing.T) {
	w := httptest.NewRecorder()
	newServer(t, newBackends()).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/Plugin.Activate", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET answers %d", w.Code)
	}
}

// docs/reference/network-options.md holds the table of the options; UPDATE=1 writes it.
func TestNetworkOptionsDocument(t *testing.T) {
	const file = "../docs/reference/network-options.md"
	want := "# Network options\n\nGiven to `docker network create -d sluice -o key=value`, or under `driver_opts` of a network in a compose file.\n" +
		"An unknown key or a value that is not valid is refused; `com.docker.network.driver.mtu` means `sluice.mtu`.\n\n" +
		NetworkOptionsTable() +
		"\n## IPAM options\n\nGiven to `--ipam-driver sluice --ipam-opt key=value`.\n\n" +
		"| option | values | default | meaning |\n|---|---|---|---|\n" +
		"| `sluice.size` | 8 to 30 | as the address block says | length of an automatic IPv4 subnet; automatic IPv6 subnets are /64 of a random /48 (RFC 4193) |\n"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not what the code says; run the test with UPDATE=1 (-want +got):\n%s", file, diff)
	}
}

func TestSuggest(t *testing.T) {
	for key, want := range map[string]string{
		"sluice.mtus": "sluice.mtu", "mtu": "sluice.mtu", "Sluice.Policy": "sluice.policy", "sluice.masquerading": "sluice.masquerade",
		"isolated": "sluice.isolate", "parent": "", "": "", "x": "", "sluice.wrong": "",
	} {
		if got := suggest(key); got != "" != (want != "") || !strings.Contains(got, want) {
			t.Errorf("suggest(%q) = %q, want %q", key, got, want)
		}
	}
}

func FuzzServer(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `{"NetworkID":"n1","EndpointID":"e1","SandboxKey":"/x","Options":{"com.docker.network.portmap":[{"Proto":6,"Port":80}]}}`,
		`{"NetworkID":"n1","Options":{"com.docker.network.generic":{"sluice.mtu":"1400"}},"IPv4Data":[{"Pool":"10.0.0.0/24","Gateway":"10.0.0.1/24","AuxAddresses":{"a":"10.0.0.5/24"}}]}`,
		`{"NetworkID":"n1","EndpointID":"e1","Interface":{"Address":"10.0.0.2/24","MacAddress":"02:00:00:00:00:01"}}`,
		`{"Pool":"10.0.0.0/24","SubPool":"10.0.0.128/25","V6":false}`,
	} {
		for _, method := range []string{
			"NetworkDriver.CreateNetwork", "NetworkDriver.CreateEndpoint", "NetworkDriver.Join", "NetworkDriver.GwAllocCheck",
			"NetworkDriver.ProgramExternalConnectivity", "IpamDriver.RequestPool", "IpamDriver.RequestAddress",
		} {
			f.Add(method, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, method string, body []byte) {
		if strings.ContainsAny(method, " \x00\r\n?#%") || !json.Valid([]byte(`"`+method+`"`)) {
			return
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x/"+method, bytes.NewReader(body))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		newServer(t, newBackends()).ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || strings.Contains(w.Body.String(), "defect in Sluice") {
			t.Errorf("%s %q: %s", method, body, w.Body)
		}
	})
}
