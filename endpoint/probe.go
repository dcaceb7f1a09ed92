package endpoint

import (
	"errors"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/internal/abi"
)

// Prober asks loaded programs what they say of a packet that nobody sent (implemented by datapath.Loader).
type Prober interface {
	// Explain asks the program of a slot. It leaves no flow, no counter and no event.
	Explain(slot uint32, q datapath.Question) (datapath.Answer, error)
}

// probe asks the loaded programs about the steps of a path, and corrects what the tables that they were made from said
// where they disagree. One program judges a published port and ingress at once.
func (x *explainer) probe(w *way, steps []api.ExplainStep, asked uint32) error {
	if !x.live || x.m.Prober == nil {
		return nil
	}
	for i := range w.asks {
		a := &w.asks[i]
		if a.step == api.StepPublish || a.place.closed || !a.peerAddr.IsValid() {
			continue
		}
		key := a.key(asked)
		answer, err := x.m.Prober.Explain(a.place.program.Slot, datapath.Question{
			Direction: a.look.Direction, Peer: a.peerAddr, Protocol: uint8(key >> 16), Port: uint16(key), HostPort: a.hostPortOfIngress(),
		})
		switch {
		case errors.Is(err, datapath.ErrNoPolicy):
			steps[i].Why = "no policy is asked about such messages"
			continue
		case errors.Is(err, datapath.ErrNoProgram) || errors.Is(err, datapath.ErrNoAddress):
			x.note("%s: %v; its table answers", steps[i].Container, err)
			continue
		case err != nil:
			return err
		}
		group := steps[i : i+1]
		if i > 0 && w.asks[i-1].step == api.StepPublish {
			group = steps[i-1 : i+1]
		}
		x.confirm(group, answer)
	}
	return nil
}

// hostPortOfIngress is the published port by which a connection reaches the container; who sends to one is not asked.
func (a *ask) hostPortOfIngress() uint16 {
	if a.step != api.Ingress {
		return 0
	}
	return a.hostPort
}

// confirm marks steps as judged by the program, whose word counts.
func (x *explainer) confirm(steps []api.ExplainStep, answer datapath.Answer) {
	said := api.VerdictAllowed
	for _, s := range steps {
		if s.Verdict == api.VerdictDenied || s.Verdict == api.VerdictAudit && said == api.VerdictAllowed {
			said = s.Verdict
		}
	}
	does := api.VerdictDenied
	switch {
	case answer.Reason == abi.DropNone:
		does = api.VerdictAllowed
	case answer.Passes():
		does = api.VerdictAudit
	}
	for i := range steps {
		steps[i].By, steps[i].Revision = api.ByProgram, answer.Revision
	}
	if said == does {
		return
	}
	last := &steps[len(steps)-1]
	last.Why += "; but the loaded program says " + does
	if answer.Reason != abi.DropNone {
		last.Why += " (" + answer.Reason.String() + ")"
	}
	if does == api.VerdictAllowed {
		for i := range steps {
			steps[i].Verdict = does
		}
	}
	last.Verdict = does
	x.note("the loaded program of %s and its table disagree: sluice endpoint regenerate %s", last.Container, last.Container)
}
