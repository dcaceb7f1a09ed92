package bolt

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// holder names the process that has the file locked, as far as /proc/locks tells.
func holder(path string) string {
	const unknown = "another process"
	info, err := os.Stat(path)
	if err != nil {
		return unknown
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return unknown
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return unknown
	}
	pid := lockPID(locks, stat.Ino)
	if pid <= 0 {
		return unknown
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return unknown
	}
	return fmt.Sprintf("process %d (%s)", pid, bytes.TrimSpace(name))
}

// lockPID finds the owner of a flock in /proc/locks, whose lines read "1: FLOCK ADVISORY WRITE 42 fd:01:1234 0 EOF"
// (proc_locks(5)). The device is not compared: it differs from stat's on btrfs and overlayfs.
func lockPID(locks []byte, inode uint64) int {
	lines := bufio.NewScanner(bytes.NewReader(locks))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 6 || f[1] != "FLOCK" || !strings.HasSuffix(f[5], ":"+strconv.FormatUint(inode, 10)) {
			continue
		}
		if pid, err := strconv.Atoi(f[4]); err == nil {
			return pid
		}
	}
	return 0
}
