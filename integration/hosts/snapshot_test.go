package hosts

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLines(t *testing.T) {
	got := lines(" lo\n slc1f@if7\n slcp1f@slc1f\n\n eth0@if3\n")
	if diff := cmp.Diff([]string{"eth0", "lo", "slc#", "slcp#"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestWithoutPool(t *testing.T) {
	tests := map[string]struct{ links, want []string }{
		"only pool":            {[]string{"lo", "slc#", "slc#", "slcp#", "slcp#"}, []string{"lo"}},
		"one container's left": {[]string{"slc#", "slc#", "slcp#"}, []string{"slc#"}},
		"none":                 {[]string{"lo"}, []string{"lo"}},
	}
	for name, tt := range tests {
		if diff := cmp.Diff(tt.want, withoutPool(tt.links)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestPins(t *testing.T) {
	got := pins("/sys/fs/bpf/sluice/maps/nat\n/sys/fs/bpf/sluice/doors/3/from\n" +
		"/sys/fs/bpf/sluice/endpoints/1f/egress\n/sys/fs/bpf/sluice/endpoints/20/egress\n/sys/fs/bpf/sluice/maps/nat\n")
	want := []string{"/sys/fs/bpf/sluice/endpoints/#/egress", "/sys/fs/bpf/sluice/maps/nat"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestItems(t *testing.T) {
	got := items(`[{"container": "web", "network": "net", "ipv4": "10.0.0.2/24", "revision": 7, "egress": {"packets": 3}}]`)
	want := items(`[{"container": "web", "network": "net", "ipv4": "10.0.0.2/24", "revision": 8, "egress": {"packets": 9}}]`)
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 1 {
		t.Error(got, diff)
	}
	if got := items("[]"); len(got) != 0 {
		t.Error(got)
	}
}
