package datapath

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/netns"
	"github.com/sluice-net/sluice/internal/testutil"
)

func TestCheckRelease(t *testing.T) {
	for release, ok := range map[string]bool{
		"6.1.0-13-cloud-amd64": true, "6.18.44": true, "10.0": true, "6.1": true,
		"6.0.19": false, "5.15.0-91-generic": false, "4.19": false, "": false, "linux": false,
	} {
		if err := checkRelease(release); (err == nil) != ok {
			t.Errorf("release %q: error %v", release, err)
		}
	}
}

func TestCheckCapabilities(t *testing.T) {
	caps := func(bits ...int) (set uint64) {
		for _, b := range bits {
			set |= 1 << b
		}
		return set
	}
	for _, tt := range []struct {
		name    string
		set     uint64
		missing []string
	}{
		{"all", ^uint64(0), nil},
		{"none", 0, []string{"CAP_NET_ADMIN", "CAP_BPF", "CAP_SYS_ADMIN"}},
		{"CAP_SYS_ADMIN includes CAP_BPF", caps(unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN), nil},
		{"as CAP_BPF does not the other", caps(unix.CAP_NET_ADMIN, unix.CAP_BPF), []string{"CAP_SYS_ADMIN"}},
		{"no network", caps(unix.CAP_SYS_ADMIN, unix.CAP_BPF), []string{"CAP_NET_ADMIN"}},
	} {
		err := checkCapabilities(tt.set)
		if (err == nil) != (tt.missing == nil) {
			t.Errorf("%s: error %v", tt.name, err)
			continue
		}
		if err != nil && err.Error() != "without "+strings.Join(tt.missing, ", ") {
			t.Errorf("%s: error %v, want %v missing", tt.name, err, tt.missing)
		}
	}
}

func TestHostErr(t *testing.T) {
	h := Host{Requirements: []Requirement{
		{Name: "kernel", Found: "6.1.0"},
		{Name: "jit", Err: errors.New("BPF programs are interpreted"), Remedy: "run sysctl"},
		{Name: "cgroup", Err: errors.New("no"), Remedy: "mount"},
	}}
	want := "jit: BPF programs are interpreted; run sysctl\ncgroup: no; mount"
	if err := h.Err(); err == nil || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if got := h.Requirements[0].String(); got != "kernel: 6.1.0" {
		t.Errorf("a requirement that is met reads %q", got)
	}
	if err := (Host{Requirements: h.Requirements[:1]}).Err(); err != nil {
		t.Errorf("error %v though nothing is wrong", err)
	}
}

func TestPrivilegedCheckHost(t *testing.T) {
	testutil.Privileged(t)
	netns.Unchanged(t)
	defer os.RemoveAll(testPins)
	o := HostOptions{PinDir: testPins, CgroupFallback: "/nonexistent", Prefix: "slc"}
	want := []string{"kernel", "privileges", "bpf", "jit", "bpffs", "cgroup", "doors"}
	for _, o.Clsact = range []bool{false, true} {
		h := CheckHost(o)
		if err := h.Err(); err != nil {
			t.Error(err)
		}
		var names []string
		for _, r := range h.Requirements {
			names = append(names, r.Name)
			if r.Found == "" || r.Remedy == "" {
				t.Errorf("%s says nothing: %+v", r.Name, r)
			}
		}
		if !slices.Equal(names, want) || h.Cgroup == "" {
			t.Errorf("requirements %v, control groups at %q", names, h.Cgroup)
		}
		if o.Clsact != (h.Doors == "clsact") && haveTCX() {
			t.Errorf("clsact wanted: %v, doors by %s", o.Clsact, h.Doors)
		}
	}
	o.PinDir, o.Cgroup = "/proc/self/nothing", "/proc"
	lines := strings.Split(fmt.Sprint(CheckHost(o).Err()), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "bpffs: ") || !strings.Contains(lines[0], "mount -t bpf") {
		t.Errorf("pins where none can be: %q", lines)
	} else if !strings.HasPrefix(lines[1], "cgroup: /proc is no control group") {
		t.Errorf("a control group that is none: %q", lines[1])
	}
}
