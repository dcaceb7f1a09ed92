package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/identity"
	"github.com/sluice-net/sluice/policy"
)

// The limits of one explanation.
const (
	mostPaths     = 64
	mostIntervals = 64
	// mostTries is how often programs are asked that are replaced meanwhile, replaceTime how long that may take.
	mostTries   = 20
	replaceTime = 20 * time.Millisecond
)

// Explain says whether one end may open a connection to another, and why. It asks the loaded programs, but where
// documents are given that are not in force: then the tables that they would give.
func (m *Manager) Explain(ctx context.Context, r api.ExplainRequest, resolve func(string) ([]string, error)) (api.Explanation, error) {
	from, err := parseTarget(r.From)
	if err == nil && (from.port != "" || from.protocol != 0) {
		err = api.Errorf(api.CodeInvalid, "explain %s: the port belongs to the other end", r.From)
	}
	if err != nil {
		return api.Explanation{}, err
	}
	to, err := parseTarget(r.To)
	if err != nil {
		return api.Explanation{}, err
	}
	for tries := 0; ; tries++ {
		e, err := m.explain(r, from, to, resolve)
		if !errors.Is(err, errReplaced) || tries == mostTries {
			return e, err
		}
		select { // the programs are being replaced: they are asked anew
		case <-ctx.Done():
			return e, ctx.Err()
		case <-time.After(replaceTime):
		}
	}
}

// explain explains from one look at the state.
func (m *Manager) explain(r api.ExplainRequest, from, to target, resolve func(string) ([]string, error)) (api.Explanation, error) {
	x := explainer{m: m, scene: m.scene(), live: len(r.With) == 0, target: to}
	var err error
	if !x.live {
		if x.scene, _, err = x.scene.with(r.With); err != nil {
			return api.Explanation{}, err
		}
	}
	if x.from, err = m.end(x.scene, from, resolve); err != nil {
		return api.Explanation{}, err
	}
	if x.to, err = m.end(x.scene, to, resolve); err != nil {
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
	// asks are the policies that judge, in their order; that of a published port goes with ingress.
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
	look     policy.Look
	hostPort uint16 // the published port by which the connection comes, which has rules of its own; 0: none
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
		for _, p := range paths {
			if slices.ContainsFunc(out.Paths, func(q api.ExplainedPath) bool { return sameBut(p, q) }) {
				x.note("IPv4 and IPv6 are judged alike and shown once")
				continue
			}
			out.Paths = append(out.Paths, p)
		}
	}
	out.Verdict, out.Notes = together(out.Paths), x.notes
	return out, nil
}

// sameBut tells whether two paths differ in the family of their addresses only.
func sameBut(p, q api.ExplainedPath) bool {
	if p.Destination.Addr.Is4() == q.Destination.Addr.Is4() {
		return false
	}
	q.Source.Addr, q.Destination.Addr = p.Source.Addr, p.Destination.Addr
	return reflect.DeepEqual(p, q)
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
	if last.look.Direction == policy.Egress {
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
	var reaches []policy.Reach
	for _, span := range spans {
		path, err := x.path(w, span)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(paths, func(p api.ExplainedPath) bool { return slices.Equal(p.Steps, path.Steps) })
		if i < 0 {
			paths, reaches = append(paths, path), append(reaches, policy.Reach{span})
			continue
		}
		reaches[i] = reaches[i].Or(policy.Reach{span})
		paths[i].Ports, paths[i].Flip = reaches[i].String(), nil
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
	verdicts := make([]string, len(w.asks))
	for i := range w.asks {
		a := &w.asks[i]
		steps, err := x.judge(a, key)
		if err != nil {
			return path, err
		}
		for _, s := range steps {
			if s.Verdict == api.VerdictDenied || s.Verdict == api.VerdictAudit && path.Verdict == api.VerdictAllowed {
				path.Verdict = s.Verdict
			}
			verdicts[i] = s.Verdict // of ingress, where the published port is asked too and leaves it to that
		}
		path.Steps = append(path.Steps, steps...)
		path.Published = max(path.Published, a.hostPort)
	}
	if span.From == span.To {
		path.Flip = x.flip(w, path.Verdict, verdicts, key)
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

// ways finds every way between the ends.
func (x *explainer) ways() ([]way, error) {
	from, to := x.from, x.to
	switch {
	case (from.addr.IsLoopback() || to.addr.IsLoopback()) && !(from.host && to.host):
		return nil, api.Errorf(api.CodeInvalid, "explain %s to %s: packets of loopback addresses stay within a container, or the host", from.text, to.text)
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
