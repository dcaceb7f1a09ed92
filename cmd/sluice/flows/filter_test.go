package flows

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// set hands flags to a filter as a command line does: "not", "from-ip=10.0.0.1".
func set(t *testing.T, flags ...string) *Filter {
	t.Helper()
	f := &Filter{}
	for _, flag := range flags {
		name, value, _ := strings.Cut(flag, "=")
		if name == "name" {
			if err := f.Name(value); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := f.Set(name, value); err != nil {
			t.Fatalf("%s: %v", flag, err)
		}
	}
	return f
}

// texts are filters as JSON, one a line.
func texts(t *testing.T, filters []*flowpb.FlowFilter) string {
	t.Helper()
	var b strings.Builder
	for _, f := range filters {
		text, err := compactJSON(f)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		name        string
		flags       []string
		allow, deny string
	}{
		{"nothing", nil, "", ""},
		{"both ends are a pair", []string{"pod=web", "port=80"},
			`{"source_pod":["web"],"source_port":["80"]}` + "\n" + `{"destination_pod":["web"],"destination_port":["80"]}` + "\n", ""},
		{"one end is one filter", []string{"from-ip=10.0.0.0/8", "to-port=443", "verdict=DROPPED"},
			`{"source_ip":["10.0.0.0/8"],"verdict":["DROPPED"],"destination_port":["443"]}` + "\n", ""},
		{"values are alternatives", []string{"to-port=80,443", "to-port=8080"}, `{"destination_port":["80","443","8080"]}` + "\n", ""},
		{"a selector keeps its commas", []string{"from-label=a=b,c in (d,e)"}, `{"source_label":["a=b,c in (d,e)"]}` + "\n", ""},
		{"negated", []string{"protocol=tcp", "not", "to-port=53"}, `{"protocol":["tcp"]}` + "\n", `{"destination_port":["53"]}` + "\n"},
		{"only negated", []string{"not", "ip=::1"}, "", `{"source_ip":["::1"]}` + "\n" + `{"destination_ip":["::1"]}` + "\n"},
		{"namespaces", []string{"namespace=shop"}, `{"source_pod":["shop/"]}` + "\n" + `{"destination_pod":["shop/"]}` + "\n", ""},
		{"a pod in namespaces", []string{"from-pod=web", "from-namespace=shop", "from-namespace=blog"},
			`{"source_pod":["shop/web","blog/web"]}` + "\n", ""},
		{"a pod that names its namespace", []string{"from-pod=a/web", "from-namespace=shop"}, `{"source_pod":["a/web"]}` + "\n", ""},
		{"all namespaces", []string{"to-all-namespaces=true"}, `{"destination_pod":["/"]}` + "\n", ""},
		{"a container, whole", []string{"from-container=web"}, `{"source_pod":["/web$"]}` + "\n", ""},
		{"a container at either end is independent of ports", []string{"container=web", "to-port=80"},
			`{"source_pod":["/web$"],"destination_port":["80"]}` + "\n" + `{"destination_pod":["/web$"],"destination_port":["80"]}` + "\n", ""},
		{"a service of a project", []string{"to-service=shop/db"},
			`{"destination_pod":["shop/"],"destination_workload":[{"name":"db"}]}` + "\n", ""},
		{"services of different projects stay apart", []string{"to-service=shop/db,blog/db"},
			`{"destination_pod":["shop/"],"destination_workload":[{"name":"db"}]}` + "\n" +
				`{"destination_pod":["blog/"],"destination_workload":[{"name":"db"}]}` + "\n", ""},
		{"container and project meet", []string{"from-project=shop", "from-container=web"}, `{"source_pod":["shop/web$"]}` + "\n", ""},
		{"project and service at either end", []string{"project=shop", "from-service=shop/web"},
			`{"source_pod":["shop/"],"source_workload":[{"name":"web"}]}` + "\n" +
				`{"source_pod":["shop/"],"source_workload":[{"name":"web"}],"destination_pod":["shop/"]}` + "\n", ""},
		{"a name is a container or a service", []string{"name=web"},
			`{"source_pod":["/web$"]}` + "\n" + `{"destination_pod":["/web$"]}` + "\n" +
				`{"source_workload":[{"name":"web"}]}` + "\n" + `{"destination_workload":[{"name":"web"}]}` + "\n", ""},
		{"a name with a project is a service", []string{"name=shop/web"},
			`{"source_pod":["shop/"],"source_workload":[{"name":"web"}]}` + "\n" +
				`{"destination_pod":["shop/"],"destination_workload":[{"name":"web"}]}` + "\n", ""},
		{"types", []string{"type=drop", "type=trace:from-endpoint", "type=l7,5:1"},
			`{"event_type":[{"type":1},{"type":4,"match_sub_type":true,"sub_type":5},{"type":129},{"type":5,"match_sub_type":true,"sub_type":1}]}` + "\n", ""},
		{"reasons in any case", []string{"drop-reason-desc=policy denied", "drop-reason-desc=Unsupported_L3_Protocol"},
			`{"drop_reason_desc":["POLICY_DENIED","UNSUPPORTED_L3_PROTOCOL"]}` + "\n", ""},
		{"flags that are set together", []string{"tcp-flags=syn,ack", "tcp-flags=RST"}, `{"tcp_flags":[{"SYN":true,"ACK":true},{"RST":true}]}` + "\n", ""},
		{"reply", []string{"not-reply=true"}, `{"reply":[false]}` + "\n", ""},
		{"families", []string{"ipv4=true", "ip-version=v6"}, `{"ip_version":["IPv4","IPv6"]}` + "\n", ""},
		{"identities", []string{"identity=world", "identity=300"},
			`{"source_identity":[2,300]}` + "\n" + `{"destination_identity":[2,300]}` + "\n", ""},
		{"workload of a kind", []string{"from-workload=Service/web"}, `{"source_workload":[{"name":"web","kind":"Service"}]}` + "\n", ""},
		{"http", []string{"http-status=5+", "http-method=GET", "http-path=/a,b", "http-header=X:y:z"},
			`{"http_status_code":["5+"],"http_method":["GET"],"http_path":["/a,b"],"http_header":[{"key":"X","value":"y:z"}]}` + "\n", ""},
		{"direction", []string{"traffic-direction=Egress"}, `{"traffic_direction":["EGRESS"]}` + "\n", ""},
		{"others", []string{"uuid=u", "node-name=n*", "node-label=a", "interface=eth0", "snat-ip=10.0.0.1", "encrypted=true",
			"trace-id=t", "cel-expression=1", "from-cluster=c", "to-fqdn=*.org", "dns-query=x"},
			`{"uuid":["u"],"source_ip_xlated":["10.0.0.1"],"source_cluster_name":["c"],"destination_fqdn":["*.org"],` +
				`"interface":[{"name":"eth0"}],"dns_query":["x"],"node_name":["n*"],"node_labels":["a"],"trace_id":["t"],` +
				`"encrypted":[true],"experimental":{"cel_expression":["1"]}}` + "\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			allow, deny, err := set(t, c.flags...).Lists()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.allow, texts(t, allow)); diff != "" {
				t.Errorf("allowed (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.deny, texts(t, deny)); diff != "" {
				t.Errorf("denied (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFilterRefuses(t *testing.T) {
	for _, c := range []struct {
		flags []string // the last is refused
		err   string
	}{
		{[]string{"not", "not"}, "one --not is enough"},
		{[]string{"ip=10.0.0.300"}, "neither an address nor a CIDR"},
		{[]string{"to-port=0"}, "from 1 to 65535"},
		{[]string{"from-port=x"}, "--from-port x: ports"},
		{[]string{"verdict=GONE"}, "it is none of AUDIT, DROPPED"},
		{[]string{"drop-reason-desc=policy"}, "it is none of "},
		{[]string{"type=frob"}, "types are drop"},
		{[]string{"type=trace:frob"}, "subtypes are numbers"},
		{[]string{"identity=frob"}, "a number or one of host, world"},
		{[]string{"tcp-flags=frob"}, "flags are syn"},
		{[]string{"traffic-direction=up"}, "neither ingress nor egress"},
		{[]string{"ip-version=5"}, "v4, v6, none"},
		{[]string{"http-header=x"}, "NAME:VALUE"},
		{[]string{"container=a/b"}, "services are --service"},
		{[]string{"service=/b"}, "SERVICE or PROJECT/SERVICE"},
		{[]string{"project=a/b"}, "compose project"},
		{[]string{"from-ip=::1", "ip=::2"}, "--ip and --from-ip cannot be combined"},
		{[]string{"frob=1"}, "there is no filter"},
	} {
		last := c.flags[len(c.flags)-1]
		f := set(t, c.flags[:len(c.flags)-1]...)
		name, value, _ := strings.Cut(last, "=")
		if err := f.Set(name, value); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", last, err, c.err)
		}
	}
	for _, c := range []struct {
		flags []string
		err   string
	}{
		{[]string{"not"}, "nothing follows it"},
		{[]string{"from-container=web", "from-project=shop", "from-service=blog/x"}, "contradicts"},
		{[]string{"name=" + strings.Repeat("a,", 70) + "b"}, "too many combinations"},
	} {
		if _, _, err := set(t, c.flags...).Lists(); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.flags, err, c.err)
		}
	}
}

func TestPods(t *testing.T) {
	for _, c := range []struct{ a, b, both string }{
		{"shop/", "/web$", "shop/web$"},
		{"/web", "/web-1", "/web-1"},
		{"/web$", "/web-1", ""},
		{"/web$", "/we", "/web$"},
		{"/web", "/web$", "/web$"},
		{"shop/a", "blog/a", ""},
		{"web", "default/", "default/web"},
	} {
		for _, order := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			p, ok := parsePod(order[0]).meet(parsePod(order[1]))
			if got := p.String(); ok != (c.both != "") || ok && got != c.both {
				t.Errorf("%s and %s: %s, %t, want %q", order[0], order[1], got, ok, c.both)
			}
		}
	}
	for _, c := range []struct {
		pattern, namespace, name string
		want                     bool
	}{
		{"web", "default", "web-1", true}, {"web", "shop", "web", false}, {"/web", "shop", "web2", true}, {"/web$", "shop", "web2", false},
		{"shop/", "shop", "x", true}, {"shop/", "", "", false}, {"/", "shop", "x", true}, {"/", "", "", false},
	} {
		if got := parsePod(c.pattern).matches(c.namespace, c.name); got != c.want {
			t.Errorf("%s of %s/%s: %t", c.pattern, c.namespace, c.name, got)
		}
	}
}

// FuzzFilter tries flags with whatever values: what is taken becomes filters that match or not, without a panic.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"ip=10.0.0.0/8", "type=trace:x", "label=a in (b", "tcp-flags=syn,", "service=/", "not=", "fqdn=*(", "http-path=("} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, flag string) {
		name, value, _ := strings.Cut(flag, "=")
		filter := &Filter{}
		if filter.Set(name, value) != nil {
			return
		}
		req, err := Options{}.Request(filter, sampleTime)
		if err != nil {
			return
		}
		match, err := NewMatcher(req)
		if err != nil {
			return
		}
		for _, flow := range samples() {
			match(flow)
		}
	})
}
