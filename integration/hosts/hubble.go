package hosts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// buildTime bounds the build of one of Hubble's clients: minutes with cold caches, once.
const buildTime = 20 * time.Minute

// hubbleClients are the clients of Hubble that tests drive, each built from the module in integration/hubble/clients that
// pins its version.
var hubbleClients = map[string]struct{ module, source, flags string }{
	"hubble":       {"v1.20", "github.com/cilium/cilium/hubble", "-X github.com/cilium/cilium/hubble/pkg.Version=v1.20.2"},
	"hubble-old":   {"v1.19", "github.com/cilium/cilium/hubble", "-X github.com/cilium/cilium/hubble/pkg.Version=v1.19.4"},
	"hubble-relay": {"v1.20", "github.com/cilium/cilium/hubble-relay", ""},
}

// HubbleClients returns the names that HubbleClient knows.
func HubbleClients() []string { return slices.Sorted(maps.Keys(hubbleClients)) }

// building lets one build run at a time: they use much memory.
var building sync.Mutex

// HubbleClient returns the path of one of Hubble's unmodified clients: hubble, hubble-old (one version before) or
// hubble-relay. It is built once: later calls find it in Cache. A changed go.sum builds it again.
func HubbleClient(name string) (string, error) {
	c, ok := hubbleClients[name]
	if !ok {
		return "", fmt.Errorf("get client of Hubble: there is no %s", name)
	}
	module := filepath.Join(sourceDir(), "..", "hubble", "clients", c.module)
	sums, err := os.ReadFile(filepath.Join(module, "go.sum"))
	if err != nil {
		return "", fmt.Errorf("get client of Hubble: %w", err)
	}
	hash := sha256.Sum256(sums)
	dir := filepath.Join(Cache(), "hubble", fmt.Sprintf("%s-%s", c.module, hex.EncodeToString(hash[:6])))
	path := filepath.Join(dir, name)
	building.Lock()
	defer building.Unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("get client of Hubble: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildTime)
	defer cancel()
	unfinished := path + ".new"
	cmd := exec.CommandContext(ctx, "nice", "go", "build", "-trimpath", "-ldflags", "-s -w "+c.flags, "-o", unfinished, c.source)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return path, os.Rename(unfinished, path)
}
