package hosts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Engine is an unpacked Docker engine with its command line.
type Engine struct {
	// Suite is the Debian suite that it comes from, or Moby.
	Suite string
	// Version is what dockerd says of itself, such as 20.10.24.
	Version string
	// Bin is the folder with dockerd, containerd, runc and docker.
	Bin string
	// Plugins is the folder with the command line's plugins; empty when the suite has no compose v2.
	Plugins string
}

// Moby is the name of the engine that is built from its source, since it is newer than what Debian serves.
const Moby = "moby"

// newest is the Debian suite with the newest engine.
const newest = "sid"

// Suites are the engines that the scenarios run on if nobody chooses: the oldest supported and the newest that Debian
// serves.
func Suites() []string { return []string{"bookworm", newest} }

// Cache is the folder for what tests fetch and keep: $SLUICE_CACHE, else sluice in the user's or the machine's cache.
func Cache() string {
	if dir := os.Getenv("SLUICE_CACHE"); dir != "" {
		return dir
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "sluice")
	}
	return "/var/cache/sluice"
}

// GetEngine unpacks the engine of a Debian suite, or builds Moby, once: later calls find it in Cache.
func GetEngine(suite string) (Engine, error) {
	dir := engineDir(suite)
	script, args := "engine-get.sh", []string{suite, dir}
	if suite == Moby {
		if _, err := GetEngine(newest); err != nil {
			return Engine{}, err
		}
		script, args = "engine-moby.sh", []string{engineDir(newest), dir}
	}
	path, err := filepath.Abs(filepath.Join(sourceDir(), script))
	if err != nil {
		return Engine{}, err
	}
	if out, err := exec.Command("bash", append([]string{path}, args...)...).CombinedOutput(); err != nil {
		return Engine{}, fmt.Errorf("get engine %s: %w\n%s", suite, err, out)
	}
	version, err := os.ReadFile(filepath.Join(dir, "version"))
	if err != nil {
		return Engine{}, fmt.Errorf("get engine %s: %w", suite, err)
	}
	return Engine{
		Suite:   suite,
		Version: parseVersion(string(version)),
		Bin:     filepath.Join(dir, "bin"),
		Plugins: filepath.Join(dir, "cli-plugins"),
	}, nil
}

func engineDir(suite string) string { return filepath.Join(Cache(), "engines", suite) }

// parseVersion takes 20.10.24 out of "Docker version 20.10.24+dfsg1, build 5d6db84".
func parseVersion(line string) string {
	for _, word := range strings.Fields(line) {
		if word[0] >= '0' && word[0] <= '9' {
			return strings.TrimRight(strings.Split(word, "+")[0], ",")
		}
	}
	return "unknown"
}

// Old says that the engine is older than 28: it joins before the container's process exists, and lacks --ipv4=false.
func (e Engine) Old() bool { return e.before(28) }

// Splits says that the engine is 29 or newer: a container's endpoints publish its ports each for one family.
func (e Engine) Splits() bool { return !e.before(29) }

func (e Engine) before(major int) bool {
	text, _, _ := strings.Cut(e.Version, ".")
	n, err := strconv.Atoi(text)
	return err == nil && n < major
}
