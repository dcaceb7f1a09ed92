package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-net/sluice/integration/hosts"
)

// daemonDir finds the host's sluiced in /proc.
func daemonDir(h *hosts.Host) (string, error) {
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", h.PID()))
	if err != nil {
		return "", err
	}
	commands, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return "", err
	}
	for _, path := range commands {
		name, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(name)) != "sluiced" {
			continue
		}
		dir := filepath.Dir(path)
		if own, err := os.Readlink(filepath.Join(dir, "ns/pid")); err == nil && own == namespace {
			return dir, nil
		}
	}
	return "", fmt.Errorf("find sluiced: it does not run in %s", h.Name)
}

// daemonMemory returns what the host's sluiced holds resident, and its share of that, MiB.
func daemonMemory(h *hosts.Host) (resident, share float64, err error) {
	dir, err := daemonDir(h)
	if err != nil {
		return 0, 0, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
	if err != nil {
		return 0, 0, fmt.Errorf("read memory of sluiced: %w", err)
	}
	resident, share = parseRollup(string(text))
	return resident, share, nil
}

// daemonCPU returns the processor time that the host's sluiced has used, the kernel's verifier for it included.
func daemonCPU(h *hosts.Host) (time.Duration, error) {
	dir, err := daemonDir(h)
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return 0, fmt.Errorf("read processor time of sluiced: %w", err)
	}
	return parseStat(string(text))
}

// tick is the unit of times in /proc: every Linux has a hundred a second there.
const tick = 10 * time.Millisecond

// parseStat takes utime and stime, the 14th and 15th field, out of /proc/PID/stat. The second may hold spaces.
func parseStat(text string) (time.Duration, error) {
	fields := strings.Fields(text[strings.LastIndex(text, ")")+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("read processor time: %d fields", len(fields))
	}
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	system, err := strconv.Atoi(fields[12])
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	return time.Duration(user+system) * tick, nil
}

// parseRollup takes Rss and Pss, which are in kB, out of smaps_rollup.
func parseRollup(text string) (resident, share float64) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kb, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "Rss:":
			resident = kb / 1024
		case "Pss:":
			share = kb / 1024
		}
	}
	return resident, share
}
