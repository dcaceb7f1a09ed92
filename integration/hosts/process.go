package hosts

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

func (h *Host) socket() string { return filepath.Join(h.Dir, "docker.sock") }

// StartDocker starts the engine and waits until it answers.
func (h *Host) StartDocker(options ...string) error {
	if err := h.linkPlugins(); err != nil {
		return err
	}
	argv := append([]string{"dockerd", "-H", "unix://" + h.socket(), "-H", "unix:///run/docker.sock",
		"--data-root", filepath.Join(h.Dir, "data"), "--exec-root", "/run/docker", "--pidfile", "/run/docker.pid",
		"--cgroup-parent", "/" + h.Name}, options...)
	cmd, exited, err := h.background("docker.log", argv)
	if err != nil {
		return err
	}
	h.docker = cmd
	err = Poll(startTimeout, func() error { return h.alive(exited, "docker.log", h.Ping) })
	if err != nil {
		return fmt.Errorf("start dockerd %s: %w\n%s", h.Engine.Version, err, h.Log("docker.log"))
	}
	return nil
}

// Ping asks the engine whether it is there.
func (h *Host) Ping() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", h.socket())
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/_ping", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// StopDocker sends the engine a signal and waits for its end. Without SIGKILL its containers end with it, unless it
// runs with live-restore.
func (h *Host) StopDocker(sig syscall.Signal) error { return h.stop(&h.docker, "dockerd", sig) }

// StartDaemon starts sluiced and waits until its API answers.
func (h *Host) StartDaemon(options ...string) error {
	cmd, exited, err := h.StartDaemonProcess(options...)
	if err != nil {
		return err
	}
	h.daemon = cmd
	err = Poll(startTimeout, func() error { return h.alive(exited, "sluiced.log", h.DaemonAnswers) })
	if err != nil {
		return fmt.Errorf("start sluiced: %w\n%s", err, h.Log("sluiced.log"))
	}
	return nil
}

// StartDaemonProcess starts sluiced and waits for nothing; the channel closes when it ends.
func (h *Host) StartDaemonProcess(options ...string) (*exec.Cmd, <-chan struct{}, error) {
	argv := append([]string{filepath.Join(h.Bin, "sluiced"), "--state-dir", h.StateDir(), "--policy-dir", h.PolicyDir(),
		"--export-dir", h.ExportDir()}, options...)
	return h.background("sluiced.log", argv)
}

// StateDir is where the host's sluiced keeps its state.
func (h *Host) StateDir() string { return filepath.Join(h.Dir, "sluice") }

// PolicyDir is where it looks for policy files; it does not exist at first.
func (h *Host) PolicyDir() string { return filepath.Join(h.Dir, "policy.d") }

// ExportDir is where it looks for files that say where flows are sent; it does not exist at first.
func (h *Host) ExportDir() string { return filepath.Join(h.Dir, "export.d") }

// DaemonAnswers asks sluiced for its status.
func (h *Host) DaemonAnswers() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := h.Output(ctx, filepath.Join(h.Bin, "sluice"), "status")
	return err
}

// StopDaemon sends sluiced a signal and waits for its end.
func (h *Host) StopDaemon(sig syscall.Signal) error { return h.stop(&h.daemon, "sluiced", sig) }

// alive asks ready, unless the process is known to have ended.
func (h *Host) alive(exited <-chan struct{}, log string, ready func() error) error {
	select {
	case <-exited:
		return permanent{fmt.Errorf("it ended early:\n%s", h.Log(log))}
	default:
		return ready()
	}
}

// background starts argv in the host. nsenter forks to enter the host's processes, so the program is its child.
func (h *Host) background(log string, argv []string) (*exec.Cmd, <-chan struct{}, error) {
	out, err := h.log(log)
	if err != nil {
		return nil, nil, err
	}
	defer out.Close()
	cmd := h.Command(context.Background(), argv...)
	cmd.Stdout, cmd.Stderr = out, out
	exited, err := startTied(cmd)
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	return cmd, exited, nil
}

func (h *Host) stop(cmd **exec.Cmd, name string, sig syscall.Signal) error {
	if *cmd == nil {
		return nil
	}
	enter := (*cmd).Process.Pid
	if pid, err := childOf(enter); err == nil {
		if err := syscall.Kill(pid, sig); err != nil {
			return fmt.Errorf("signal %s: %w", name, err)
		}
	}
	err := Poll(stopTimeout, func() error {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", enter)); err == nil {
			return fmt.Errorf("stop %s: still running after %v", name, stopTimeout)
		}
		return nil
	})
	if err == nil {
		*cmd = nil
	}
	return err
}

// linkPlugins gives the command line compose: the engine's own, or the newest engine's where it has none.
func (h *Host) linkPlugins() error {
	dir := filepath.Join(h.Dir, "cli", "cli-plugins")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	suites := Suites()
	from := []string{h.Engine.Plugins, filepath.Join(Cache(), "engines", suites[len(suites)-1], "cli-plugins")}
	for _, plugins := range from {
		target, err := filepath.EvalSymlinks(filepath.Join(plugins, "docker-compose"))
		if err != nil {
			continue
		}
		link := filepath.Join(dir, "docker-compose")
		_ = os.Remove(link)
		return os.Symlink(target, link)
	}
	return nil
}
