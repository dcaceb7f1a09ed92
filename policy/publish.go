package policy

import (
	"slices"
	"strconv"
	"strings"
)

// compiledPublish is the publish rules of one rule that are about the same port.
type compiledPublish struct {
	spans []span // of published ports
	allow compiledClause
}

// compilePublish sorts publish rules by port. Those for every port leave out the ports that the rule names.
func compilePublish(p *Policy, r *Rule) []compiledPublish {
	var list []compiledPublish
	for _, pub := range r.Publish {
		c := compiledPublish{spans: pub.spans(r.Publish), allow: compiledClause{rank: rankAllow}}
		for i := range pub.Peers {
			c.allow.add(&pub.Peers[i])
		}
		c.allow.atoms = []atom{{ref: RuleRef{Policy: p.Key(), Rule: pub.Path}, spans: c.spans}}
		list = append(list, c)
	}
	return list
}

// spans are the keys of published ports that a publish rule is about.
func (pub *PublishRule) spans(all []PublishRule) []span {
	if pub.Port != 0 {
		return Port{AnyProtocol: pub.Protocol == 0, Protocol: pub.Protocol, First: pub.Port, Last: pub.Port}.spans()
	}
	var named []span
	for _, other := range all {
		if other.Port != 0 {
			named = append(named, other.spans(nil)...)
		}
	}
	return uncovered(named)
}

// uncovered are the keys that spans leave.
func uncovered(list []span) []span {
	slices.SortFunc(list, func(a, b span) int { return int(a.from) - int(b.from) })
	var rest []span
	next := uint32(0)
	for _, s := range list {
		if s.from > next {
			rest = append(rest, span{from: next, to: s.from - 1})
		}
		next = max(next, s.to+1)
	}
	if next <= maxKey {
		rest = append(rest, span{from: next, to: maxKey})
	}
	return rest
}

// RulePublishDefault starts the name of the daemon's setting in verdicts.
const RulePublishDefault = "daemon setting publish-default="

// defaultPeers are whom the daemon's setting lets reach a published port.
func (p PublishDefault) peers() []Peer {
	switch p {
	case PublishLAN:
		return []Peer{{Entity: EntityCluster}, {Entity: EntityLAN}}
	case PublishNone:
		return nil
	}
	return []Peer{{Entity: EntityAll}}
}

// resolvePublish makes the table of published ports: what rules say of the ports that they are about, and the daemon's
// setting for the others. Where the profile closes ingress but for published ports, the setting opens it.
func (j *judging) resolvePublish(u *Universe) (*Table, error) {
	opens := j.preset[Ingress] != nil && j.preset[Ingress].published
	count := 0
	for _, r := range j.rules {
		count += len(r.publish)
	}
	if count == 0 && !opens && j.subject.PublishDefault == PublishAny {
		return nil, nil
	}
	f := newFlattener(Ingress, j.subject, u)
	var named []span
	for _, r := range j.rules {
		for i := range r.publish {
			f.add(&r.publish[i].allow)
			named = append(named, r.publish[i].spans...)
		}
	}
	rest := atom{ref: RuleRef{Rule: RulePublishDefault + j.subject.PublishDefault.String()}, spans: uncovered(named)}
	unsaid := compiledClause{rank: rankDefault, atoms: []atom{rest}}
	for _, p := range j.subject.PublishDefault.peers() {
		unsaid.add(&p)
	}
	if opens {
		unsaid.rank, unsaid.atoms[0].ref = rankAllow, j.preset[Ingress].ref
		f.add(&unsaid)
	}
	f.firm = len(f.refs)
	if !opens {
		f.add(&unsaid)
	}
	f.close(j)
	base := f.ref(rest.ref)
	for class := range f.base {
		f.base[class] = cell{verdict: Deny, rule: base}
	}
	return f.finish()
}

// close puts the ports that publish rules are about into default deny.
func (f *flattener) close(j *judging) {
	for _, r := range j.rules {
		for i := range r.publish {
			closed := compiledClause{rank: rankClosed, classes: [Classes]bool{true, true, true, true}, atoms: []atom{{
				ref:   RuleRef{Policy: r.policy.Key(), Rule: r.publishName(i)},
				spans: r.publish[i].spans,
			}}}
			f.add(&closed)
		}
	}
}

// publishName is the rule that verdicts name where a published port is closed to a peer.
func (r *compiledRule) publishName(i int) string {
	name := "publish"
	if r.policy.Origin == OriginLabel {
		name = LabelPrefix + name
	}
	if pub := &r.rule.Publish[i]; pub.Port != 0 {
		name += "." + pub.portText()
	}
	return name + ": " + RuleDefaultDeny
}

// portText is the port as keys write it: "8080", "53/udp".
func (pub *PublishRule) portText() string {
	text := strconv.Itoa(int(pub.Port))
	if pub.Protocol != 0 {
		text += "/" + strings.ToLower(protocolName(pub.Protocol))
	}
	return text
}
