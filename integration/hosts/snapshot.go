package hosts

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strings"
)

// Snapshot is what Sluice and Docker have in a host's kernel and records, each list sorted. Names that contain a slot
// are written with # for it, since slots are given anew.
type Snapshot struct {
	Links, Addresses, Routes, Pins, Networks, Containers, Endpoints, Ports []string
}

var (
	slotName      = regexp.MustCompile(`\bslc(p?)[0-9a-f]+\b`)
	sharedVersion = regexp.MustCompile(`(shared_slots)_[0-9a-f]+`)
	slotFolder    = regexp.MustCompile(`(endpoints|doors|uplinks)/[0-9a-f]+`)
)

// Snapshot reads the host's state. Veth pairs that wait in the daemon's pool are left out: they are nobody's yet.
func (h *Host) Snapshot(ctx context.Context) (Snapshot, error) {
	const separator = "%%"
	const script = `
		ip -o link | cut -d: -f2; echo %%
		ip -o addr show scope global | awk '{print $2, $4}'; echo %%
		{ ip route; ip -6 route; } | grep -v 'proto kernel' | grep -v '^fe80' || true; echo %%
		find /sys/fs/bpf -type f -o -type l | sort; find /sys/fs/bpf/sluice -mindepth 1 2>/dev/null || true; echo %%
		docker network ls --format '{{.Driver}} {{.Name}}'; echo %%
		docker ps -a --format '{{.Names}}'; echo %%
		sluice endpoint list -o json; echo %%
		sluice port ls -o json`
	out, err := h.Command(ctx, "sh", "-ec", script).Output()
	if err != nil {
		return Snapshot{}, fmt.Errorf("take snapshot: %w", err)
	}
	parts := strings.Split(string(out), separator+"\n")
	if len(parts) != 8 {
		return Snapshot{}, fmt.Errorf("take snapshot: want 8 parts, got %d", len(parts))
	}
	return Snapshot{
		Links: withoutPool(lines(parts[0])), Addresses: lines(parts[1]), Routes: lines(parts[2]), Pins: pins(parts[3]),
		Networks: lines(parts[4]), Containers: lines(parts[5]), Endpoints: items(parts[6]), Ports: items(parts[7]),
	}, nil
}

func lines(text string) []string {
	all := []string{}
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "@")
		if line != "" {
			all = append(all, slotName.ReplaceAllString(line, "slc$1#"))
		}
	}
	sort.Strings(all)
	return all
}

// withoutPool drops a host-side veth together with its peer: both in the host means that no container has it.
func withoutPool(links []string) []string {
	peers := 0
	for _, l := range links {
		if l == "slcp#" {
			peers++
		}
	}
	kept := []string{}
	for _, l := range links {
		switch {
		case l == "slcp#":
		case l == "slc#" && peers > 0:
			peers--
		default:
			kept = append(kept, l)
		}
	}
	return kept
}

// pins lists pinned objects without doors: those belong to veth pairs, in the pool or not. Of what there is once for each
// slot or device one stands for all; the shared slots' version does not count, but that there is only one does.
func pins(text string) []string {
	seen := map[string]bool{}
	all := []string{}
	for _, line := range lines(text) {
		name := slotFolder.ReplaceAllString(line, "$1/#")
		if strings.Contains(line, "/doors/") || seen[name] {
			continue
		}
		seen[name] = true
		all = append(all, sharedVersion.ReplaceAllString(name, "${1}_#"))
	}
	sort.Strings(all)
	return all
}

// items names what a JSON list of endpoints or ports has, without what changes by itself.
func items(text string) []string {
	var list []struct {
		Container, Network, IPv4, IPv6, Protocol string
		HostPort                                 int
	}
	all := []string{}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return append(all, strings.TrimSpace(text))
	}
	for _, item := range list {
		all = append(all, fmt.Sprintf("%+v", item))
	}
	sort.Strings(all)
	return all
}
