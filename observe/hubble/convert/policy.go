package convert

import (
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/internal/abi"
	"github.com/sluice-net/sluice/observe"
)

// labelRule is the label of a policy in a message that says which of its rules decided.
const labelRule = "sluice:rule="

// policies fills who allowed or denied the flow. What would have been denied, were the policy enforced, counts as denied.
func (c *Converter) policies(m *flowpb.Flow, f *observe.Flow) {
	if f.Rule == nil || f.Rule.Policy == "" {
		return
	}
	by := []*flowpb.Policy{c.policy(f)}
	denied := f.Reason() != abi.DropNone
	switch egress := f.Side() == api.Egress; {
	case egress && denied:
		m.EgressDeniedBy = by
	case egress:
		m.EgressAllowedBy = by
	case denied:
		m.IngressDeniedBy = by
	default:
		m.IngressAllowedBy = by
	}
}

func (c *Converter) policy(f *observe.Flow) *flowpb.Policy {
	m := &flowpb.Policy{Name: f.Rule.Policy, Revision: uint64(f.Kernel.Revision)}
	if namespace, name, ok := strings.Cut(f.Rule.Policy, "/"); ok {
		m.Namespace, m.Name = namespace, name
	}
	if c.options.PolicyKind != nil {
		m.Kind = c.options.PolicyKind(f.Rule.Policy)
	}
	if f.Rule.Place != "" {
		m.Labels = []string{labelRule + f.Rule.Place}
	}
	return m
}
