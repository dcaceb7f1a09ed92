package server

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/api"
)

// resolveNetworks returns the networks that refs mean, in their order and once each; all without refs.
func resolveNetworks(all []api.Network, refs []string) ([]api.Network, error) {
	return resolve(all, refs, func(ref string) ([]api.Network, error) {
		return pick("network", ref, all,
			func(n api.Network) bool { return n.ID == ref || n.Name == ref },
			func(n api.Network) bool { return strings.HasPrefix(n.ID, ref) },
			func(n api.Network) string { return describe(n.Name, n.ID) })
	}, func(n api.Network) string { return n.ID })
}

// resolvePolicies returns the documents of the names; a name without its namespace will do where it is unique.
func resolvePolicies(all []api.Policy, refs []string) ([]api.Policy, error) {
	return resolve(all, refs, func(ref string) ([]api.Policy, error) {
		return pick("policy", ref, all,
			func(p api.Policy) bool { return p.Name == ref },
			func(p api.Policy) bool { return strings.HasSuffix(p.Name, "/"+ref) },
			func(p api.Policy) string { return p.Name })
	}, func(p api.Policy) string { return p.Name })
}

// resolveIdentities understands numbers, the names of reserved identities, and endpoints.
func resolveIdentities(all []api.Identity, endpoints []api.Endpoint, refs []string) ([]api.Identity, error) {
	return resolve(all, refs, func(ref string) ([]api.Identity, error) {
		number, err := strconv.ParseUint(ref, 10, 32)
		ids := map[uint32]bool{uint32(number): err == nil}
		found := filter(all, func(i api.Identity) bool { return ids[i.ID] || i.Name == ref })
		if len(found) > 0 {
			return found, nil
		}
		eps, err := resolveEndpoint(endpoints, ref)
		if api.CodeOf(err) == api.CodeNotFound {
			return nil, api.Errorf(api.CodeNotFound, "find identity %q: no identity has that number or name, and no endpoint is called so", ref)
		}
		if err != nil {
			return nil, err
		}
		for _, e := range eps {
			ids[e.Identity] = true
		}
		return filter(all, func(i api.Identity) bool { return ids[i.ID] }), nil
	}, func(i api.Identity) string { return strconv.FormatUint(uint64(i.ID), 10) })
}

// resolveEndpoints returns the endpoints that refs mean, in their order and once each; all without refs.
func resolveEndpoints(all []api.Endpoint, refs []string) ([]api.Endpoint, error) {
	return resolve(all, refs, func(ref string) ([]api.Endpoint, error) { return resolveEndpoint(all, ref) },
		func(e api.Endpoint) string { return e.ID })
}

// resolveEndpoint finds what a reference means: an endpoint's id or address, a container's name or id (all its
// endpoints), a compose service or project/service (those of all its containers), or a prefix of an id that only one
// container or endpoint has. "@NETWORK" behind it narrows it to that network.
func resolveEndpoint(all []api.Endpoint, ref string) ([]api.Endpoint, error) {
	name, network, narrowed := strings.Cut(ref, "@")
	candidates := all
	if narrowed {
		candidates = filter(all, func(e api.Endpoint) bool { return e.Network == network || e.NetworkID == network })
	}
	addr, _ := netip.ParseAddr(name)
	exact := []func(api.Endpoint) bool{
		func(e api.Endpoint) bool { return e.ID == name },
		func(e api.Endpoint) bool { return e.Container == name || e.ContainerID == name },
		func(e api.Endpoint) bool { return addr.IsValid() && (e.IPv4.Addr() == addr || e.IPv6.Addr() == addr) },
		func(e api.Endpoint) bool { return e.Service != "" && e.Project+"/"+e.Service == name },
	}
	if name == "" {
		exact = nil
	}
	for _, match := range exact {
		if found := filter(candidates, match); len(found) > 0 {
			return found, nil
		}
	}
	if found := filter(candidates, func(e api.Endpoint) bool { return e.Service != "" && e.Service == name }); len(found) > 0 {
		return sole("endpoint", ref, found, func(e api.Endpoint) string { return e.Project + "/" + e.Service })
	}
	found := filter(candidates, func(e api.Endpoint) bool {
		return name != "" && (strings.HasPrefix(e.ID, name) || strings.HasPrefix(e.ContainerID, name))
	})
	if len(found) == 0 {
		return nil, notFound("endpoint", ref)
	}
	return sole("endpoint", ref, found, func(e api.Endpoint) string {
		if strings.HasPrefix(e.ContainerID, name) {
			return describe(e.Container, e.ContainerID)
		}
		return describe(e.Container+"@"+e.Network, e.ID)
	})
}

// resolve applies find to each ref and returns what it found, once each.
func resolve[T any](all []T, refs []string, find func(string) ([]T, error), id func(T) string) ([]T, error) {
	if len(refs) == 0 {
		return all, nil
	}
	var out []T
	seen := map[string]bool{}
	for _, ref := range refs {
		found, err := find(ref)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			if !seen[id(f)] {
				seen[id(f)] = true
				out = append(out, f)
			}
		}
	}
	return out, nil
}

// pick returns the exact match, else the only near one.
func pick[T any](kind, ref string, all []T, exact, near func(T) bool, name func(T) string) ([]T, error) {
	if ref != "" {
		for _, match := range []func(T) bool{exact, near} {
			if found := filter(all, match); len(found) > 0 {
				return sole(kind, ref, found, name)
			}
		}
	}
	return nil, notFound(kind, ref)
}

// sole returns found if all of it has one name.
func sole[T any](kind, ref string, found []T, name func(T) string) ([]T, error) {
	var names []string
	for _, f := range found {
		names = append(names, name(f))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 1 {
		return found, nil
	}
	const most = 10
	if len(names) > most {
		names = append(names[:most], "…")
	}
	return nil, api.Errorf(api.CodeAmbiguous, "find %s %q: it could be any of %s", kind, ref, strings.Join(names, ", "))
}

func notFound(kind, ref string) error {
	return api.Errorf(api.CodeNotFound, "find %s %q: there is none of that name or id; \"sluice %s list\" shows all", kind, ref, kind)
}

// describe returns a name with a short id behind it.
func describe(name, id string) string {
	id = id[:min(12, len(id))]
	if name == "" {
		return id
	}
	return name + " (" + id + ")"
}

func filter[T any](all []T, keep func(T) bool) []T {
	var out []T
	for _, v := range all {
		if keep(v) {
			out = append(out, v)
		}
	}
	return out
}
