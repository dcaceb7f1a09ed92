package server

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/api"
)

func endpoints() []api.Endpoint {
	return []api.Endpoint{
		{ID: "e1aa", Container: "web", ContainerID: "c1aa", Network: "front", NetworkID: "n1", Project: "shop", Service: "site",
			IPv4: netip.MustParsePrefix("172.30.0.2/24"), IPv6: netip.MustParsePrefix("fd00::2/64")},
		{ID: "e1bb", Container: "web", ContainerID: "c1aa", Network: "back", NetworkID: "n2", Project: "shop", Service: "site"},
		{ID: "e2cc", Container: "db", ContainerID: "c2bb", Network: "back", NetworkID: "n2", Project: "shop", Service: "db-1"},
		{ID: "e3dd", Container: "e2cc", ContainerID: "c3cc", Network: "back", NetworkID: "n2", Project: "blog", Service: "site"},
		{ID: "e4ee", ContainerID: "", Network: "front", NetworkID: "n1"},
	}
}

func TestResolveEndpoints(t *testing.T) {
	for _, c := range []struct {
		refs string
		want string // ids
		code api.Code
		says string
	}{
		{"", "e1aa e1bb e2cc e3dd e4ee", "", ""},
		{"e1aa", "e1aa", "", ""},
		{"web", "e1aa e1bb", "", ""},
		{"c1aa", "e1aa e1bb", "", ""},
		{"c1", "e1aa e1bb", "", ""}, // one container's id
		{"e1", "", api.CodeAmbiguous, "web@back (e1bb), web@front (e1aa)"},
		{"web@back", "e1bb", "", ""},
		{"e1@n1", "e1aa", "", ""},
		{"web@nope", "", api.CodeNotFound, `find endpoint "web@nope"`},
		{"172.30.0.2", "e1aa", "", ""},
		{"fd00::2", "e1aa", "", ""},
		{"172.30.0.9", "", api.CodeNotFound, "sluice endpoint list"},
		{"shop/site", "e1aa e1bb", "", ""},
		{"site", "", api.CodeAmbiguous, "blog/site, shop/site"},
		{"db-1", "e2cc", "", ""},
		{"e2cc", "e2cc", "", ""}, // an id comes before a name
		{"e4", "e4ee", "", ""},
		{"c", "", api.CodeAmbiguous, "db (c2bb), e2cc (c3cc), web (c1aa)"},
		{"db web db", "e2cc e1aa e1bb", "", ""}, // in their order, once each
		{"db nope", "", api.CodeNotFound, `"nope"`},
		{"/", "", api.CodeNotFound, ""},
		{"@back", "", api.CodeNotFound, ""},
	} {
		t.Run(c.refs, func(t *testing.T) {
			got, err := resolveEndpoints(endpoints(), strings.Fields(c.refs))
			var ids []string
			for _, e := range got {
				ids = append(ids, e.ID)
			}
			if diff := cmp.Diff(c.want, strings.Join(ids, " ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if api.CodeOf(err) != c.code || (err != nil && !strings.Contains(err.Error(), c.says)) {
				t.Errorf("error %v, want code %q and %q", err, c.code, c.says)
			}
		})
	}
}

func TestResolveEmptyReference(t *testing.T) {
	if _, err := resolveEndpoints(endpoints(), []string{""}); api.CodeOf(err) != api.CodeNotFound {
		t.Errorf("endpoint: %v", err)
	}
	if _, err := resolveNetworks([]api.Network{{ID: "n1"}}, []string{""}); api.CodeOf(err) != api.CodeNotFound {
		t.Errorf("network without a name: %v", err)
	}
}

func TestResolveOthers(t *testing.T) {
	networks := []api.Network{{ID: "ab12", Name: "front"}, {ID: "ab34", Name: "back"}, {ID: "cd56", Name: "ab12"}}
	policies := []api.Policy{{Name: "deny"}, {Name: "shop/allow"}, {Name: "blog/allow"}, {Name: "shop/deny"}, {Name: "shop/one"}}
	identities := []api.Identity{{ID: 1, Name: "host"}, {ID: 257}, {ID: 258}}
	eps := []api.Endpoint{{ID: "e1", Container: "web", Identity: 257}, {ID: "e2", Container: "300", Identity: 258}}
	for _, c := range []struct {
		kind, ref, want string
		code            api.Code
	}{
		{"network", "front", "ab12", ""},
		{"network", "ab3", "ab34", ""},
		{"network", "ab12", "", api.CodeAmbiguous}, // one's id is another's name
		{"network", "ab", "", api.CodeAmbiguous},
		{"network", "x", "", api.CodeNotFound},
		{"policy", "deny", "deny", ""}, // exact before that of a namespace
		{"policy", "shop/deny", "shop/deny", ""},
		{"policy", "one", "shop/one", ""},
		{"policy", "allow", "", api.CodeAmbiguous},
		{"policy", "den", "", api.CodeNotFound}, // no prefixes: deleting should not guess
		{"identity", "257", "257", ""},
		{"identity", "host", "1", ""},
		{"identity", "web", "257", ""},
		{"identity", "300", "258", ""}, // a container that is called like a number
		{"identity", "999", "", api.CodeNotFound},
		{"identity", "-1", "", api.CodeNotFound},
		{"identity", "0", "", api.CodeNotFound},
	} {
		t.Run(c.kind+" "+c.ref, func(t *testing.T) {
			var got []string
			var err error
			switch c.kind {
			case "network":
				var found []api.Network
				found, err = resolveNetworks(networks, []string{c.ref})
				for _, n := range found {
					got = append(got, n.ID)
				}
			case "policy":
				var found []api.Policy
				found, err = resolvePolicies(policies, []string{c.ref})
				for _, p := range found {
					got = append(got, p.Name)
				}
			case "identity":
				var found []api.Identity
				found, err = resolveIdentities(identities, eps, []string{c.ref})
				for _, i := range found {
					got = append(got, strconv.Itoa(int(i.ID)))
				}
			}
			if strings.Join(got, " ") != c.want || api.CodeOf(err) != c.code {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
