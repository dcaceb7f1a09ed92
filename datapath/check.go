package datapath

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/datapath/link"
)

// Requirement is one thing that the datapath needs of the host.
type Requirement struct {
	Name   string // kernel, privileges, …
	Found  string // what is there, if Err is nil
	Err    error  // what is wrong
	Remedy string // what to do about it
}

// String says it in one line.
func (r Requirement) String() string {
	if r.Err == nil {
		return r.Name + ": " + r.Found
	}
	return fmt.Sprintf("%s: %v; %s", r.Name, r.Err, r.Remedy)
}

// HostOptions is what CheckHost looks at.
type HostOptions struct {
	PinDir         string
	Cgroup         string // the control group to attach to; empty: their root
	CgroupFallback string // where to mount the control groups if they are mounted nowhere
	Clsact         bool   // LinksConfig.Clsact
	Prefix         string // of devices
}

// Host is what CheckHost found.
type Host struct {
	Cgroup       string // the control group to attach to
	Doors        string // how programs are attached: tcx or clsact
	Requirements []Requirement
}

// Err returns what is wrong, one line each, or nil.
func (h Host) Err() error {
	var errs []error
	for _, r := range h.Requirements {
		if r.Err != nil {
			errs = append(errs, errors.New(r.String()))
		}
	}
	return errors.Join(errs...)
}

// CheckHost looks whether the host can run the datapath, and mounts the file systems that are missing. It changes
// nothing else, and repeats at no cost. What cannot be told for want of something else is left out: the cause is what
// somebody has to act on.
func CheckHost(o HostOptions) Host {
	var h Host
	bad := map[string]bool{}
	add := func(name, remedy string, check func() (string, error), needs ...string) {
		if slices.ContainsFunc(needs, func(n string) bool { return bad[n] }) {
			bad[name] = true
			return
		}
		found, err := check()
		bad[name] = err != nil
		h.Requirements = append(h.Requirements, Requirement{Name: name, Found: found, Err: err, Remedy: remedy})
	}
	add("kernel", "boot Linux 6.1 or newer", checkKernel)
	add("privileges", "run as root of the host, or give the service CAP_NET_ADMIN, CAP_BPF and CAP_SYS_ADMIN", checkPrivileges)
	add("bpf", "see that neither seccomp nor a security module refuses bpf(2)", checkBPF, "kernel", "privileges")
	add("jit", "run sysctl -w net.core.bpf_jit_enable=1; a kernel without CONFIG_BPF_JIT cannot run Sluice", checkJIT, "bpf")
	add("bpffs", "run mount -t bpf bpf /sys/fs/bpf, or choose a directory of pins on a BPF file system", func() (string, error) {
		return o.PinDir, MountBPF(o.PinDir)
	}, "kernel", "privileges")
	add("cgroup", "mount the control groups: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified", func() (string, error) {
		var err error
		h.Cgroup, err = findCgroup(o)
		return h.Cgroup, err
	}, "kernel", "privileges")
	add("doors", "load the modules sch_ingress and cls_bpf, or boot Linux 6.6 or newer", func() (string, error) {
		var err error
		h.Doors, err = checkDoors(o)
		return h.Doors, err
	}, "bpf")
	return h
}

// findCgroup returns the wanted control group, or the root of all.
func findCgroup(o HostOptions) (string, error) {
	if o.Cgroup == "" {
		return CgroupRoot(o.CgroupFallback)
	}
	if !isMounted(o.Cgroup, unix.CGROUP2_SUPER_MAGIC) {
		return "", fmt.Errorf("%s is no control group (cgroup2)", o.Cgroup)
	}
	return o.Cgroup, nil
}

// oldest is the first kernel that has everything that the programs use.
const oldestMajor, oldestMinor = 6, 1

func checkKernel() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("read release: %w", err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	return release, checkRelease(release)
}

func checkRelease(release string) error {
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n != 2 {
		return fmt.Errorf("release %q is not understood", release)
	}
	if major < oldestMajor || major == oldestMajor && minor < oldestMinor {
		return fmt.Errorf("release %s is older than %d.%d", release, oldestMajor, oldestMinor)
	}
	return nil
}

// needed are the capabilities, each with one that includes it for the kernel, or itself.
var needed = []struct {
	name        string
	bit, orElse uint
}{
	{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN, unix.CAP_NET_ADMIN},
	{"CAP_BPF", unix.CAP_BPF, unix.CAP_SYS_ADMIN},
	{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN, unix.CAP_SYS_ADMIN},
}

func checkPrivileges() (string, error) {
	if identities, err := os.ReadFile("/proc/self/uid_map"); err == nil && !firstUserNamespace(string(identities)) {
		return "", errors.New("inside a user namespace, whose root the kernel allows no BPF")
	}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &sets[0]); err != nil {
		return "", fmt.Errorf("read capabilities: %w", err)
	}
	return "sufficient", checkCapabilities(uint64(sets[1].Effective)<<32 | uint64(sets[0].Effective))
}

// firstUserNamespace tells by user_namespaces(7)'s uid_map: that of the first one maps every identity to itself.
func firstUserNamespace(identities string) bool {
	return slices.Equal(strings.Fields(identities), []string{"0", "0", "4294967295"})
}

func checkCapabilities(effective uint64) error {
	var missing []string
	for _, c := range needed {
		if effective>>c.bit&1 == 0 && effective>>c.orElse&1 == 0 {
			missing = append(missing, c.name)
		}
	}
	if len(missing) != 0 {
		return fmt.Errorf("without %s", strings.Join(missing, ", "))
	}
	return nil
}

// smallest is a program that does nothing: TC_ACT_UNSPEC lets others decide.
func smallest() (*ebpf.Program, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "sluice_check", Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()}})
	if errors.Is(err, unix.EPERM) {
		return nil, fmt.Errorf("load program: %w", unix.EPERM) // the library's error blames a limit that binds nobody since 5.11
	}
	return p, err
}

func checkBPF() (string, error) {
	p, err := smallest()
	if err != nil {
		return "", err
	}
	return "programs load", p.Close()
}

// checkJIT asks whether a loaded program was compiled, since the setting shows in the first network namespace only. Tail
// calls out of programs with functions need the compiler.
func checkJIT() (string, error) {
	p, err := smallest()
	if err != nil {
		return "", err
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return "", fmt.Errorf("inspect program: %w", err)
	}
	if _, err := info.JitedSize(); err != nil {
		return "", fmt.Errorf("BPF programs are interpreted: %w", err)
	}
	return "on", nil
}

// checkDoors asks which way of attaching the kernel has, clsact by a try at the loopback device.
func checkDoors(o HostOptions) (string, error) {
	if !o.Clsact && haveTCX() {
		return "tcx", nil
	}
	p, err := smallest()
	if err != nil {
		return "", err
	}
	defer p.Close()
	host, err := link.Open(o.Prefix)
	if err != nil {
		return "", err
	}
	defer host.Close()
	const loopback = 1
	if err := host.SetFilter(loopback, link.Ingress, p.FD(), "sluice_check"); err != nil {
		return "", errors.Join(err, host.DeleteFilter(loopback, link.Ingress))
	}
	return "clsact", host.DeleteFilter(loopback, link.Ingress)
}
