package endpoint

import (
	"net/netip"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/policy"
)

// Prober asks loaded programs what they say of a packet (implemented over datapath.Loader).
type Prober interface {
	// Probe runs the program of a slot on a packet that leaves no trace: no flow, no counter, no event, and it goes
	// nowhere. ok is false where the program cannot be asked about such a packet.
	Probe(p Probe) (answer Probed, ok bool, err error)
}

// Probe is the first packet of a connection, as the program of a slot meets it.
type Probe struct {
	Slot      uint32
	Direction policy.Direction
	Src, Dst  netip.Addr
	Protocol  uint8
	Port      uint16 // of the destination, or ICMP type<<8 | code
	Published uint16 // port of the host by which it came; 0: none
}

// Probed is what a program said.
type Probed struct {
	Verdict policy.Verdict
	Rule    uint16 // of its table
	Reason  string // why it drops, if not by policy
	Audit   bool   // policy denies it, and the program lets it pass
}

// probe asks the loaded program, and notes where it disagrees with the table that it was made from.
func (x *explainer) probe(a *ask, asked uint32, step *api.ExplainStep) error {
	if x.m.Prober == nil || !a.own.IsValid() || !a.peerAddr.IsValid() {
		return nil
	}
	key := a.key(asked)
	p := Probe{Slot: a.place.program.Slot, Direction: a.look.Direction, Src: a.own, Dst: a.peerAddr,
		Protocol: uint8(key >> 16), Port: uint16(key), Published: a.hostPort}
	if a.look.Direction == policy.Ingress {
		p.Src, p.Dst = a.peerAddr, a.own
	}
	answer, ok, err := x.m.Prober.Probe(p)
	if err != nil || !ok {
		return err
	}
	verdict := verdictName(answer.Verdict)
	if answer.Audit {
		verdict = api.VerdictAudit
	}
	step.By = api.ByProgram
	if verdict == step.Verdict || a.hostPort != 0 {
		return nil // of a published port the program judges two tables at once
	}
	step.Why += "; but the loaded program says " + verdict
	if answer.Reason != "" {
		step.Why += " (" + answer.Reason + ")"
	}
	step.Verdict = verdict
	x.note("the loaded program of %s and its table disagree: sluice endpoint regenerate %s", step.Container, step.Container)
	return nil
}
