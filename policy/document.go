package policy

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxDocumentBytes bounds what Parse reads.
const MaxDocumentBytes = 16 << 20

// The kinds of documents.
const (
	apiVersion           = "cilium.io/v2"
	kindPolicy           = "CiliumNetworkPolicy"
	kindClusterwide      = "CiliumClusterwideNetworkPolicy"
	kindListSuffix       = "List"
	kindList             = "List"
	apiVersionList       = "v1"
	maxNameLength        = 253
	maxDescriptionLength = 4096
)

// versionOf is the apiVersion of each kind.
var versionOf = map[string]string{kindPolicy: apiVersion, kindClusterwide: apiVersion, kindNetwork: apiVersionNetwork}

// Parse reads the policy documents of a file: YAML or JSON, several separated by ---, lists as kubectl writes them.
// file is the name for messages. Everything that is unknown or cannot be enforced is refused; the error is then
// Problems, all that were found. Two documents of one name are refused. A file without documents gives no policies.
func Parse(r io.Reader, file string) ([]*Policy, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxDocumentBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read policy %s: %w", file, err)
	}
	d := &reader{decoder: decoder{file: file}}
	if len(data) > MaxDocumentBytes {
		d.fail(&yaml.Node{}, "", "larger than %d MiB", MaxDocumentBytes>>20)
		return nil, d.problems
	}
	d.documents(strings.NewReader(strings.TrimPrefix(string(data), "\ufeff")))
	d.duplicates()
	if len(d.problems) > 0 {
		return nil, d.problems
	}
	return d.policies, nil
}

// reader makes policies of documents.
type reader struct {
	decoder
	policies []*Policy
}

func (d *reader) documents(r io.Reader) {
	yamlDecoder := yaml.NewDecoder(r)
	for {
		var doc yaml.Node
		err := yamlDecoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			d.syntax(err)
			return
		}
		if len(doc.Content) == 0 || isNull(doc.Content[0]) {
			continue
		}
		if n := doc.Content[0]; n.Kind == yaml.SequenceNode {
			d.ruleList(n)
		} else {
			d.document(n, "", "", true)
		}
	}
}

// syntax reports an error of the YAML library, which writes "yaml: line N: what".
func (d *reader) syntax(err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	n := yaml.Node{}
	if rest, ok := strings.CutPrefix(message, "line "); ok {
		if _, err := fmt.Sscanf(rest, "%d:", &n.Line); err == nil {
			_, message, _ = strings.Cut(rest, ": ")
		}
	}
	d.fail(&n, "", "not valid YAML: %s", message)
}

// document reads a policy or, at the top, a list of them. defaultKind is what the items of a typed list are if they do
// not say.
func (d *reader) document(n *yaml.Node, path, defaultKind string, top bool) {
	if n = d.follow(n, path); n == nil {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "expected a policy document, found %s", describe(n))
		return
	}
	kind, version := defaultKind, versionOf[defaultKind]
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch n.Content[i].Value {
		case "kind":
			kind = n.Content[i+1].Value
		case "apiVersion":
			version = n.Content[i+1].Value
		}
	}
	switch kind {
	case "":
		d.withoutKind(n, path, version, top)
	case kindPolicy, kindClusterwide, kindNetwork:
		switch {
		case version != versionOf[kind]:
			d.fail(n, join(path, "apiVersion"), "%s is of apiVersion %s, found %s", kind, versionOf[kind], shorten(version))
		case kind == kindNetwork:
			d.networkPolicy(n, path)
		default:
			d.policy(n, path, kind)
		}
	case kindList, kindPolicy + kindListSuffix, kindClusterwide + kindListSuffix, kindNetwork + kindListSuffix:
		if !top {
			d.fail(n, path, "a list within a list")
			return
		}
		d.items(n, path, kind, version)
	default:
		d.fail(n, join(path, "kind"), "%s is not a policy that Sluice reads%s", shorten(kind),
			suggest(kind, []string{kindPolicy, kindClusterwide, kindNetwork}))
	}
}

// withoutKind reads the short form; what else lacks a kind is refused.
func (d *reader) withoutKind(n *yaml.Node, path, version string, top bool) {
	switch {
	case hasKey(n, shortKey) && version == "":
		d.short(n, path)
	case top && isRule(n):
		d.fail(n, path, "a rule without a document around it stands in a list: [{…}]")
	default:
		d.fail(n, join(path, "kind"), "missing: a policy is a %s, a %s or a %s, or a list of %s in the short form",
			kindPolicy, kindClusterwide, kindNetwork, shortKey)
	}
}

// hasKey tells whether a mapping has a key.
func hasKey(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

func (d *reader) items(n *yaml.Node, path, kind, version string) {
	itemKind := strings.TrimSuffix(kind, kindListSuffix)
	want := versionOf[itemKind]
	if kind == kindList {
		want, itemKind = apiVersionList, ""
	}
	if version != want {
		d.fail(n, join(path, "apiVersion"), "%s is of apiVersion %s, found %s", kind, want, shorten(version))
		return
	}
	d.mapping(n, path, fields{
		"apiVersion": ignore(), "kind": ignore(), "metadata": ignore(),
		"items": read(func(n *yaml.Node, path string) {
			d.list(n, path, func(n *yaml.Node, path string) { d.document(n, path, itemKind, false) })
		}),
	})
}

// policy reads one document with spec, specs or both.
func (d *reader) policy(n *yaml.Node, path, kind string) {
	p := &Policy{Source: Source{File: d.file, Line: n.Line}}
	d.metadataFirst(n, path, p, kind)
	rules := 0
	d.mapping(n, path, fields{
		"apiVersion": ignore(), "kind": ignore(), "metadata": ignore(),
		"status": ignore(), // what kubectl get adds
		"spec":   read(func(n *yaml.Node, path string) { rules++; d.rule(n, path, "", p) }),
		"specs": read(func(n *yaml.Node, path string) {
			i := 0
			d.list(n, path, func(n *yaml.Node, path string) {
				d.rule(n, path, fmt.Sprintf("specs[%d].", i), p)
				i, rules = i+1, rules+1
			})
		}),
	})
	if p.Name == "" {
		d.fail(n, join(path, "metadata.name"), "missing: every policy has a name")
	}
	if rules == 0 {
		d.fail(n, join(path, "spec"), "missing: the document has no rules")
	}
	d.policies = append(d.policies, p)
}

// metadataFirst reads the name and the namespace, whatever the order of fields: selectors depend on it.
func (d *reader) metadataFirst(n *yaml.Node, path string, p *Policy, kind string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "metadata" {
			if m := d.follow(n.Content[i+1], join(path, "metadata")); m != nil && !isNull(m) {
				d.metadata(m, join(path, "metadata"), p, kind)
			}
			return
		}
	}
}

func (d *reader) metadata(n *yaml.Node, path string, p *Policy, kind string) {
	namespace := read(func(n *yaml.Node, path string) {
		if s, ok := d.str(n, path); ok && d.validName(n, path, s) {
			p.Namespace = s
		}
	})
	if kind == kindClusterwide {
		namespace = refuse("a " + kindClusterwide + " is about every namespace; remove it, or use a " + kindPolicy)
	}
	d.mapping(n, path, fields{
		"name": read(func(n *yaml.Node, path string) {
			if s, ok := d.str(n, path); ok && d.validName(n, path, s) {
				p.Name = s
			}
		}),
		"namespace": namespace,
		// What else Kubernetes keeps there says nothing about traffic.
		"annotations": ignore(), "creationTimestamp": ignore(), "deletionGracePeriodSeconds": ignore(),
		"deletionTimestamp": ignore(), "finalizers": ignore(), "generateName": ignore(), "generation": ignore(),
		"labels": ignore(), "managedFields": ignore(), "ownerReferences": ignore(), "resourceVersion": ignore(),
		"selfLink": ignore(), "uid": ignore(),
	})
}

// validName refuses what is not a name.
func (d *reader) validName(n *yaml.Node, path, s string) bool {
	if !isName(s) {
		d.fail(n, path, "%s is not a name: letters, digits, '-', '.' and '_', at most %d", shorten(s), maxNameLength)
		return false
	}
	if s == LabelPolicyName {
		d.fail(n, path, whyReserved)
		return false
	}
	return true
}

// isName accepts what Kubernetes accepts as a name (RFC 1123), and the underscores and capitals of projects.
func isName(s string) bool {
	ok := s != "" && len(s) <= maxNameLength && s[0] != '.' && s[0] != '-'
	for _, r := range s {
		ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._", r))
	}
	return ok
}

// duplicates refuses two documents of one name.
func (d *reader) duplicates() {
	first := make(map[string]Source, len(d.policies))
	for _, p := range d.policies {
		if other, dup := first[p.Key()]; dup && p.Name != "" {
			d.fail(&yaml.Node{Line: p.Source.Line}, "metadata.name", "policy %s stands twice in the file, first in line %d", p.Key(), other.Line)
			continue
		}
		first[p.Key()] = p.Source
	}
}
