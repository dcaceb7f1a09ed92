package endpoint

import (
	"maps"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/policy"
)

// flip finds the smallest change that gives a path the other answer: of a denied one, all that denies must go; an
// allowed one is denied where it ends. verdicts are those of the asks.
func (x *explainer) flip(w way, verdict string, verdicts []string, key uint32) []api.Remedy {
	if verdict == api.VerdictAllowed {
		last := w.asks[len(w.asks)-1]
		if last.place.closed {
			return nil
		}
		return []api.Remedy{x.scene.remedy(last, key, policy.Deny)}
	}
	var changes []api.Remedy
	for i, a := range w.asks {
		if verdicts[i] == verdict && !a.place.closed {
			changes = append(changes, x.scene.remedy(a, key, policy.Allow))
		}
	}
	return changes
}

// remedy tries changes in a scene in which the ends have their names, as they will if the change mentions them.
func (s *scene) remedy(a ask, key uint32, want policy.Verdict) api.Remedy {
	out := api.Remedy{Verdict: verdictName(want), Container: a.place.endpoint.Container.Name}
	names := []string{out.Container}
	if peer := s.at(a.peerAddr); peer != nil {
		names = append(names, peer.endpoint.Container.Name)
	}
	named := s.named(names...)
	own := named.find([]string{a.place.endpoint.ID})[0]
	c := policy.Case{Question: a.question(key), Subject: own.name(nil), Other: a.other}
	if peer := named.at(a.peerAddr); peer != nil {
		c.Peer = peer.identity
	}
	r, ok := c.Remedy(s.policies, own.subject, named.universe, want)
	if !ok {
		out.Note = "no policy can change it"
		if own.subject.Mode == policy.ModeNever {
			out.Note = "the network " + own.network.title() + " has the option sluice.policy=never: rules do not count on it"
		}
		return out
	}
	out.Labels = r.Labels
	for _, ref := range r.Remove {
		place := ref.String()
		if at := s.source(ref); at != "" {
			place += " (" + at + ")"
		}
		out.Remove = append(out.Remove, place)
	}
	if r.Add != nil {
		text, err := policy.FormatCNP(r.Add)
		if err != nil {
			out.Note = "a policy that " + strings.ReplaceAll(r.Add.Name, "-", " ") + " would do it"
		}
		out.Policy = text
	}
	for _, k := range slices.Sorted(maps.Keys(r.Labels)) {
		arg := "--add " + shellQuote(k+"="+r.Labels[k])
		if r.Labels[k] == "" {
			arg = "--remove " + k
		}
		out.Commands = append(out.Commands, "sluice endpoint label "+out.Container+" "+arg)
	}
	return out
}

// shellQuote quotes an argument for a shell.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
