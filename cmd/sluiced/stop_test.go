package main

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/netns"
	"github.com/sluice-net/sluice/internal/testutil"
)

// TestPrivilegedStop: a daemon that is told to stop, or to start beside another one, leaves what runs as it is.
func TestPrivilegedStop(t *testing.T) {
	testutil.Privileged(t)
	h := newHost(t)
	states := h.manager()
	h.start()
	states("READY=1")
	h.makeNetwork()
	client, server := "ee01", "ee02"
	a, b := h.container(client, "client-1"), h.container(server, "server-1")
	if err := h.apply(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	transfer := newTransfer(t, a, b, h.held[server].Addr())
	h.second()

	before := h.endpoints()
	h.end(syscall.SIGTERM)
	states("STOPPING=1")
	if _, err := os.Lstat(h.dir + "/plugins/sluice.sock"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the plugin's socket is left: %v", err)
	}
	if !transfer.progress(5 * time.Second) {
		t.Error("the transfer stands still while the daemon is down")
	}
	h.start()
	states("READY=1")
	for i, e := range h.endpoints() {
		if e.Program.Fingerprint != before[i].Program.Fingerprint || !e.Program.Loaded.IsZero() || e.Program.Instructions == 0 {
			t.Errorf("%s runs %+v, it ran %+v", e.Container, e.Program, before[i].Program)
		}
	}
	if !transfer.progress(5 * time.Second) {
		t.Error("the transfer stands still after the daemon's return")
	}
	transfer.end()
	for _, endpoint := range []string{client, server} {
		if err := h.detach(endpoint, h.insist); err != nil {
			t.Fatal(err)
		}
	}
	a.close(t)
	b.close(t)
	h.removeNetwork()
	h.end(syscall.SIGTERM)
	h.nothingLeft(0)
}

// TestPrivilegedSilentEngine: an engine that does not answer keeps neither the daemon nor a container from starting; the
// container is closed until the engine tells its labels.
func TestPrivilegedSilentEngine(t *testing.T) {
	testutil.Privileged(t)
	h := newHost(t)
	h.start()
	h.makeNetwork()
	h.end(syscall.SIGTERM)
	answer := h.engine.silence()
	defer answer()
	h.start()
	if _, err := h.attach("ee01", "late-1"); err != nil {
		t.Fatal(err)
	}
	if all := h.endpoints(); len(all) != 1 || all[0].State != api.StateClosed {
		t.Errorf("endpoints %+v, want one that is closed", all)
	}
	answer()
	h.waitFor(func() string {
		if all := h.endpoints(); all[0].State != api.StateReady || all[0].Labels["app"] != "late" {
			return "the endpoint is " + string(all[0].State)
		}
		return ""
	})
	if err := h.detach("ee01", h.insist); err != nil {
		t.Fatal(err)
	}
	h.removeNetwork()
	h.end(syscall.SIGTERM)
	h.nothingLeft(0)
}

func (h *host) endpoints() []api.Endpoint {
	h.t.Helper()
	all, err := h.control.Endpoints(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// second starts other daemons, one on the same directories, one on its own with the same link prefix: both must refuse,
// and disturb nothing.
func (h *host) second() {
	h.t.Helper()
	look := func() ([]string, error) {
		all, err := netns.Snapshot(netns.BPFDir)
		return slices.DeleteFunc(all, func(line string) bool { // the pool, which the first daemon fills meanwhile
			return strings.Contains(line, "slk") || strings.Contains(line, "/doors/") || strings.Contains(line, "/two")
		}), err
	}
	before := settled(h.t, look)
	alike, apart := h.command(), h.command()
	own := h.t.TempDir()
	apart.Args = append(apart.Args, "--run-dir", own+"/run", "--plugin-dir", own+"/plugins", "--state-dir", own+"/state", "--policy-dir", own+"/policy.d",
		"--pin-dir", netns.BPFDir+"/two")
	for want, daemon := range map[string]*exec.Cmd{"another daemon": alike, "--link-prefix": apart} {
		out, err := daemon.CombinedOutput()
		exit := (*exec.ExitError)(nil)
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || bytes.Count(out, []byte("\n")) != 1 || !strings.Contains(string(out), want) {
			h.t.Errorf("a second daemon: %v, printed %q, want %q in it", err, out, want)
		}
	}
	if d := difference(before, settled(h.t, look)); d != "" {
		h.t.Errorf("a second daemon changed:\n%s", d)
	}
}

// manager listens as the service manager would; what it returns waits for a state.
func (h *host) manager() func(want string) {
	h.t.Helper()
	path := h.dir + "/notify"
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { l.Close() })
	h.t.Setenv("NOTIFY_SOCKET", path)
	return func(want string) {
		h.t.Helper()
		buf := make([]byte, 256)
		_ = l.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := l.Read(buf); err != nil || string(buf[:n]) != want {
			h.t.Errorf("told systemd %q (%v), want %q", buf[:n], err, want)
		}
	}
}
