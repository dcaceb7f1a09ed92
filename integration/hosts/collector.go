package hosts

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// GetCollector returns the path of a program that takes OTLP, which it builds once: later calls find it in Cache.
func GetCollector() (string, error) {
	dir := filepath.Join(Cache(), "collector")
	script, err := filepath.Abs(filepath.Join(sourceDir(), "collector-build.sh"))
	if err != nil {
		return "", err
	}
	if out, err := exec.Command("bash", script, dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build collector: %w\n%s", err, out)
	}
	return filepath.Join(dir, "collector"), nil
}
