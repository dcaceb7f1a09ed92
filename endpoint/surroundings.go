package endpoint

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
)

// SetHostNetwork enters what the host's network is. The programs whose tables speak of it follow.
func (m *Manager) SetHostNetwork(now datapath.HostNetwork) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.Equal(m.host.LAN, now.LAN) && slices.Equal(m.host.Addrs, now.Addrs) {
		return
	}
	m.host = now
	m.parties.setHost(now.Addrs)
	m.generation++
	m.requestRegeneration()
}

// resolvers finds out whom Docker's embedded DNS asks from within a container's namespace: the endpoint's servers, else
// the host's. (Engines since 26 ask the host's from the host's namespace.)
type resolvers struct {
	m    *Manager
	host []netip.Addr
	seen map[netip.Addr]identity.ID
}

// of returns the resolvers of an endpoint, and a text that equal ones have in common. The caller holds mu.
func (r *resolvers) of(e *Endpoint) (list []policy.Resolver, key string) {
	servers := e.DNS
	if len(servers) == 0 {
		servers = r.host
	}
	var b strings.Builder
	for _, a := range servers {
		if a.IsLoopback() {
			continue
		}
		id, ok := r.seen[a]
		if !ok {
			id = r.m.whose(a)
			r.seen[a] = id
		}
		list = append(list, policy.Resolver{Addr: a, ID: id})
		b.WriteString(a.String() + "=" + id.String() + " ")
	}
	return list, b.String()
}

// whose returns the identity that an address has. The caller holds mu.
func (m *Manager) whose(a netip.Addr) identity.ID {
	if _, own := slices.BinarySearchFunc(m.host.Addrs, a, netip.Addr.Compare); own {
		return identity.Host
	}
	for _, n := range m.networks {
		if slices.Contains(n.gateways(), a) {
			return identity.Host
		}
	}
	for _, e := range m.endpoints {
		if e.joined() && slices.Contains(e.addrs(), a) {
			return e.Identity
		}
	}
	return identity.World
}
