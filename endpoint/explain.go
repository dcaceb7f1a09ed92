package endpoint

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
)

// The limits of one explanation.
const (
	mostPaths     = 64
	mostIntervals = 64
)

// Explain says whether one end may open a connection to another, and why. It asks the loaded programs, but where
// documents are given that are not in force: then the tables that they would give.
func (m *Manager) Explain(_ context.Context, r api.ExplainRequest, resolve func(string) ([]string, error)) (api.Explanation, error) {
	x := explainer{m: m, scene: m.scene(), live: len(r.With) == 0}
	if !x.live {
		var err error
		if x.scene, _, err = x.scene.with(r.With); err != nil {
			return api.Explanation{}, err
		}
	}
	from, err := parseTarget(r.From)
	if err == nil && (from.port != "" || from.protocol != 0) {
		err = api.Errorf(api.CodeInvalid, "explain %s: the port belongs to the other end", r.From)
	}
	if err != nil {
		return api.Explanation{}, err
	}
	if x.target, err = parseTarget(r.To); err != nil {
		return api.Explanation{}, err
	}
	if x.from, err = m.end(x.scene, from, resolve); err != nil {
		return api.Explanation{}, err
	}
	if x.to, err = m.end(x.scene, x.target, resolve); err != nil {
		return api.Explanation{}, err
	}
	ways, err := x.ways()
	if err != nil {
		return api.Explanation{}, err
	}
	return x.answer(r, ways)
}

// with is the scene under further documents, and the policies that they hold.
func (s *scene) with(sources []api.PolicySource) (*scene, []parsed, error) {
	all, err := parseSources(sources)
	if err != nil {
		return nil, nil, err
	}
	set, err := s.policies.With(policiesOf(all)...)
	if err != nil {
		return nil, nil, api.Errorf(api.CodeInvalid, "%v", err)
	}
	next, err := s.under(set, set.Names(s.labels()...)...)
	return next, all, err
}

// explainer answers one question.
type explainer struct {
	m        *Manager
	scene    *scene
	live     bool // the loaded programs are asked
	target   target
	from, to end
	notes    []string
}

// way is one way for a connection: whom it passes on it, and what stands in it.
type way struct {
	source, destination api.Party
	// asks are the policies that judge, in their order.
	asks []ask
	// blocked says why there is no way, whatever policies say; at is where.
	blocked string
	remedy  string // what would make a way
	at      *place
	// keys are what is asked, by the ports of the container; zero: what the user asked.
	keys policy.KeySpan
}

// ask is one policy's question on a way.
type ask struct {
	place    *place
	step     string // api.Egress, api.Ingress, or api.StepPublish
	look     policy.Look
	hostPort uint16 // of the published port by which the connection comes
	port     uint16 // that the table is asked for, if it is not the one asked for
	other    policy.End
	peerAddr netip.Addr // that a packet has
	own      netip.Addr // of the place, likewise
}

// answer judges the ways.
func (x *explainer) answer(r api.ExplainRequest, ways []way) (api.Explanation, error) {
	out := api.Explanation{From: r.From, To: r.To, Port: "any"}
	if len(ways) > mostPaths {
		x.note("%d ways are not shown", len(ways)-mostPaths)
		ways = ways[:mostPaths]
	}
	for _, w := range ways {
		span, whole, err := x.target.keys(w.namedPorts())
		if err != nil {
			return out, err
		}
		if !whole {
			out.Port = policy.Reach{span}.String()
		}
		if w.keys == (policy.KeySpan{}) {
			w.keys = span
		}
		paths, err := x.paths(w)
		if err != nil {
			return out, err
		}
		out.Paths = append(out.Paths, paths...)
	}
	out.Verdict, out.Notes = together(out.Paths), x.notes
	return out, nil
}

// together is the verdict on all paths.
func together(paths []api.ExplainedPath) string {
	verdict := ""
	for _, p := range paths {
		switch {
		case verdict == "" || verdict == p.Verdict:
			verdict = p.Verdict
		case verdict != api.VerdictDenied && p.Verdict != api.VerdictDenied:
			verdict = api.VerdictAudit
		default:
			return api.VerdictPartly
		}
	}
	return verdict
}

// namedPorts are those of the container at the end of the way.
func (w *way) namedPorts() []policy.NamedPort {
	if len(w.asks) == 0 {
		return nil
	}
	last := w.asks[len(w.asks)-1]
	if last.step == api.Egress {
		return nil
	}
	ports, _ := policy.PortsFromLabels(last.place.subject.Labels)
	return ports
}

// note adds a note once.
func (x *explainer) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(x.notes, n) {
		x.notes = append(x.notes, n)
	}
}

// paths judges one way for the ports that were asked for, cut where an answer changes.
func (x *explainer) paths(w way) ([]api.ExplainedPath, error) {
	if w.blocked != "" {
		return []api.ExplainedPath{{
			Source: w.source, Destination: w.destination, Ports: policy.Reach{w.keys}.String(), Verdict: api.VerdictDenied,
			Steps: []api.ExplainStep{x.routeStep(w)}, Flip: []api.Remedy{{Verdict: api.VerdictAllowed, Note: w.remedy}},
		}}, nil
	}
	spans := []policy.KeySpan{w.keys}
	if w.keys.From != w.keys.To {
		var looks []policy.Look
		for _, a := range w.asks {
			looks = append(looks, a.look)
		}
		spans = policy.Reach{w.keys}.Cut(policy.Intervals(looks...))
	}
	if len(spans) > mostIntervals {
		x.note("only the first %d ranges of ports are shown: ask for one", mostIntervals)
		spans = spans[:mostIntervals]
	}
	var paths []api.ExplainedPath
	for _, span := range spans {
		path, err := x.path(w, span)
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

func (x *explainer) routeStep(w way) api.ExplainStep {
	s := api.ExplainStep{Step: api.StepRoute, Verdict: api.VerdictDenied, Why: w.blocked}
	if w.at != nil {
		s.Container, s.Network = w.at.endpoint.Container.Name, w.at.network.title()
	}
	return s
}

// path judges one way for a range of keys that all its policies judge alike.
func (x *explainer) path(w way, span policy.KeySpan) (api.ExplainedPath, error) {
	path := api.ExplainedPath{Source: w.source, Destination: w.destination, Ports: policy.Reach{span}.String(), Verdict: api.VerdictAllowed}
	key := sample(span)
	for i := range w.asks {
		path.Steps = append(path.Steps, x.judge(&w.asks[i], key))
	}
	w.admit(path.Steps, key)
	if err := x.probe(&w, path.Steps, key); err != nil {
		return path, err
	}
	for _, s := range path.Steps {
		if s.Verdict == api.VerdictDenied || s.Verdict == api.VerdictAudit && path.Verdict == api.VerdictAllowed {
			path.Verdict = s.Verdict
		}
	}
	if span.From == span.To {
		path.Flip = x.flip(w, path, key)
	}
	return path, nil
}

// sample is a key of the span for a packet: a port that is not 0 where there is one.
func sample(span policy.KeySpan) uint32 {
	if span.From == policy.Key(policy.ProtocolTCP, 0) && span.To > span.From {
		return span.From + 1
	}
	if tcp := policy.Key(policy.ProtocolTCP, 1); span.From < tcp && tcp <= span.To {
		return tcp
	}
	return span.From
}

// admit lets the rule of a published port, which counts before what closes ingress, decide (policy.Tables.JudgePublished).
func (w *way) admit(steps []api.ExplainStep, key uint32) {
	for i := 1; i < len(steps); i++ {
		before, s := &steps[i-1], &steps[i]
		table := w.asks[i].look.Table
		if before.Step != api.StepPublish || s.Step != api.Ingress || before.Verdict != api.VerdictAllowed || s.Verdict == api.VerdictAllowed {
			continue
		}
		published := w.asks[i-1].look.Table
		if published.Explicit(w.asks[i-1].rule(key)) && !table.Explicit(w.asks[i].rule(key)) {
			s.Verdict, s.Why = api.VerdictAllowed, "the rule of the published port admits it, although "+s.Why
		}
	}
}

// rule is the number of the rule that decides.
func (a *ask) rule(asked uint32) uint16 {
	_, n := policy.Judge(a.look.Direction, a.look.Table, a.look.Peer, a.look.Class, a.look.Addr, a.key(asked))
	return n
}

// key is what the ask's table is asked for.
func (a *ask) key(asked uint32) uint32 {
	protocol := uint8(asked >> 16)
	switch {
	case a.step == api.StepPublish:
		return policy.Key(protocol, a.hostPort)
	case a.port != 0:
		return policy.Key(protocol, a.port)
	}
	return asked
}

// judge answers one question by its table.
func (x *explainer) judge(a *ask, asked uint32) api.ExplainStep {
	key := a.key(asked)
	step := api.ExplainStep{
		Step: a.step, Container: a.place.endpoint.Container.Name, Network: a.place.network.title(), By: api.ByTable,
		Revision: a.place.program.Revision,
	}
	if a.place.closed {
		step.Verdict, step.Why = api.VerdictDenied, "the labels of the container are not known yet: it is closed"
		return step
	}
	if !x.live {
		step.Revision = 0
	}
	judged := a.look.Judge(key)
	step.Verdict = verdictName(judged.Verdict)
	step.Policy, step.Rule = judged.Rule.Policy, judged.Rule.Rule
	step.Source = x.scene.source(judged.Rule)
	step.Why = x.why(a, key, judged)
	x.enforcement(a, &step)
	return step
}

func verdictName(v policy.Verdict) string {
	if v == policy.Allow {
		return api.VerdictAllowed
	}
	return api.VerdictDenied
}

// why is a sentence about a verdict.
func (x *explainer) why(a *ask, key uint32, judged policy.Judged) string {
	if a.step == api.StepPublish {
		switch {
		case a.look.Table == nil:
			return "no rule restricts who may use the published port"
		case judged.Rule != (policy.RuleRef{}):
			return judged.Rule.String() + " decides who may use the published port"
		}
		return "no rule names it among those who may use the published port"
	}
	answer := policy.Explain(x.scene.policies, a.place.subject, x.scene.universe, a.question(key))
	if answer.Verdict == judged.Verdict {
		return answer.Why
	}
	return judged.Rule.String()
}

// question is the ask for the rules.
func (a *ask) question(key uint32) policy.Question {
	return policy.Question{
		Direction: a.look.Direction, Peer: a.look.Peer, Addr: a.look.Addr, Protocol: uint8(key >> 16), Port: uint16(key),
		Published: a.hostPortOfIngress(),
	}
}

// enforcement turns a denial into what it is for a container that is only watched. That other networks need a rule, and
// what a network isolates, holds in any case.
func (x *explainer) enforcement(a *ask, step *api.ExplainStep) {
	if step.Verdict != api.VerdictDenied {
		return
	}
	settings, err := x.scene.policies.Settings(a.place.subject.Labels)
	mode := a.place.program.Enforcement
	if !x.live && err == nil {
		mode = settings.Enforcement
	}
	if mode == policy.Enforce || a.look.Table == nil {
		return
	}
	step.Verdict = api.VerdictAudit
	step.Why += "; it passes, for the container is in mode " + mode.String()
}

// ways finds every way between the ends.
func (x *explainer) ways() ([]way, error) {
	from, to := x.from, x.to
	switch {
	case len(from.places) > 0 && len(to.places) > 0:
		return x.between()
	case len(from.places) > 0 && to.host:
		return x.toHost()
	case len(from.places) > 0:
		return x.toWorld(), nil
	case from.host && len(to.places) > 0:
		return x.fromHost(), nil
	case from.host && to.host:
		return x.fromOutside(identity.Host)
	case from.world != "" && len(to.places) > 0:
		return x.fromWorld(), nil
	case from.world != "" && to.host:
		return x.fromOutside(identity.World)
	}
	return nil, api.Errorf(api.CodeInvalid, "explain %s to %s: no container is at either end, so Sluice judges nothing", from.text, to.text)
}
