package policy

import (
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-net/sluice/identity"
)

// The labels that name a rule in a list: the one of Cilium's guides, and the one that Cilium gives rules of documents.
const (
	ruleLabelName       = "name"
	ruleLabelPolicyName = "io.cilium.k8s.policy.name"
)

// ruleList reads a list of rules as `cilium policy import` took it: each item is what a document has as its spec, and
// has labels, one of which may name it. Rules of one name are one policy; those without are the file's.
func (d *reader) ruleList(n *yaml.Node) {
	byName := map[string]*Policy{}
	i := 0
	d.list(n, "", func(n *yaml.Node, path string) {
		i++
		if n.Kind != yaml.MappingNode {
			d.fail(n, path, "expected a rule, found %s", describe(n))
			return
		}
		name := d.ruleName(n, path)
		p := byName[name]
		if p == nil {
			p = &Policy{Name: name, Source: Source{File: d.file, Line: n.Line}}
			byName[name] = p
			d.policies = append(d.policies, p)
		}
		d.rule(n, path, path+".", p)
	})
	if i == 0 {
		d.fail(n, "", "the list has no rules")
	}
}

// isRule tells a rule without a document around it.
func isRule(n *yaml.Node) bool {
	return hasKey(n, "endpointSelector") && !hasKey(n, "apiVersion") && !hasKey(n, "metadata")
}

// ruleName is what a rule's labels call it, or else the file's name.
func (d *reader) ruleName(n *yaml.Node, path string) string {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != "labels" {
			continue
		}
		at := join(path, "labels")
		if v := d.follow(n.Content[i+1], at); v != nil && !isNull(v) {
			if name := d.ruleLabels(v, at); name != "" {
				return name
			}
		}
	}
	name := fileName(d.file)
	if name == "" {
		d.fail(n, join(path, "labels"), `missing: give the rule a name, for example "labels": [{"key": "name", "value": "web"}]`)
	}
	return name
}

// ruleLabels reads the labels of a rule, objects or strings, for the one that names it.
func (d *reader) ruleLabels(n *yaml.Node, path string) (name string) {
	d.list(n, path, func(n *yaml.Node, path string) {
		key, value, at := d.ruleLabel(n, path)
		switch {
		case key != ruleLabelName && key != ruleLabelPolicyName:
		case name != "" && name != value:
			d.fail(at, path, "the rule has two names, %s and %s", shorten(name), shorten(value))
		case d.validName(at, path, value):
			name = value
		}
	})
	return name
}

// ruleLabel reads one label: {source, key, value}, or "SOURCE:KEY=VALUE". at is where its value stands.
func (d *reader) ruleLabel(n *yaml.Node, path string) (key, value string, at *yaml.Node) {
	at = n
	if n.Kind == yaml.ScalarNode {
		s, ok := d.str(n, path)
		if ok && s == "" {
			d.fail(n, path, "a label's key is missing")
		}
		key, value, _ = strings.Cut(s, "=")
	} else {
		d.mapping(n, path, fields{
			"source": read(func(n *yaml.Node, path string) { d.str(n, path) }),
			"key": read(func(n *yaml.Node, path string) {
				if s, ok := d.str(n, path); ok {
					key = s
				}
			}),
			"value": read(func(n *yaml.Node, path string) { value, _ = d.str(n, path); at = n }),
		})
		if key == "" && n.Kind == yaml.MappingNode {
			d.fail(n, join(path, "key"), "missing")
		}
	}
	key = strings.TrimPrefix(identity.NormaliseKey(key), "k8s:")
	return strings.TrimPrefix(key, "unspec:"), value, at
}

// fileName is a policy's name after its file: without folder and extension; empty where that is none.
func fileName(file string) string {
	base := filepath.Base(file)
	name := strings.TrimSuffix(base, filepath.Ext(base))
	if !isName(name) || name == LabelPolicyName {
		return ""
	}
	return name
}
