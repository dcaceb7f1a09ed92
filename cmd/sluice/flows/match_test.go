package flows

import (
	"slices"
	"strings"
	"testing"
)

// TestMatcher names which of the samples flags select.
func TestMatcher(t *testing.T) {
	for _, c := range []struct {
		flags string
		want  []int
	}{
		{"", []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{"uuid=one", []int{0}},
		{"verdict=DROPPED", []int{0, 1, 5}},
		{"verdict=DROPPED not type=policy-verdict", []int{1, 5}},
		{"drop-reason-desc=POLICY_DENIED", []int{0, 1}},
		{"type=policy-verdict", []int{0, 6}},
		{"type=trace:from-endpoint", []int{3}},
		{"type=drop:139", []int{5}},
		{"traffic-direction=egress", []int{3, 7}},
		{"ipv6=true", []int{2, 6, 7}},
		{"ip-version=none", []int{5}},
		{"reply=true", []int{2, 4}},
		{"not-reply=true", []int{3, 6, 7}},
		{"protocol=udp", []int{3}},
		{"protocol=http", []int{4}},
		{"tcp-flags=syn", []int{0, 1, 2, 6}},
		{"tcp-flags=syn,ack", []int{2}},
		{"to-port=5432", []int{0, 1, 6, 7}},
		{"from-port=5432", []int{2}},
		{"port=5432", []int{0, 1, 2, 6, 7}},
		{"ip=172.30.0.0/16", []int{0, 1, 3, 4}},
		{"from-ip=2001:db8::/32", []int{6}},
		{"to-ip=198.51.100.1", []int{3}},
		{"snat-ip=10.77.0.0/16", []int{3}},
		{"pod=alone", []int{3}},
		{"pod=web", nil},
		{"from-pod=shop/shop-web", []int{0, 1, 4, 7}},
		{"from-container=shop-web-1", []int{0, 4}},
		{"container=shop-web", nil},
		{"from-service=shop/web to-service=db", []int{0, 1, 4, 7}},
		{"service=blog/web", nil},
		{"project=shop", []int{0, 1, 2, 4, 6, 7}},
		{"namespace=default", []int{3}},
		{"all-namespaces=true", []int{0, 1, 2, 3, 4, 6, 7}},
		{"name=alone", []int{3}},
		{"name=db", []int{0, 1, 2, 4, 6, 7}},
		{"to-workload=service/db", []int{0, 1, 4, 6, 7}},
		{"to-workload=Deployment/db", nil},
		{"identity=world", []int{3, 6}},
		{"to-identity=301", []int{0, 1, 4, 6, 7}},
		{"label=tier=front", []int{0, 1, 2, 4, 6, 7}},
		{"from-label=com.docker.compose.service=web", []int{0, 1, 4, 7}},
		{"from-label=container:tier", []int{0, 1, 2, 4, 7}},
		{"from-label=any:tier,!app", nil},
		{"to-label=app_notin_(db,web),reserved:world", []int{3}},
		{"from-label=app_in_(db),tier!=back", []int{2}},
		{"to-fqdn=*.org", []int{3}},
		{"fqdn=EXAMPLE.org.", []int{3}},
		{"to-fqdn=org", nil},
		{"http-status=503", []int{4}},
		{"http-status=5+", []int{4}},
		{"http-status=4+", nil},
		{"http-method=get", []int{4}},
		{`http-path=^/page/\d$`, []int{4}},
		{`http-url=x=y$`, []int{4}},
		{"http-header=x-a:b", []int{4}},
		{"trace-id=4bf9", []int{4}},
		{"interface=slc1", []int{0}},
		{"node-name=node-b", []int{2}},
		{"node-name=c2/*", []int{2}},
		{"node-name=node-*", []int{0, 1, 2, 3}},
		{"node-label=rack=1", []int{3}},
		{"from-cluster=default not to-identity=301", []int{2}},
		{"unencrypted=true not from-cluster=default", []int{3, 5, 6}},
		{"encrypted=true", nil},
	} {
		var flags []string
		for _, f := range strings.Fields(c.flags) {
			flags = append(flags, strings.ReplaceAll(f, "_", " "))
		}
		if strings.HasPrefix(c.flags, "drop-reason") {
			flags = strings.Fields(c.flags)
		}
		req, err := Options{}.Request(set(t, flags...), sampleTime)
		if err != nil {
			t.Errorf("%s: %v", c.flags, err)
			continue
		}
		match, err := NewMatcher(req)
		if err != nil {
			t.Errorf("%s: %v", c.flags, err)
			continue
		}
		var got []int
		for i, f := range samples() {
			if match(f) {
				got = append(got, i)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: selects %v, want %v", c.flags, got, c.want)
		}
	}
}

func TestMatcherRefuses(t *testing.T) {
	for flag, want := range map[string]string{
		"cel-expression=true": "not supported there", "http-path=(": "missing closing", "dns-query=[": "missing closing",
		"http-url=*": "missing argument",
	} {
		req, err := Options{}.Request(set(t, flag), sampleTime)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewMatcher(req); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", flag, err, want)
		}
	}
}
