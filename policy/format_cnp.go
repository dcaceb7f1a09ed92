package policy

import (
	"fmt"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// FormatCNP writes a policy as a CiliumNetworkPolicy, which Parse reads back as the same policy. Peers that only Sluice
// knows become entities of the same names (net, lan, internet), which Cilium does not read. The error wraps
// ErrNotExpressible.
func FormatCNP(p *Policy) (string, error) {
	metadata := mapping("name", scalar(p.Name))
	if p.Namespace != "" {
		extend(metadata, "namespace", scalar(p.Namespace))
	}
	doc := mapping("apiVersion", scalar(apiVersion), "kind", scalar(kindPolicy), "metadata", metadata)
	specs := sequence()
	for i := range p.Rules {
		spec, err := cnpRule(p, &p.Rules[i])
		if err != nil {
			return "", fmt.Errorf("write policy %s as %s: %w", p.Key(), kindPolicy, err)
		}
		if i == 0 && p.Description != "" {
			extend(spec, "description", scalar(p.Description))
		}
		specs.Content = append(specs.Content, spec)
	}
	if len(specs.Content) == 1 {
		extend(doc, "spec", specs.Content[0])
	} else {
		extend(doc, "specs", specs)
	}
	return marshal(doc)
}

func cnpRule(p *Policy, r *Rule) (*yaml.Node, error) {
	if len(r.Publish) > 0 || r.Preset != PresetNone || r.Enforcement != nil || r.Rates != [directions]Rate{} || r.Level != LevelUnset {
		return nil, fmt.Errorf("%w: it has no words for published ports, profile, rate, mode and observe", ErrNotExpressible)
	}
	spec := mapping("endpointSelector", cnpSelector(&r.Subject))
	closing := mapping()
	for _, d := range []Direction{Ingress, Egress} {
		allow, err := cnpItems(p, r, d, false)
		if err != nil {
			return nil, err
		}
		deny, err := cnpItems(p, r, d, true)
		if err != nil {
			return nil, err
		}
		if r.Close[d] && len(allow)+len(deny) == 0 {
			allow = []*yaml.Node{mapping()} // closes, and allows nothing
		}
		if len(allow) > 0 {
			extend(spec, d.String(), sequence(allow...))
		}
		if len(deny) > 0 {
			extend(spec, d.String()+"Deny", sequence(deny...))
		}
		if !r.Close[d] && len(allow)+len(deny) > 0 {
			extend(closing, d.String(), no())
		}
	}
	if len(spec.Content) == 2 { // the rule says nothing, but a document may not
		extend(spec, "ingress", sequence(mapping()))
		extend(closing, "ingress", no())
	}
	if len(closing.Content) > 0 {
		extend(spec, "enableDefaultDeny", closing)
	}
	return spec, nil
}

// cnpItems writes the clauses of one list. Peers of different kinds stand in items of their own, and so do clauses whose
// ports mix.
func cnpItems(p *Policy, r *Rule, d Direction, deny bool) ([]*yaml.Node, error) {
	prefix := "to"
	if d == Ingress {
		prefix = "from"
	}
	var items []*yaml.Node
	for i := range r.Clauses {
		c := &r.Clauses[i]
		if c.Direction != d || c.Deny != deny {
			continue
		}
		ports, err := cnpPorts(c)
		if err != nil {
			return nil, err
		}
		kinds := []string{"Endpoints", "Entities", "CIDRSet"}
		lists := map[string]*yaml.Node{}
		for _, peer := range c.Peers {
			kind, n, err := cnpPeer(p, r, peer)
			if err != nil {
				return nil, err
			}
			if lists[kind] == nil {
				lists[kind] = sequence()
			}
			lists[kind].Content = append(lists[kind].Content, n)
		}
		for _, kind := range kinds {
			if lists[kind] == nil {
				continue
			}
			item := mapping(prefix+kind, lists[kind])
			if ports != nil {
				extend(item, "toPorts", ports)
			}
			items = append(items, item)
		}
	}
	return items, nil
}

func cnpPeer(p *Policy, r *Rule, peer Peer) (kind string, n *yaml.Node, err error) {
	switch {
	case peer.Domain != "":
		return "", nil, fmt.Errorf("write peer %s: %w: %s", peer, ErrNotExpressible, whyDomain)
	case peer.Entity != "":
		return "Entities", scalar(string(peer.Entity)), nil
	case peer.Prefix.IsValid():
		n = mapping("cidr", scalar(peer.Prefix.String()))
		if len(peer.Except) > 0 {
			except := sequence()
			for _, e := range peer.Except {
				except.Content = append(except.Content, scalar(e.String()))
			}
			extend(n, "except", except)
		}
		return "CIDRSet", n, nil
	}
	s := *peer.Selector
	if peer.SameProject {
		project, ok := r.Subject.only(labelProject)
		if !ok {
			if project, ok = r.Subject.only(LabelNamespace); !ok {
				return "", nil, fmt.Errorf("write peer %s: %w: the rule does not say of which project its containers are", peer, ErrNotExpressible)
			}
		}
		s = NewSelector(append(slices.Clone(s.Requirements), Requirement{Key: labelProject, Operator: In, Values: []string{project}})...)
	}
	if p.Namespace != "" && !s.mentionsNamespace() {
		s = NewSelector(append(slices.Clone(s.Requirements), Requirement{Key: LabelNamespace, Operator: Exists})...)
	}
	return "Endpoints", cnpSelector(&s), nil
}

// only is the value that every match of the selector has for a key.
func (s Selector) only(key string) (string, bool) {
	for _, r := range s.Requirements {
		if r.Key == key && r.Operator == In && len(r.Values) == 1 {
			return r.Values[0], true
		}
	}
	return "", false
}

func cnpSelector(s *Selector) *yaml.Node {
	labels, expressions := mapping(), sequence()
	seen := map[string]bool{}
	for _, r := range s.Requirements {
		if r.Operator == In && len(r.Values) == 1 && !seen[r.Key] {
			seen[r.Key] = true
			extend(labels, r.Key, scalar(r.Values[0]))
			continue
		}
		e := mapping("key", scalar(r.Key), "operator", scalar(r.Operator.String()))
		if len(r.Values) > 0 {
			extend(e, "values", sequence(scalars(r.Values)...))
		}
		expressions.Content = append(expressions.Content, e)
	}
	n := mapping()
	if len(labels.Content) > 0 {
		extend(n, "matchLabels", labels)
	}
	if len(expressions.Content) > 0 {
		extend(n, "matchExpressions", expressions)
	}
	return n
}

// cnpPorts is the list toPorts, nil for every port.
func cnpPorts(c *Clause) (*yaml.Node, error) {
	if c.AnyPort {
		return nil, nil
	}
	list := sequence()
	for _, pr := range c.Ports {
		ports := sequence()
		for _, p := range pr.Ports {
			if p.AnyProtocol && p.Name == "" && p.First == 0 && p.Last == 0xffff {
				return nil, nil // no list of ports says every protocol: "0" is TCP, UDP and SCTP
			}
			n, err := cnpPort(p)
			if err != nil {
				return nil, err
			}
			ports.Content = append(ports.Content, n)
		}
		list.Content = append(list.Content, mapping("ports", ports))
	}
	if len(list.Content) == 0 { // no port: an item without ports would be every port
		list.Content = append(list.Content, mapping("ports", sequence()))
	}
	return list, nil
}

func cnpPort(p Port) (*yaml.Node, error) {
	n := mapping()
	number, _, err := formatPort(p)
	switch {
	case err != nil:
		return nil, err
	case number == "*":
		extend(n, "port", scalar("0"))
	case p.Name == "" && p.First != p.Last && hasPorts(p.Protocol), p.AnyProtocol && p.Name == "" && p.First != p.Last:
		extend(n, "port", scalar(strconv.Itoa(int(p.First))))
		extend(n, "endPort", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(int(p.Last))})
	default:
		extend(n, "port", scalar(number))
	}
	if !p.AnyProtocol {
		extend(n, "protocol", scalar(protocolName(p.Protocol)))
	}
	return n, nil
}
