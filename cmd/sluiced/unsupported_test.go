package main

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/internal/testutil"
)

// TestPrivilegedUnsupportedHost: on a host that lacks something, the daemon ends with one line that names it and what to
// do, and not what follows from it.
func TestPrivilegedUnsupportedHost(t *testing.T) {
	testutil.Privileged(t)
	h := newHost(t)
	for name, c := range map[string]struct {
		wrapper []string
		flags   []string
		want    []string
	}{
		"an old kernel": {[]string{"setarch", machine(), "--uname-2.6"}, nil,
			[]string{"kernel: release 2.6.", "older than 6.1; boot Linux 6.1 or newer"}},
		"no BPF": {[]string{"setpriv", "--bounding-set", "-bpf,-sys_admin"}, nil,
			[]string{"privileges: without CAP_BPF, CAP_SYS_ADMIN; run as root"}},
		"no network": {[]string{"setpriv", "--bounding-set", "-net_admin"}, nil,
			[]string{"privileges: without CAP_NET_ADMIN; run as root"}},
		"a rootless container": {[]string{"unshare", "--user", "--map-root-user"}, nil,
			[]string{"privileges: inside a user namespace", "run as root of the host"}},
		"no BPF file system": {nil, []string{"--pin-dir", "/proc/pins"},
			[]string{"bpffs: ", "; run mount -t bpf"}},
		"no control groups": {[]string{"unshare", "--mount", "sh", "-c", `umount -l /sys/fs/cgroup; exec "$@"`, "sh"}, []string{"--cgroup", ""},
			[]string{"cgroup: mount control groups", "; mount the control groups"}},
		"a control group that is none": {nil, []string{"--cgroup", "/proc"},
			[]string{"cgroup: /proc is no control group (cgroup2); mount the control groups"}},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, h.dir+"/run/cgroup", nil) // where the daemon would mount them
			daemon := h.command()
			argv := append(append(c.wrapper, daemon.Args...), c.flags...)
			out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput()
			exit := (*exec.ExitError)(nil)
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || bytes.Count(out, []byte("\n")) != 1 {
				t.Errorf("ended with %v and printed %q, want status 1 and one line", err, out)
			}
			if n := strings.Count(string(out), "; "); n != 1 {
				t.Errorf("printed %q: %d remedies, want one", out, n)
			}
			for _, want := range c.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("printed %q, want %q in it", out, want)
				}
			}
			for _, left := range []string{"/run/*.sock", "/plugins/*.sock"} {
				if found, _ := filepath.Glob(h.dir + left); len(found) > 0 {
					t.Errorf("left %v", found)
				}
			}
		})
	}
}

// machine is the host's architecture as setarch names it.
func machine() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64"
	}
	return "x86_64"
}
