package identity

import (
	"fmt"
	"slices"
	"strings"
)

// Compose's two labels that matter for policy, under their short names.
const (
	LabelProject = "compose.project" // com.docker.compose.project
	LabelService = "compose.service" // com.docker.compose.service
	// PrefixPort starts the labels that name a container's ports: sluice.port.http=8080/tcp.
	PrefixPort = "sluice.port."
)

// shortNames maps long keys to the names that identities use; selectors may say either.
var shortNames = map[string]string{
	"com.docker.compose.project": LabelProject,
	"com.docker.compose.service": LabelService,
}

// noisePrefixes and noiseKeys are the labels that describe how or from what a container was made. They differ between
// containers that policy should treat alike (a number, a hash, a directory), so they are left out of identities:
// otherwise every container would be an identity of its own.
var (
	noisePrefixes = []string{
		"com.docker.compose.",          // all but project and service: config-hash, container-number, oneoff, version, …
		"com.docker.swarm.node.",       // where a task runs
		"com.docker.swarm.task",        // the task's own id and name
		"desktop.docker.io/",           // Docker Desktop
		"org.opencontainers.image.",    // where the image comes from (OCI image annotations)
		"org.label-schema.",            // the same, older
		"io.buildah.",                  // how the image was built
		"devcontainer.",                // development containers
		"org.testcontainers.session",   // one session of a test run
		"com.gitlab.gitlab-runner.job", // one job
	}
	noiseKeys = []string{
		"maintainer",
		"build-date",
		"vcs-ref",
		"vcs-type",
		"com.docker.swarm.service.id",
	}
)

// NoiseLabels lists the keys, and prefixes of keys (ending in *), that are left out of identities.
func NoiseLabels() []string {
	list := slices.Clone(noiseKeys)
	for _, p := range noisePrefixes {
		list = append(list, p+"*")
	}
	slices.Sort(list)
	return list
}

// NormaliseKey gives a label's key the form that identities use: the sources container: and any: are taken off,
// compose's two long keys become short.
func NormaliseKey(key string) string {
	for _, source := range []string{"container:", "any:"} {
		if rest, ok := strings.CutPrefix(key, source); ok {
			key = rest
			break
		}
	}
	if short, ok := shortNames[key]; ok {
		return short
	}
	return key
}

// IsNoise tells whether identities leave the (long or short) key out.
func IsNoise(key string) bool {
	if _, ok := shortNames[key]; ok {
		return false
	}
	if slices.Contains(noiseKeys, key) {
		return true
	}
	return slices.ContainsFunc(noisePrefixes, func(p string) bool { return strings.HasPrefix(key, p) })
}

// IsOwn tells whether Sluice itself gives containers the label, so that they cannot claim it.
func IsOwn(key string) bool { return key == LabelNetwork || key == LabelName }

// FromContainer makes the identity labels of a container on a network from the labels that Docker has for it, which
// include those of its image. Noise is left out, compose's labels get their short names, and the network's name is
// added as sluice.network, which a container cannot claim for itself. Where a long and a short key are both present
// the long one counts, for it is compose that sets it. The error is that of Validate.
func FromContainer(docker map[string]string, network string) (Labels, error) {
	l := make(Labels, len(docker)+1)
	for key, value := range docker {
		if !IsNoise(key) && !IsOwn(key) && shortNames[key] == "" {
			l[key] = value
		}
	}
	for long, short := range shortNames {
		if value, ok := docker[long]; ok {
			l[short] = value
		}
	}
	if network != "" {
		l[LabelNetwork] = network
	}
	if err := l.Validate(); err != nil {
		return nil, err
	}
	return l, nil
}

// Apply returns the set with labels added (or overwritten) and removed, as `sluice endpoint label` does. Keys may
// have a source or be long. Sluice's own label cannot be changed.
func (l Labels) Apply(add map[string]string, remove []string) (Labels, error) {
	result := l.Clone()
	for _, key := range remove {
		key = NormaliseKey(key)
		if IsOwn(key) {
			return nil, fmt.Errorf("remove label %s: %w: Sluice sets it", key, ErrBadLabel)
		}
		delete(result, key)
	}
	for key, value := range add {
		key = NormaliseKey(key)
		if IsOwn(key) {
			return nil, fmt.Errorf("add label %s: %w: Sluice sets it", key, ErrBadLabel)
		}
		if IsNoise(key) {
			return nil, fmt.Errorf("add label %s: %w: policy does not see this key", key, ErrBadLabel)
		}
		result[key] = value
	}
	if err := result.Validate(); err != nil {
		return nil, err
	}
	return result, nil
}
