package endpoint

import (
	"errors"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/policy"
)

// Prober asks loaded programs what they say of a packet that nobody sent (implemented by datapath.Loader).
type Prober interface {
	// Explain asks the program of a slot. It leaves no flow, no counter and no event.
	Explain(slot uint32, q datapath.Question) (datapath.Answer, error)
}

// errReplaced: a program was replaced after the tables were looked at.
var errReplaced = api.Errorf(api.CodeConflict, "explain: programs are being replaced all the time; ask again")

// ruling is what a container's policy says of a connection.
type ruling struct {
	verdict   policy.Verdict
	passes    bool // also if it is denied, for the container is only watched
	mode      policy.Enforcement
	published bool // the rules of the published port decided, else those of the direction
	rule      uint16
	reason    abi.DropReason // that a program gives, if it was asked
	unasked   bool           // no policy is asked about such messages
	by        string         // api.ByProgram or api.ByTable
}

// table is what decided.
func (r ruling) table(a *ask) *policy.Table {
	if r.published {
		return a.place.tables.Publish
	}
	return a.look.Table
}

// ruling is what the loaded program says, or the table where no program is to be asked.
func (x *explainer) ruling(a *ask, key uint32) (ruling, error) {
	if !x.live || x.m.Prober == nil || !a.peerAddr.IsValid() {
		return a.tabled(key), nil
	}
	answer, err := x.m.Prober.Explain(a.place.program.Slot, datapath.Question{
		Direction: a.look.Direction, Peer: a.peerAddr, Protocol: uint8(key >> 16), Port: uint16(key), HostPort: a.hostPort,
	})
	switch {
	case errors.Is(err, datapath.ErrNoPolicy):
		return ruling{verdict: policy.Allow, passes: true, unasked: true, by: api.ByProgram}, nil
	case errors.Is(err, datapath.ErrNoProgram) || errors.Is(err, datapath.ErrNoAddress):
		x.note("%s: %v; its table answers", a.place.endpoint.Container.Name, err)
		return a.tabled(key), nil
	case err != nil:
		return ruling{}, err
	case answer.Revision != a.place.program.Revision:
		return ruling{}, errReplaced
	}
	r := ruling{verdict: policy.Allow, passes: answer.Passes(), mode: answer.Enforcement, published: answer.Published, rule: answer.Rule,
		reason: answer.Reason, by: api.ByProgram}
	if answer.Reason != abi.DropNone {
		r.verdict = policy.Deny
	}
	return r, nil
}

// tabled is what the tables say.
func (a *ask) tabled(key uint32) ruling {
	r := ruling{by: api.ByTable}
	r.verdict, r.rule, r.published = a.judge(key)
	r.mode = a.place.settings.Enforcement
	r.passes = r.verdict == policy.Allow || r.published && r.mode != policy.Enforce ||
		a.place.settings.Suspends(a.look.Direction, r.table(a), a.look.Class, r.rule)
	return r
}

// judge asks the tables; published says that the table of published ports decided.
func (a *ask) judge(key uint32) (v policy.Verdict, rule uint16, published bool) {
	if a.hostPort == 0 {
		v, rule = policy.Judge(a.look.Direction, a.look.Table, a.look.Peer, a.look.Class, a.look.Addr, key)
		return v, rule, false
	}
	v, rule, by := a.place.tables.JudgePublished(a.look.Peer, a.look.Class, a.look.Addr, key, policy.Key(uint8(key>>16), a.hostPort))
	return v, rule, by != nil && by == a.place.tables.Publish
}

// judge makes the steps of one question.
func (x *explainer) judge(a *ask, key uint32) ([]api.ExplainStep, error) {
	step := api.ExplainStep{
		Step: a.look.Direction.String(), Container: a.place.endpoint.Container.Name, Network: a.place.network.title(), By: api.ByTable,
	}
	if a.place.closed {
		step.Verdict, step.Why = api.VerdictDenied, "the labels of the container are not known yet: it is closed"
		return []api.ExplainStep{step}, nil
	}
	r, err := x.ruling(a, key)
	if err != nil {
		return nil, err
	}
	if step.By = r.by; x.live {
		step.Revision = a.place.program.Revision
	}
	table := r.table(a)
	var steps []api.ExplainStep
	switch {
	case r.published:
		step.Step = api.StepPublish
	case a.hostPort != 0 && (r.verdict == policy.Allow || !table.Explicit(r.rule)):
		open := step
		open.Step, open.Verdict, open.Why = api.StepPublish, api.VerdictAllowed, "no rule restricts who may use the published port"
		steps = append(steps, open)
	}
	ref, _ := table.Rule(r.rule)
	step.Policy, step.Rule, step.Source = ref.Policy, ref.Rule, x.scene.source(ref)
	step.Why = x.why(a, key, r, ref)
	switch {
	case r.verdict == policy.Allow:
		step.Verdict = api.VerdictAllowed
	case r.passes:
		step.Verdict = api.VerdictAudit
		step.Why += "; it passes, for the container is in mode " + r.mode.String()
	default:
		step.Verdict = api.VerdictDenied
	}
	return append(steps, step), nil
}

// why is a sentence about a ruling: what the rules say, if they gave it.
func (x *explainer) why(a *ask, key uint32, r ruling, ref policy.RuleRef) string {
	if r.unasked {
		return "no policy is asked about such messages"
	}
	said := policy.Explain(x.scene.policies, a.place.subject, x.scene.universe, a.question(key))
	switch {
	case said.Verdict == r.verdict && said.Rule == ref:
		return said.Why
	case ref != (policy.RuleRef{}):
		return ref.String()
	case r.reason != abi.DropNone:
		return r.reason.String()
	}
	return "no rule is about it"
}

// question is the ask for the rules.
func (a *ask) question(key uint32) policy.Question {
	return policy.Question{
		Direction: a.look.Direction, Peer: a.look.Peer, Addr: a.look.Addr, Protocol: uint8(key >> 16), Port: uint16(key),
		Published: a.hostPort,
	}
}

func verdictName(v policy.Verdict) string {
	if v == policy.Allow {
		return api.VerdictAllowed
	}
	return api.VerdictDenied
}
