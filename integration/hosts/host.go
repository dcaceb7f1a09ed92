package hosts

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

//go:embed init.sh
var initScript string

// maxDir is the length of a directory beyond which the sockets in it have too long a name.
const maxDir = 80

var hostNumber atomic.Uint32

// Host is a running test host. Its methods are not safe for concurrent use.
type Host struct {
	// Dir holds the host's files: data of the engine, state of the daemon, logs.
	Dir string
	// Name is the host's hostname, unique in this process.
	Name string
	// Engine is the Docker engine that StartDocker runs.
	Engine Engine
	// Bin is the folder with sluiced, sluice and probe.
	Bin string

	pid    int // of the host's first process, seen from the machine
	holder *exec.Cmd
	docker *exec.Cmd
	daemon *exec.Cmd
}

// Up makes a test host in dir, which is made too. It lives until Close, or until this process dies.
func Up(dir string, engine Engine, bin string) (*Host, error) {
	if len(dir) > maxDir {
		return nil, fmt.Errorf("make test host: %s is too long for socket names", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make test host: %w", err)
	}
	h := &Host{
		Dir: dir, Engine: engine, Bin: bin,
		Name: fmt.Sprintf("sluice-%d-%d", os.Getpid(), hostNumber.Add(1)),
	}
	h.holder = exec.Command("unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child",
		"--mount-proc", "bash", "-c", initScript, "init.sh", dir, h.Name, filepath.Join(bin, "probe"))
	log, err := h.log("host.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	h.holder.Stdout, h.holder.Stderr = log, log
	exited, err := startTied(h.holder)
	if err != nil {
		return nil, fmt.Errorf("make test host: %w", err)
	}
	err = Poll(10*time.Second, func() error {
		select {
		case <-exited:
			return permanent{fmt.Errorf("it ended early:\n%s", h.Log("host.log"))}
		default:
		}
		_, err := os.Stat(filepath.Join(dir, "ready"))
		return err
	})
	if err == nil {
		h.pid, err = childOf(h.holder.Process.Pid)
	}
	if err != nil {
		_ = h.holder.Process.Kill()
		return nil, fmt.Errorf("make test host: %w", err)
	}
	return h, nil
}

// Close ends everything in the host at once and forgets its control groups and files.
func (h *Host) Close() error {
	if err := syscall.Kill(h.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("close host %s: %w", h.Name, err)
	}
	err := Poll(10*time.Second, func() error { return removeGroups("/sys/fs/cgroup", h.Name) })
	if err != nil {
		return fmt.Errorf("close host %s: %w", h.Name, err)
	}
	if err := os.RemoveAll(h.Dir); err != nil {
		return fmt.Errorf("close host %s: %w", h.Name, err)
	}
	return nil
}

// PID is the host's first process, as the machine sees it.
func (h *Host) PID() int { return h.pid }

// Args returns the command that runs argv in the host, in the directory wd.
func (h *Host) Args(wd string, argv ...string) []string {
	enter := []string{"nsenter", "-t", strconv.Itoa(h.pid), "-m", "-n", "-p", "-u", "-i", "--",
		"sh", "-c", `cd "$0" && exec "$@"`, wd}
	return append(enter, argv...)
}

// Outside returns the command that runs argv in the host's outside world: namespace outside or far.
func (h *Host) Outside(namespace, wd string, argv ...string) []string {
	return h.Args(wd, append([]string{"ip", "netns", "exec", namespace}, argv...)...)
}

// Command prepares argv to run in the host.
func (h *Host) Command(ctx context.Context, argv ...string) *exec.Cmd {
	args := h.Args("/", argv...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = h.Env()
	return cmd
}

// Output runs argv in the host and returns what it printed, errors included.
func (h *Host) Output(ctx context.Context, argv ...string) (string, error) {
	out, err := h.Command(ctx, argv...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
	}
	return string(out), nil
}

// Env is the environment for commands that use the host's engine and daemon.
func (h *Host) Env() []string {
	return append(os.Environ(), h.Vars()...)
}

// Vars is what Env adds to this process's environment.
func (h *Host) Vars() []string {
	return []string{
		"PATH=" + h.Engine.Bin + ":" + h.Bin + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
		"DOCKER_HOST=unix://" + h.socket(),
		"DOCKER_CONFIG=" + filepath.Join(h.Dir, "cli"),
		"HOME=" + h.Dir,
	}
}

// Log returns the end of one of the host's logs.
func (h *Host) Log(name string) string {
	data, err := os.ReadFile(filepath.Join(h.Dir, name))
	if err != nil {
		return err.Error()
	}
	const most = 3000
	if len(data) > most {
		data = data[len(data)-most:]
	}
	return string(data)
}

func (h *Host) log(name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(h.Dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return f, nil
}

func sourceDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}

// startTied starts cmd so that the kernel kills it when this process dies, and reports its end. The request is tied to
// the thread that makes it, so that thread stays for as long as the command.
func startTied(cmd *exec.Cmd) (<-chan struct{}, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	started, exited := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(exited)
	}()
	return exited, <-started
}

func childOf(pid int) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data))
	if len(fields) == 0 {
		return 0, fmt.Errorf("process %d has no child", pid)
	}
	return strconv.Atoi(fields[0])
}

// removeGroups removes the control groups called name, with all below, in every hierarchy.
func removeGroups(root, name string) error {
	var found []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(path, "/"+name) {
			found = append(found, path)
		}
		return nil
	})
	for i := len(found) - 1; i >= 0; i-- {
		if e := os.Remove(found[i]); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = e
		}
	}
	return err
}

// permanent is an error that polling does not outlast.
type permanent struct{ error }

// Poll calls ready until it succeeds, and returns its last error when the time is over.
func Poll(timeout time.Duration, ready func() error) error {
	deadline := time.Now().Add(timeout)
	for {
		err := ready()
		var final permanent
		if err == nil || errors.As(err, &final) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}
