package datapath

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mountPoint is a line of /proc/PID/mountinfo, as far as needed.
type mountPoint struct {
	root, path, kind string
}

// CgroupRoot returns where the root of the control groups of version 2 is mounted: /sys/fs/cgroup, on hosts that use
// both versions /sys/fs/cgroup/unified. If it is nowhere, it is mounted at fallback, a directory that is made.
func CgroupRoot(fallback string) (string, error) {
	points, err := mounts()
	if err != nil {
		return "", fmt.Errorf("find control groups: %w", err)
	}
	best, height := "", -1
	for _, m := range points {
		if up := above(m.root); m.kind == "cgroup2" && up > height && isMounted(m.path, unix.CGROUP2_SUPER_MAGIC) {
			best, height = m.path, up
		}
	}
	if best != "" {
		return best, nil
	}
	if err := os.MkdirAll(fallback, 0o755); err != nil {
		return "", fmt.Errorf("mount control groups: %w", err)
	}
	if err := unix.Mount("cgroup2", fallback, "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return "", fmt.Errorf("mount control groups (cgroup2) at %s: %w", fallback, err)
	}
	return fallback, nil
}

// above says how far the root of a mount lies above the root of this process's control group namespace: 0 for "/", 1
// for "/..", and so on; -1 for what lies beside or below it.
func above(root string) int {
	up := strings.Count(root, "/..")
	if root == "" || root != "/" && root != strings.Repeat("/..", up) {
		return -1
	}
	return up
}

// isMounted reports whether path is on a file system of this kind: something else may be mounted over it.
func isMounted(path string, magic int64) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && int64(st.Type) == magic
}

// MountBPF makes dir, which is to hold pins, and mounts a BPF file system under it if there is none: at the usual place
// if dir is below, otherwise at dir itself.
func MountBPF(dir string) error {
	if mounted, err := onBPF(dir); mounted || err != nil {
		return err
	}
	const usual = "/sys/fs/bpf"
	at := dir
	if rel, err := filepath.Rel(usual, dir); err == nil && filepath.IsLocal(rel) {
		at = usual
	} else if err := os.MkdirAll(at, 0o700); err != nil {
		return fmt.Errorf("mount BPF file system: %w", err)
	}
	if err := unix.Mount("bpf", at, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return fmt.Errorf("mount BPF file system at %s: %w", at, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make directory of pins: %w", err)
	}
	return nil
}

// onBPF reports whether dir is on a BPF file system, and then makes it.
func onBPF(dir string) (bool, error) {
	if !bpfAbove(dir) {
		return false, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, fmt.Errorf("make directory of pins: %w", err)
	}
	return isMounted(dir, unix.BPF_FS_MAGIC), nil
}

// bpfAbove reports whether dir, or its nearest parent that exists, is on a BPF file system.
func bpfAbove(dir string) bool {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return isMounted(dir, unix.BPF_FS_MAGIC)
		}
		dir = filepath.Dir(dir)
	}
}

func mounts() ([]mountPoint, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseMounts(f)
}

// parseMounts reads the format of proc(5): the fields "id parent major:minor root path options", optional ones, "-",
// then the type. Paths have spaces and the like as octal escapes.
func parseMounts(r io.Reader) ([]mountPoint, error) {
	var points []mountPoint
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(before)
		kind, _, _ := strings.Cut(after, " ")
		if !ok || len(fields) < 6 {
			return nil, fmt.Errorf("parse mountinfo: line %q", lines.Text())
		}
		points = append(points, mountPoint{root: unescape(fields[3]), path: unescape(fields[4]), kind: kind})
	}
	return points, lines.Err()
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
