package service

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The endpoints of one container share its ports. Each case is what an engine sends, and what is published then.
func TestSandboxSharesPorts(t *testing.T) {
	addrs := map[string][]netip.Addr{
		"dual": both, "dual2": {netip.MustParseAddr("10.0.2.2"), netip.MustParseAddr("fd02::2")},
		"four": {netip.MustParseAddr("10.0.4.2")}, "six": {netip.MustParseAddr("fd06::2")},
	}
	const all4, all6 = "0.0.0.0:8080/tcp > ", "[::]:8080/tcp > "
	for _, c := range []struct {
		name  string
		calls string // "owner": a claim, "owner/": a Split one, "-owner": withdrawn
		want  []string
	}{
		{"29: IPv4 moves from an endpoint that is told nothing", "dual dual four/", []string{"dual: " + all6 + "[fd00::2]:80", "four: " + all4 + "10.0.4.2:80"}},
		{"29: and back", "dual dual four/ -four dual", []string{"dual: " + all4 + "10.0.0.2:80, " + all6 + "[fd00::2]:80"}},
		{"29: a repeated request takes nothing back", "dual dual four/ dual", []string{"dual: " + all6 + "[fd00::2]:80", "four: " + all4 + "10.0.4.2:80"}},
		{"29: the second is the way out for IPv6", "four dual", []string{"dual: " + all6 + "[fd00::2]:80", "four: " + all4 + "10.0.4.2:80"}},
		{"29: IPv6 moves", "dual dual/ six", []string{"dual: " + all4 + "10.0.0.2:80", "six: " + all6 + "[fd06::2]:80"}},
		{"28: IPv6 moves", "dual -dual dual/ six/", []string{"dual: " + all4 + "10.0.0.2:80", "six: " + all6 + "[fd06::2]:80"}},
		{"28: both are split, the first has IPv4", "four -four four/ dual/", []string{"dual: " + all6 + "[fd00::2]:80", "four: " + all4 + "10.0.4.2:80"}},
		{"28: the one for IPv4 goes", "four -four four/ dual/ -four dual", []string{"dual: " + all4 + "10.0.0.2:80, " + all6 + "[fd00::2]:80"}},
		{"20.10: moved as a whole", "dual -dual dual2", []string{"dual2: " + all4 + "10.0.2.2:80, " + all6 + "[fd02::2]:80"}},
	} {
		for _, request := range []string{"8080:80", ":80", "8080-8090:80"} {
			t.Run(c.name+" "+request, func(t *testing.T) {
				host := newHost()
				r := NewRegistry(host, Ephemeral{8080, 8080})
				for _, call := range strings.Fields(c.calls) {
					if owner, ok := strings.CutPrefix(call, "-"); ok {
						r.Withdraw(owner)
						continue
					}
					owner, split := strings.CutSuffix(call, "/")
					_, err := r.Publish(Claim{Owner: owner, Sandbox: "box", Addrs: addrs[owner], Split: split, Mappings: mappings(t, request)})
					if err != nil {
						t.Fatalf("%s: %v", call, err)
					}
				}
				if diff := cmp.Diff(c.want, holders(r)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				for owner := range addrs {
					r.Withdraw(owner)
				}
				if len(host.reserved) != 0 {
					t.Errorf("left: %v", host.list())
				}
			})
		}
	}
}

// holders lists what every owner has, leaving out those that have nothing.
func holders(r *Registry) []string {
	var all []string
	for _, owner := range slices.Sorted(maps.Keys(r.owners)) {
		if h := r.owners[owner]; len(h.published) > 0 {
			all = append(all, owner+": "+show(h.published, nil))
		}
	}
	return all
}

// Another sandbox's port stays refused, and the error says whose it is; so does one of the same sandbox that is for
// another port of the container.
func TestSandboxRefusals(t *testing.T) {
	r := NewRegistry(newHost(), Ephemeral{40000, 40010})
	claim := func(owner, sandbox string, split bool, request ...string) error {
		_, err := r.Publish(Claim{Owner: owner, Sandbox: sandbox, Addrs: both[:1], Split: split, Mappings: mappings(t, request...)})
		return err
	}
	if err := claim("a", "box", false, "8080:80"); err != nil {
		t.Fatal(err)
	}
	before := holders(r)
	for name, err := range map[string]error{
		"another sandbox":         claim("b", "other", true, "8080:80"),
		"no sandbox":              claim("b", "", true, "8080:80"),
		"another container port":  claim("b", "box", true, "8080:81"),
		"an overlapping address":  claim("b", "box", true, "127.0.0.1 8080:80"),
		"after one that it could": claim("b", "box", true, "8080:80", "8080:81"),
	} {
		var taken *TakenError
		if !errors.As(err, &taken) || !errors.Is(err, ErrTaken) {
			t.Errorf("%s: %v, want a TakenError", name, err)
		} else if name != "after one that it could" && taken.Owner != "a" {
			t.Errorf("%s: taken by %q, want a", name, taken.Owner)
		}
		if diff := cmp.Diff(before, holders(r)); diff != "" {
			t.Errorf("%s: a refusal changed something:\n%s", name, diff)
		}
	}
}

// What was published is held again after a restart, whatever is claimed first then.
func TestHoldAfterRestart(t *testing.T) {
	v4 := Published{Frontend{netip.IPv4Unspecified(), 8080, TCP}, Backend{netip.MustParseAddr("10.0.4.2"), 80}}
	v6 := Published{Frontend{netip.IPv6Unspecified(), 8080, TCP}, Backend{six, 80}}
	host := newHost()
	r := NewRegistry(host, Ephemeral{40000, 40010})
	for range 2 { // a second time changes nothing
		if err := errors.Join(r.Hold("four", "box", true, []Published{v4}), r.Hold("dual", "box", false, []Published{v6})); err != nil {
			t.Fatal(err)
		}
	}
	all, err := r.Publish(Claim{Owner: "dual", Sandbox: "box", Addrs: both, Mappings: mappings(t, "8080:80")})
	if err != nil || show(all["four"], nil) != show([]Published{v4}, nil) || show(all["dual"], nil) != show([]Published{v6}, nil) {
		t.Errorf("claimed again: %v, %v", all, err)
	}
	// As when a change could not be stored: what one has is taken back from the other.
	if err := r.Hold("dual", "box", false, []Published{{v4.Frontend, Backend{four, 80}}, v6}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"dual: 0.0.0.0:8080/tcp > 10.0.0.2:80, [::]:8080/tcp > [fd00::2]:80"}, holders(r)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := r.Hold("other", "else", false, []Published{v4}); !errors.Is(err, ErrTaken) {
		t.Errorf("another container's port was held: %v", err)
	}
}
