package datapath

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"
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
	CgroupFallback string // where to mount the control groups if they are mounted nowhere
	Clsact         bool   // LinksConfig.Clsact
	Prefix         string // of devices
}

// Host is what CheckHost found.
type Host struct {
	Cgroup       string // where the root of the control groups is
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
// nothing else, and repeats at no cost.
func CheckHost(o HostOptions) Host {
	var h Host
	add := func(name, remedy string, check func() (string, error)) {
		found, err := check()
		h.Requirements = append(h.Requirements, Requirement{Name: name, Found: found, Err: err, Remedy: remedy})
	}
	add("kernel", "boot Linux 6.1 or newer", checkKernel)
	add("privileges", "run as root, or give the service CAP_NET_ADMIN, CAP_BPF and CAP_SYS_ADMIN", checkPrivileges)
	add("memlock", "raise the limit of locked memory (LimitMEMLOCK=infinity)", func() (string, error) {
		return "accounted to the control group", rlimit.RemoveMemlock()
	})
	add("bpf", "see that neither seccomp nor a security module refuses bpf(2)", checkBPF)
	add("jit", "run sysctl -w net.core.bpf_jit_enable=1; a kernel without CONFIG_BPF_JIT cannot run Sluice", checkJIT)
	add("bpffs", "run mount -t bpf bpf /sys/fs/bpf, or choose a directory of pins on a BPF file system", func() (string, error) {
		return o.PinDir, MountBPF(o.PinDir)
	})
	add("cgroup", "mount the control groups: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified", func() (string, error) {
		var err error
		h.Cgroup, err = CgroupRoot(o.CgroupFallback)
		return h.Cgroup, err
	})
	add("doors", "load the modules sch_ingress and cls_bpf, or boot Linux 6.6 or newer", func() (string, error) {
		var err error
		h.Doors, err = checkDoors(o)
		return h.Doors, err
	})
	return h
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
	var sets [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &sets[0]); err != nil {
		return "", fmt.Errorf("read capabilities: %w", err)
	}
	return "sufficient", checkCapabilities(uint64(sets[1].Effective)<<32 | uint64(sets[0].Effective))
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
	if err != nil {
		return nil, fmt.Errorf("load program: %w", err)
	}
	return p, nil
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
