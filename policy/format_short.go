package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// FormatShort writes policies as a document of the short form, which Parse reads back as the same policies. A policy
// whose rules differ becomes several, NAME, NAME.2 and so on. The error wraps ErrNotExpressible.
func FormatShort(policies ...*Policy) (string, error) {
	list := sequence()
	for _, p := range policies {
		nodes, err := shortNodes(p)
		if err != nil {
			return "", fmt.Errorf("write policy %s in the short form: %w", p.Key(), err)
		}
		list.Content = append(list.Content, nodes...)
	}
	return marshal(mapping(shortKey, list))
}

// shortNodes are the entries that a policy becomes: rules that differ in their subject only share one.
func shortNodes(p *Policy) ([]*yaml.Node, error) {
	var nodes []*yaml.Node
	subjects := map[string]*yaml.Node{} // by what the rule says
	for i := range p.Rules {
		r := &p.Rules[i]
		body, err := shortBody(r)
		if err != nil {
			return nil, err
		}
		said, err := marshal(body)
		if err != nil {
			return nil, err
		}
		subject := scalar(shortSubject(p, r))
		if list := subjects[said]; list != nil {
			list.Content = append(list.Content, subject)
			continue
		}
		name := p.Name
		if len(nodes) > 0 {
			name += "." + strconv.Itoa(len(nodes)+1)
		}
		entry := mapping("name", scalar(name))
		if p.Namespace != "" {
			extend(entry, "namespace", scalar(p.Namespace))
		}
		if p.Description != "" && len(nodes) == 0 {
			extend(entry, "description", scalar(p.Description))
		}
		subjects[said] = sequence(subject)
		extend(entry, "for", subjects[said])
		entry.Content = append(entry.Content, body.Content...)
		nodes = append(nodes, entry)
	}
	return nodes, nil
}

// shortSubject writes whom a rule selects; the policy's namespace, which stands on its own, left out.
func shortSubject(p *Policy, r *Rule) string {
	s := Selector{Requirements: slices.Clone(r.Subject.Requirements)}
	if p.Namespace != "" {
		s.Requirements = slices.DeleteFunc(s.Requirements, func(q Requirement) bool {
			return q.Key == LabelNamespace && q.Operator == In && slices.Equal(q.Values, []string{p.Namespace})
		})
	}
	if s.Any() {
		return "@any"
	}
	return formatSelector(&s, false)
}

func shortBody(r *Rule) (*yaml.Node, error) {
	body := mapping()
	closing := mapping()
	for _, d := range []Direction{Ingress, Egress} {
		allow, err := formatClauses(r, d, false)
		if err != nil {
			return nil, err
		}
		deny, err := formatClauses(r, d, true)
		if err != nil {
			return nil, err
		}
		if len(allow) > 0 {
			extend(body, d.String(), sequence(scalars(allow)...))
			if !r.Close[d] {
				extend(closing, d.String(), no())
			}
		}
		if len(deny) > 0 {
			extend(body, d.String()+".deny", sequence(scalars(deny)...))
		}
	}
	if len(closing.Content) > 0 {
		extend(body, "default-deny", closing)
	}
	if err := shortPublish(r, body); err != nil {
		return nil, err
	}
	rates := mapping()
	formatSettings(r, func(key, value string) {
		if d, ok := strings.CutPrefix(key, "rate."); ok {
			extend(rates, d, scalar(value))
			return
		}
		extend(body, key, scalar(value))
	})
	if len(rates.Content) > 0 {
		extend(body, "rate", rates)
	}
	if len(body.Content) == 0 { // a rule that says nothing
		extend(body, "default-deny", mapping("ingress", no()))
	}
	return body, nil
}

func shortPublish(r *Rule, body *yaml.Node) error {
	ports := mapping()
	lists := map[string]*yaml.Node{}
	for i := range r.Publish {
		pub := &r.Publish[i]
		key := scalar("*")
		if pub.Port != 0 {
			key = scalar(pub.portText())
			if pub.Protocol == 0 {
				key.Tag = "!!int"
			}
		}
		peers, err := publishPeers(pub)
		if err != nil {
			return err
		}
		if lists[key.Value] == nil {
			lists[key.Value] = sequence()
			ports.Content = append(ports.Content, key, lists[key.Value])
		}
		lists[key.Value].Content = append(lists[key.Value].Content, scalars(peers)...)
	}
	if len(ports.Content) > 0 {
		extend(body, "publish", ports)
	}
	return nil
}

// mapping makes a node of keys and values in turn.
func mapping(pairs ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i+1 < len(pairs); i += 2 {
		extend(n, pairs[i].(string), pairs[i+1].(*yaml.Node))
	}
	return n
}

func extend(n *yaml.Node, key string, value *yaml.Node) {
	n.Content = append(n.Content, scalar(key), value)
}

func sequence(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Content: items}
}

func scalar(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

func scalars(list []string) []*yaml.Node {
	nodes := make([]*yaml.Node, len(list))
	for i, s := range list {
		nodes[i] = scalar(s)
	}
	return nodes
}

func marshal(n *yaml.Node) (string, error) {
	var b strings.Builder
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		return "", fmt.Errorf("write YAML: %w", err)
	}
	return b.String(), e.Close()
}

func no() *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "false"} }
