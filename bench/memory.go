package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/integration/hosts"
)

// daemonMemory returns what the host's sluiced holds resident, and its share of that, MiB.
func daemonMemory(h *hosts.Host) (resident, share float64, err error) {
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", h.PID()))
	if err != nil {
		return 0, 0, err
	}
	commands, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return 0, 0, err
	}
	for _, path := range commands {
		name, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(name)) != "sluiced" {
			continue
		}
		dir := filepath.Dir(path)
		if own, err := os.Readlink(filepath.Join(dir, "ns/pid")); err != nil || own != namespace {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
		if err != nil {
			return 0, 0, fmt.Errorf("read memory of sluiced: %w", err)
		}
		resident, share = parseRollup(string(text))
		return resident, share, nil
	}
	return 0, 0, fmt.Errorf("read memory of sluiced: it does not run in %s", h.Name)
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
