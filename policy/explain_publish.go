package policy

import (
	"fmt"
	"slices"
)

// published changes the answer of ingress to that for a connection that came by a published port, as
// Tables.JudgePublished does.
func (e *explainer) published(j *judging) {
	p := e.publication(j)
	a := &e.answer
	switch {
	case !p.asked || e.denied:
		return
	case len(p.allowing) > 0:
		a.Verdict, a.Rule = Allow, p.allowing[0]
		a.Why = fmt.Sprintf("%s allows it by the published port %d", a.Rule, e.q.Published)
	case p.closing != (RuleRef{}):
		a.Verdict, a.Rule = Deny, p.closing
		a.Why = fmt.Sprintf("no rule allows it by the published port %d, which is closed by %s", e.q.Published, closers([]RuleRef{p.closing}))
	}
	a.Allowing = slices.Concat(p.allowing, a.Allowing)
	if p.closing != (RuleRef{}) {
		a.Closing = slices.Concat([]RuleRef{p.closing}, a.Closing)
	}
}

// publication is what the rules and the setting say of a published port.
type publication struct {
	asked    bool // there is a table of published ports
	allowing []RuleRef
	closing  RuleRef // what denies where nothing allows; zero: ingress decides
}

func (e *explainer) publication(j *judging) publication {
	var (
		p     publication
		key   = Key(e.q.Protocol, e.q.Published)
		about = 0
	)
	for _, r := range j.rules {
		for i := range r.publish {
			p.asked = true
			if !slices.ContainsFunc(r.publish[i].spans, func(s span) bool { return s.from <= key && key <= s.to }) {
				continue
			}
			if about++; about == 1 {
				p.closing = RuleRef{Policy: r.policy.Key(), Rule: r.publishName(i)}
			}
			if slices.ContainsFunc(r.rule.Publish[i].Peers, e.matchesPeer) {
				p.allowing = append(p.allowing, RuleRef{Policy: r.policy.Key(), Rule: r.rule.Publish[i].Path})
			}
		}
	}
	setting := e.subject.PublishDefault
	opens := j.preset[Ingress] != nil && j.preset[Ingress].published
	p.asked = p.asked || opens || setting != PublishAny
	if about > 0 || !p.asked {
		return p
	}
	switch in := slices.ContainsFunc(setting.peers(), e.matchesPeer); {
	case in && opens:
		p.allowing = []RuleRef{j.preset[Ingress].ref}
	case !in:
		p.closing = RuleRef{Rule: RulePublishDefault + setting.String()}
	}
	return p
}
