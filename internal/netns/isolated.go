package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolatedEnv tells the process that Isolated started that it is inside.
const isolatedEnv = "SLUICE_NETNS_ISOLATED"

// BPFDir is where Isolated mounts a BPF file system of its own.
const BPFDir = "/sys/fs/bpf"

// Isolated runs the tests of a package (run, a testing.M's Run) in a network and a mount namespace of their own, with
// their own sysfs, BPF file system and /run, and returns the exit status. Whatever a test leaves behind vanishes with them.
// It does so by starting the program again, since namespaces belong to threads and goroutines move among these.
// Without root it just runs: privileged tests skip then.
//
//	func TestMain(m *testing.M) { os.Exit(netns.Isolated(m.Run)) }
func Isolated(run func() int) int {
	if os.Geteuid() != 0 {
		return run()
	}
	if os.Getenv(isolatedEnv) != "" {
		if err := enter(); err != nil {
			fmt.Fprintln(os.Stderr, "isolate tests:", err)
			return 1
		}
		return run()
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), isolatedEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	signal.Ignore(os.Interrupt) // the child gets it too, and ends the tests
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "isolate tests:", err)
		return 1
	}
	return 0
}

// enter sets up the new namespaces: mounts that do not spread, sysfs of this network namespace, the control groups of
// the old one, an own BPF file system, an empty /run, and the loopback device up.
func enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	const cgroups = "/sys/fs/cgroup"
	tree, err := unix.OpenTree(unix.AT_FDCWD, cgroups, unix.OPEN_TREE_CLONE|unix.AT_RECURSIVE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("keep %s: %w", cgroups, err)
	}
	defer unix.Close(tree)
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount sysfs: %w", err)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, cgroups, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("keep %s: %w", cgroups, err)
	}
	if err := unix.Mount("bpf", BPFDir, "bpf", 0, ""); err != nil {
		return fmt.Errorf("mount BPF file system: %w", err)
	}
	if err := os.MkdirAll("/run", 0o755); err != nil { // a virtual machine of a test may lack it
		return err
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	return setUpLoopback()
}
