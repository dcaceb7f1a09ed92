package endpoint

import (
	"maps"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/policy"
)

// flip finds the smallest change that gives a path the other answer: of a denied one, all that denies must go; an
// allowed one is denied where it ends.
func (x *explainer) flip(w way, path api.ExplainedPath, asked uint32) []api.Remedy {
	var changes []api.Remedy
	for i := len(w.asks) - 1; i >= 0; i-- {
		a := w.asks[i]
		if a.step == api.StepPublish || a.place.closed {
			continue
		}
		denied := path.Steps[i].Verdict != api.VerdictAllowed ||
			i > 0 && w.asks[i-1].step == api.StepPublish && path.Steps[i-1].Verdict != api.VerdictAllowed
		switch {
		case path.Verdict == api.VerdictAllowed:
			return append(changes, x.remedy(a, asked, policy.Deny))
		case denied:
			changes = append(changes, x.remedy(a, asked, policy.Allow))
		}
	}
	slices.Reverse(changes)
	return changes
}

// remedy is the change after which a question has the answer that is wanted.
func (x *explainer) remedy(a ask, asked uint32, want policy.Verdict) api.Remedy {
	return x.scene.remedy(a, a.key(asked), want)
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
