package load

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// softirqTime returns the processor time so far of the kernel's thread that handles what interrupts of the CPU leave
// over, 0 if it cannot be found. A path that pushes work there must not look cheap.
func softirqTime(cpu int) time.Duration {
	pid, err := findKernelThread(fmt.Sprintf("ksoftirqd/%d", cpu))
	if err != nil {
		return 0
	}
	text, err := os.ReadFile(filepath.Join("/proc", pid, "schedstat"))
	if err != nil {
		return 0
	}
	return parseSchedstat(string(text))
}

// parseSchedstat takes the time on a processor, the first number, ns.
func parseSchedstat(text string) time.Duration {
	first, _, _ := strings.Cut(text, " ")
	n, _ := strconv.ParseInt(first, 10, 64)
	return time.Duration(n)
}

// findKernelThread returns the pid of a kernel thread, which is a child of kthreadd and so among the first pids.
func findKernelThread(name string) (string, error) {
	for pid := 2; pid < 1000; pid++ {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err == nil && strings.TrimSpace(string(text)) == name {
			return strconv.Itoa(pid), nil
		}
	}
	return "", fmt.Errorf("find kernel thread %s: none", name)
}
