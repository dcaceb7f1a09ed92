package policy

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-net/sluice/identity"
)

// The document kind of Kubernetes.
const (
	apiVersionNetwork = "networking.k8s.io/v1"
	kindNetwork       = "NetworkPolicy"
)

// labelNamespaceName is the only label that namespaces have here; Kubernetes gives it to each of its own.
const labelNamespaceName = "kubernetes.io/metadata.name"

// labelOfNamespaces starts what Cilium calls the labels of a container's namespace.
const labelOfNamespaces = "io.cilium.k8s.namespace.labels."

// netpolReader reads the spec of one NetworkPolicy.
type netpolReader struct {
	*reader
	namespace string
	rule      Rule
	listed    [directions]bool // policyTypes names the direction
	sections  [directions]*yaml.Node
}

// networkPolicy reads a NetworkPolicy. Its rules only allow, and what they do not allow is denied in every direction
// that policyTypes names; without policyTypes that is ingress, and egress if the policy has rules for it.
func (d *reader) networkPolicy(n *yaml.Node, path string) {
	p := &Policy{Source: Source{File: d.file, Line: n.Line}}
	d.metadataFirst(n, path, p, kindNetwork)
	var spec *yaml.Node
	d.mapping(n, path, fields{
		"apiVersion": ignore(), "kind": ignore(), "metadata": ignore(),
		"status": ignore(), // what kubectl get adds
		"spec":   read(func(n *yaml.Node, _ string) { spec = n }),
	})
	if p.Name == "" {
		d.fail(n, join(path, "metadata.name"), "missing: every policy has a name")
	}
	if spec == nil {
		d.fail(n, join(path, "spec"), "missing: write podSelector and the rules; spec: {podSelector: {}} denies all ingress")
	} else {
		p.Rules = []Rule{d.networkSpec(spec, join(path, "spec"), p.Namespace)}
	}
	d.policies = append(d.policies, p)
}

func (d *reader) networkSpec(n *yaml.Node, path, namespace string) Rule {
	r := &netpolReader{reader: d, namespace: namespace}
	r.rule = Rule{Line: n.Line, Subject: NewSelector().inNamespace(namespace)}
	types := -1
	section := func(dir Direction) field {
		return read(func(n *yaml.Node, path string) { r.section(dir, n, path) })
	}
	r.mapping(n, path, fields{
		"podSelector": read(func(n *yaml.Node, path string) {
			if s, ok := r.selector(n, path); ok {
				r.withinNamespace(n, path, s, namespace)
				r.rule.Subject = s.inNamespace(namespace)
			}
		}),
		"policyTypes": read(func(n *yaml.Node, path string) { types = r.policyTypes(n, path) }),
		"ingress":     section(Ingress), "egress": section(Egress),
	})
	if types <= 0 {
		r.listed = [directions]bool{Ingress: true, Egress: r.sections[Egress] != nil}
	}
	for dir, at := range r.sections {
		if at != nil && !r.listed[dir] {
			name := Direction(dir).String()
			r.fail(at, join(path, name), "policyTypes does not name %s, so these rules would do nothing: add it, or remove them", policyTypeOf(Direction(dir)))
		}
	}
	r.rule.Close = r.listed
	return r.rule
}

func policyTypeOf(d Direction) string {
	if d == Egress {
		return "Egress"
	}
	return "Ingress"
}

// policyTypes reads the directions that the policy is about, and returns how many items there are.
func (r *netpolReader) policyTypes(n *yaml.Node, path string) (count int) {
	r.list(n, path, func(n *yaml.Node, path string) {
		count++
		s, ok := r.str(n, path)
		switch {
		case !ok:
		case s == policyTypeOf(Ingress):
			r.listed[Ingress] = true
		case s == policyTypeOf(Egress):
			r.listed[Egress] = true
		default:
			r.fail(n, path, "%s is not a direction%s", shorten(s), suggest(s, []string{policyTypeOf(Ingress), policyTypeOf(Egress)}))
		}
	})
	return count
}

// section reads ingress or egress. One without items is the same as none.
func (r *netpolReader) section(dir Direction, n *yaml.Node, path string) {
	i := 0
	r.list(n, path, func(item_ *yaml.Node, path string) {
		r.sections[dir] = n
		c := Clause{Direction: dir, Line: item_.Line, Path: item(dir.String(), i)}
		r.item(item_, path, &c)
		r.rule.Clauses = append(r.rule.Clauses, c)
		i++
	})
}

// item reads one rule: peers and ports, both of which mean everything where they are missing or empty.
func (r *netpolReader) item(n *yaml.Node, path string, c *Clause) {
	peers := "to"
	if c.Direction == Ingress {
		peers = "from"
	}
	everyone := true
	c.AnyPort = true
	r.mapping(n, path, fields{
		peers: read(func(n *yaml.Node, path string) {
			r.list(n, path, func(n *yaml.Node, path string) {
				everyone = false
				if p, ok := r.peer(n, path); ok {
					c.Peers = append(c.Peers, p)
				}
			})
		}),
		"ports": read(func(n *yaml.Node, path string) {
			i := 0
			r.list(n, path, func(n *yaml.Node, path string) {
				c.AnyPort = false
				pr := PortRule{Path: c.Path + "." + item("ports", i), Line: n.Line}
				if p, ok := r.port(n, path); ok {
					pr.Ports = []Port{p}
				}
				c.Ports = append(c.Ports, pr)
				i++
			})
		}),
	})
	if everyone {
		c.Peers = []Peer{{Entity: EntityAll}}
	}
}

// peer reads one of from or to: containers of this namespace, of others, of others by their labels, or addresses.
func (r *netpolReader) peer(n *yaml.Node, path string) (Peer, bool) {
	var (
		before          = len(r.problems)
		pods, namespace *Selector
		block           *Peer
	)
	r.mapping(n, path, fields{
		"podSelector": read(func(n *yaml.Node, path string) { s, _ := r.selector(n, path); pods = &s }),
		"namespaceSelector": read(func(n *yaml.Node, path string) {
			s, _ := r.selector(n, path)
			s = r.ofNamespaces(s, n, path)
			namespace = &s
		}),
		"ipBlock": read(func(n *yaml.Node, path string) { p := r.ipBlock(n, path); block = &p }),
	})
	switch {
	case len(r.problems) > before:
		return Peer{}, false
	case block != nil && (pods != nil || namespace != nil):
		r.fail(n, path, "ipBlock stands alone: write an item for each, items are alternatives")
		return Peer{}, false
	case block != nil:
		return *block, true
	case pods == nil && namespace == nil:
		r.fail(n, path, "a peer is missing: podSelector, namespaceSelector or ipBlock (podSelector: {} is every container of the namespace)")
		return Peer{}, false
	case namespace == nil:
		s := pods.inNamespace(r.namespace)
		return Peer{Selector: &s}, true
	case pods != nil:
		s := NewSelector(slices.Concat(namespace.Requirements, pods.Requirements)...)
		return Peer{Selector: &s}, true
	}
	return Peer{Selector: namespace}, true
}

// ofNamespaces turns a selector of namespaces into one of their containers.
func (r *netpolReader) ofNamespaces(s Selector, n *yaml.Node, path string) Selector {
	list := slices.Clone(s.Requirements)
	for i := range list {
		switch list[i].Key {
		case labelNamespaceName:
			list[i].Key = LabelNamespace
		case LabelNamespace, identity.LabelProject:
		default:
			r.fail(n, path, "a namespace is a compose project and has no label %s, only %s", shorten(list[i].Key), labelNamespaceName)
		}
	}
	return NewSelector(list...)
}

func (r *netpolReader) ipBlock(n *yaml.Node, path string) (p Peer) {
	r.mapping(n, path, fields{
		"cidr": read(func(n *yaml.Node, path string) { p.Prefix, _ = r.prefix(n, path, false) }),
		"except": read(func(n *yaml.Node, path string) {
			r.list(n, path, func(n *yaml.Node, path string) {
				if e, ok := r.prefix(n, path, false); ok {
					p.Except = append(p.Except, e)
				}
			})
		}),
	})
	if !p.Prefix.IsValid() {
		r.fail(n, join(path, "cidr"), "missing or invalid")
		return p
	}
	for _, e := range p.Except {
		if !p.Prefix.Contains(e.Addr()) || e.Bits() <= p.Prefix.Bits() {
			r.fail(n, join(path, "except"), "%s is not a part of %s", e, p.Prefix)
		}
	}
	return p
}

// port reads one of ports: the protocol is TCP if none is named, the port all of them.
func (r *netpolReader) port(n *yaml.Node, path string) (p Port, ok bool) {
	var (
		before    = len(r.problems)
		port, end *yaml.Node
		protocol  = "TCP"
	)
	r.mapping(n, path, fields{
		"port":    read(func(n *yaml.Node, _ string) { port = n }),
		"endPort": read(func(n *yaml.Node, _ string) { end = n }),
		"protocol": read(func(n *yaml.Node, path string) {
			if s, ok := r.str(n, path); ok {
				protocol = s
			}
		}),
	})
	switch protocol {
	case "TCP", "UDP", "SCTP":
		p.Protocol = protocolNames[protocol]
	default:
		r.fail(n, join(path, "protocol"), "unknown protocol %s%s", shorten(protocol), suggest(protocol, []string{"TCP", "UDP", "SCTP"}))
	}
	switch {
	case port == nil && end != nil:
		r.fail(end, join(path, "endPort"), "a range needs a port to start at")
	case port == nil:
		p.Last = 0xffff
	default:
		r.portValue(&p, port, end, path)
	}
	return p, len(r.problems) == before
}

// portValue reads port and endPort. As in Kubernetes, a port is a number without quotes and a name is a string.
func (r *netpolReader) portValue(p *Port, port, end *yaml.Node, path string) {
	at := join(path, "port")
	if port.Kind != yaml.ScalarNode || port.Tag != "!!int" {
		name, ok := r.str(port, at)
		switch _, err := strconv.Atoi(name); {
		case !ok:
		case err == nil:
			r.fail(port, at, "%s is a string: write the number without quotes", shorten(name))
		case name != strings.ToLower(name) || !isPortName(name):
			r.fail(port, at, "%s is not the name of a port: up to 15 small letters, digits and single dashes", shorten(name))
		case end != nil:
			r.fail(end, join(path, "endPort"), "a named port is no range")
		}
		p.Name = name
		return
	}
	first, ok := r.portNumber(port, at)
	last := first
	if end != nil {
		var good bool
		last, good = r.portNumber(end, join(path, "endPort"))
		ok = ok && good
	}
	if ok && last < first {
		r.fail(end, join(path, "endPort"), "%d is less than the port %d", last, first)
	}
	p.First, p.Last = first, last
}

func (r *netpolReader) portNumber(n *yaml.Node, path string) (uint16, bool) {
	number, err := strconv.ParseUint(n.Value, 10, 16)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil || number == 0 {
		r.fail(n, path, "%s is not a port from 1 to 65535", describe(n))
		return 0, false
	}
	return uint16(number), true
}
