package policy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/identity"
	"go.yaml.in/yaml/v3"
)

// Why fields are refused.
const (
	whyL7       = "rules above TCP and UDP (HTTP, DNS, Kafka) are not supported"
	whyTLS      = "TLS is not terminated, and server names are not read"
	whyListener = "there is no proxy to redirect to"
	whyFQDN     = "names are not resolved; list the addresses in toCIDR"
	whyServices = "there are no Kubernetes services; select the containers in toEndpoints"
	whyNodes    = "rules for single hosts need several hosts; use the entity host"
	whyGroups   = "cloud providers' groups are not known here; list the addresses as CIDRs"
	whyRequires = "Cilium retired it; put the requirement into the selectors of fromEndpoints or toEndpoints"
	whyAuth     = "mutual authentication is not supported"
	whyNodeSel  = "policies for the host itself are not supported; select containers with endpointSelector"
	whyLog      = "log values are not recorded"
	whyCIDRRef  = "there are no CIDR groups; list the addresses in cidr"
)

// rule reads one spec. prefix is "" or "specs[N]." and starts the paths that verdicts name.
func (d *reader) rule(n *yaml.Node, path, prefix string, p *Policy) {
	r := Rule{Path: strings.TrimSuffix(prefix, "."), Line: n.Line}
	var (
		present   [directions]bool // sections with at least one item
		closing   [directions]*bool
		selective bool
		before    = len(d.problems)
	)
	section := func(dir Direction, deny bool) field {
		return read(func(n *yaml.Node, path string) {
			name := path[strings.LastIndexByte(path, '.')+1:]
			i := 0
			d.list(n, path, func(n *yaml.Node, path string) {
				present[dir] = true
				c := Clause{Direction: dir, Deny: deny, Line: n.Line, Path: prefix + item(name, i)}
				d.clause(n, path, &c, p.Namespace)
				r.Clauses = append(r.Clauses, c)
				i++
			})
		})
	}
	d.mapping(n, path, fields{
		"endpointSelector": read(func(n *yaml.Node, path string) {
			selective = true
			if s, ok := d.selector(n, path); ok {
				d.withinNamespace(n, path, s, p.Namespace)
				r.Subject = s.inNamespace(p.Namespace)
			}
		}),
		"ingress": section(Ingress, false), "ingressDeny": section(Ingress, true),
		"egress": section(Egress, false), "egressDeny": section(Egress, true),
		"enableDefaultDeny": read(func(n *yaml.Node, path string) {
			d.mapping(n, path, fields{"ingress": d.optionalBool(&closing[Ingress]), "egress": d.optionalBool(&closing[Egress])})
		}),
		"description":  read(func(n *yaml.Node, path string) { p.Description = d.description(n, path, p.Description) }),
		"labels":       ignore(), // of the rule, for finding it in Kubernetes
		"nodeSelector": refuse(whyNodeSel), "log": refuse(whyLog),
	})
	if !selective {
		d.fail(n, join(path, "endpointSelector"), "missing: write {} to select every container")
	}
	if len(d.problems) == before && !present[Ingress] && !present[Egress] {
		d.fail(n, path, "the rule has no item in ingress, ingressDeny, egress or egressDeny; to close a direction, write ingress: [{}] or egress: [{}]")
	}
	for dir := range r.Close {
		r.Close[dir] = present[dir]
		if closing[dir] != nil {
			r.Close[dir] = *closing[dir]
		}
	}
	p.Rules = append(p.Rules, r)
}

// withinNamespace refuses a subject of another namespace than the policy's: it would select nobody. One that names the
// policy's namespace too is what it says.
func (d *reader) withinNamespace(n *yaml.Node, path string, s Selector, namespace string) {
	own := func(r Requirement) bool {
		return r.Key == LabelNamespace && r.Operator == In && slices.Equal(r.Values, []string{namespace})
	}
	if namespace == "" || slices.ContainsFunc(s.Requirements, own) {
		return
	}
	for _, r := range s.Requirements {
		named, elsewhere := slices.Contains(r.Values, namespace), r.Key == LabelNamespace || r.Key == identity.LabelProject
		if elsewhere && (r.Operator == In && !named || r.Operator == NotIn && named) {
			d.fail(n, path, "%s selects nobody: the policy is about the namespace %s", r, namespace)
		}
	}
}

func (d *reader) optionalBool(to **bool) field {
	return read(func(n *yaml.Node, path string) {
		if b, ok := d.boolean(n, path); ok {
			*to = &b
		}
	})
}

func (d *reader) description(n *yaml.Node, path, before string) string {
	s, ok := d.str(n, path)
	if ok && len(s) > maxDescriptionLength {
		d.fail(n, path, "longer than %d bytes", maxDescriptionLength)
		return before
	}
	if before != "" {
		return before + "\n" + s
	}
	return s
}

// clauseReader collects the fields of one item of ingress, egress or their deny forms.
type clauseReader struct {
	*reader
	c         *Clause
	namespace string
	sources   []string // the peer fields that are present with items
	nothing   bool     // a peer field is present without items
	ports     bool     // toPorts is present with items
	icmps     bool
}

// clause reads one item. What is absent, empty and {} means is Cilium's: no peer field at all together with ports is
// every peer, together with neither it is nobody; an empty list of peers is nobody.
func (d *reader) clause(n *yaml.Node, path string, c *Clause, namespace string) {
	r := &clauseReader{reader: d, c: c, namespace: namespace}
	if !d.mapping(n, path, r.fields()) {
		return
	}
	if len(r.sources) > 1 {
		d.fail(n, path, "%s stand together: write an item for each, items are alternatives", strings.Join(r.sources, " and "))
	}
	if r.ports && r.icmps {
		d.fail(n, path, "toPorts and icmps stand together: write an item for each, items are alternatives")
	}
	c.AnyPort = !r.ports && !r.icmps
	switch {
	case r.nothing:
		c.Peers = nil
	case len(r.sources) == 0 && !c.AnyPort:
		c.Peers = []Peer{{Entity: EntityAll}}
	}
}

func (r *clauseReader) fields() fields {
	f := fields{
		"toPorts": read(func(n *yaml.Node, path string) {
			r.portRules(n, path, func(n *yaml.Node, path string, pr *PortRule) { r.portRule(n, path, pr); r.ports = true })
		}),
		"icmps": read(func(n *yaml.Node, path string) {
			r.portRules(n, path, func(n *yaml.Node, path string, pr *PortRule) { r.icmp(n, path, pr); r.icmps = true })
		}),
	}
	from := "to"
	if r.c.Direction == Ingress {
		from = "from"
	} else {
		f["toFQDNs"] = refuse(whyFQDN)
		f["toServices"] = refuse(whyServices)
	}
	f[from+"Endpoints"] = r.peers(r.endpoint)
	f[from+"CIDR"] = r.peers(r.cidr)
	f[from+"CIDRSet"] = r.peers(r.cidrSet)
	f[from+"Entities"] = r.peers(r.entity)
	f[from+"Nodes"] = refuse(whyNodes)
	f[from+"Groups"] = refuse(whyGroups)
	f[from+"Requires"] = refuse(whyRequires)
	if !r.c.Deny {
		f["authentication"] = refuse(whyAuth)
	}
	return f
}

// peers reads a list of peers.
func (r *clauseReader) peers(one func(n *yaml.Node, path string) (Peer, bool)) field {
	return read(func(n *yaml.Node, path string) {
		count := 0
		r.list(n, path, func(n *yaml.Node, path string) {
			count++
			if p, ok := one(n, path); ok {
				r.c.Peers = append(r.c.Peers, p)
			}
		})
		if count == 0 {
			r.nothing = true
			return
		}
		r.sources = append(r.sources, path[strings.LastIndexByte(path, '.')+1:])
	})
}

func (r *clauseReader) endpoint(n *yaml.Node, path string) (Peer, bool) {
	s, ok := r.selector(n, path)
	if !s.mentionsNamespace() {
		s = s.inNamespace(r.namespace)
	}
	return Peer{Selector: &s}, ok
}

func (r *clauseReader) cidr(n *yaml.Node, path string) (Peer, bool) {
	prefix, ok := r.prefix(n, path, true)
	return Peer{Prefix: prefix}, ok
}

func (r *clauseReader) cidrSet(n *yaml.Node, path string) (peer Peer, ok bool) {
	good := true
	r.mapping(n, path, fields{
		"cidr": read(func(n *yaml.Node, path string) {
			peer.Prefix, ok = r.prefix(n, path, false)
		}),
		"except": read(func(n *yaml.Node, path string) {
			r.list(n, path, func(n *yaml.Node, path string) {
				e, valid := r.prefix(n, path, false)
				good = good && valid
				peer.Except = append(peer.Except, e)
			})
		}),
		"cidrGroupRef": refuse(whyCIDRRef), "cidrGroupSelector": refuse(whyCIDRRef),
	})
	if !peer.Prefix.IsValid() {
		r.fail(n, join(path, "cidr"), "missing or invalid")
		return peer, false
	}
	for i, e := range peer.Except {
		if e.IsValid() && (!peer.Prefix.Contains(e.Addr()) || e.Bits() < peer.Prefix.Bits()) {
			r.fail(n, join(path, item("except", i)), "%s is not within %s", e, peer.Prefix)
			good = false
		}
	}
	return peer, ok && good
}

// prefix reads a CIDR; a lone address is a prefix of its full length where that is allowed.
func (d *decoder) prefix(n *yaml.Node, path string, lone bool) (netip.Prefix, bool) {
	s, ok := d.str(n, path)
	if !ok {
		return netip.Prefix{}, false
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil && lone {
		var addr netip.Addr
		if addr, err = netip.ParseAddr(s); err == nil && addr.Zone() == "" {
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
	}
	switch {
	case !prefix.IsValid():
		d.fail(n, path, "%s is not a CIDR such as 10.0.0.0/8 or 2001:db8::/32", shorten(s))
		return netip.Prefix{}, false
	case prefix.Addr().Is4In6():
		d.fail(n, path, "%s: write IPv4 addresses in the IPv4 form", shorten(s))
		return netip.Prefix{}, false
	}
	return prefix.Masked(), true
}

// entityRefusals are Cilium's entities that mean nothing on a single Docker host.
var entityRefusals = map[string]string{
	"remote-node":    "there are no other hosts",
	"kube-apiserver": "there is no Kubernetes",
	"ingress":        "there is no ingress proxy",
	"health":         "there are no health endpoints",
	"init":           "a container without labels can neither send nor receive",
	"unmanaged":      "containers of other networks are part of the world",
}

func (r *clauseReader) entity(n *yaml.Node, path string) (Peer, bool) {
	s, ok := r.str(n, path)
	if !ok {
		return Peer{}, false
	}
	switch s {
	case "world-ipv4":
		return Peer{Prefix: netip.MustParsePrefix("0.0.0.0/0")}, true
	case "world-ipv6":
		return Peer{Prefix: netip.MustParsePrefix("::/0")}, true
	}
	if _, known := entityClasses[Entity(s)]; known {
		return Peer{Entity: Entity(s)}, true
	}
	if why, known := entityRefusals[s]; known {
		r.fail(n, path, "cannot be enforced: the entity %s: %s", s, why)
		return Peer{}, false
	}
	r.fail(n, path, "unknown entity %s%s", shorten(s), suggest(s, []string{"all", "world", "host", "cluster", "none"}))
	return Peer{}, false
}

// selector reads matchLabels and matchExpressions.
func (d *decoder) selector(n *yaml.Node, path string) (Selector, bool) {
	var requirements []Requirement
	before := len(d.problems)
	d.mapping(n, path, fields{
		"matchLabels": read(func(n *yaml.Node, path string) {
			if n.Kind != yaml.MappingNode {
				d.fail(n, path, "expected labels, found %s", describe(n))
				return
			}
			for i := 0; i+1 < len(n.Content); i += 2 {
				r, ok := d.matchLabel(n.Content[i], n.Content[i+1], path)
				if ok && slices.ContainsFunc(requirements, func(q Requirement) bool { return q.Key == r.Key && q.Operator == In }) {
					d.fail(n.Content[i], join(path, n.Content[i].Value), "the label stands twice")
				}
				requirements = append(requirements, r)
			}
		}),
		"matchExpressions": read(func(n *yaml.Node, path string) {
			d.list(n, path, func(n *yaml.Node, path string) {
				requirements = append(requirements, d.expression(n, path))
			})
		}),
	})
	if len(d.problems) > before {
		return Selector{}, false
	}
	return NewSelector(requirements...), true
}

func (d *decoder) matchLabel(key, value *yaml.Node, path string) (Requirement, bool) {
	at := join(path, key.Value)
	k, ok := d.labelKey(key, at)
	if v := d.follow(value, at); v != nil {
		value = v
	}
	if isNull(value) {
		d.fail(value, at, `a value is missing: write "" for the empty value, or use matchExpressions with Exists`)
		return Requirement{}, false
	}
	v, okValue := d.str(value, at)
	return Requirement{Key: k, Operator: In, Values: []string{v}}, ok && okValue
}

func (d *decoder) expression(n *yaml.Node, path string) Requirement {
	var (
		r          Requirement
		key, known bool
		values     = -1
	)
	d.mapping(n, path, fields{
		"key": read(func(n *yaml.Node, path string) { key = true; r.Key, _ = d.labelKey(n, path) }),
		"operator": read(func(n *yaml.Node, path string) {
			s, _ := d.text(n, path)
			i := slices.Index(operatorNames[:], s)
			if known = true; i < 0 {
				d.fail(n, path, "unknown operator %s%s", shorten(s), suggest(s, operatorNames[:]))
				return
			}
			r.Operator = Operator(i)
		}),
		"values": read(func(n *yaml.Node, path string) {
			values = 0
			d.list(n, path, func(n *yaml.Node, path string) {
				values++
				if s, ok := d.str(n, path); ok {
					r.Values = append(r.Values, s)
				}
			})
		}),
	})
	switch needs := r.Operator == In || r.Operator == NotIn; {
	case !key:
		d.fail(n, join(path, "key"), "missing")
	case !known:
		d.fail(n, join(path, "operator"), "missing: In, NotIn, Exists or DoesNotExist")
	case needs && values <= 0:
		d.fail(n, join(path, "values"), "missing: %s needs at least one", r.Operator)
	case !needs && values > 0:
		d.fail(n, join(path, "values"), "%s takes no values", r.Operator)
	}
	return r
}

// labelKey reads a label's key in any spelling that means a container's label, and refuses what can never match.
func (d *decoder) labelKey(n *yaml.Node, path string) (string, bool) {
	s, ok := d.text(n, path)
	if !ok {
		return "", false
	}
	key := strings.TrimPrefix(identity.NormaliseKey(s), "k8s:")
	source, _, hasSource := strings.Cut(identity.NormaliseKey(s), ":")
	switch {
	case key == LabelNamespace || key == labelOfNamespaces+labelNamespaceName:
		return LabelNamespace, true
	case hasSource && source == "reserved":
		d.fail(n, path, "reserved labels are not supported; use fromEntities or toEntities")
	case hasSource && slices.Contains([]string{"k8s", "cidr", "cidrgroup", "fqdn", "node", "unspec"}, source):
		d.fail(n, path, "containers have no labels of the source %s; write the key plain, or as container:KEY", source)
	case strings.HasPrefix(key, "io.cilium.k8s."):
		d.fail(n, path, "containers have no label %s; it exists in Kubernetes only", shorten(key))
	case key == "":
		d.fail(n, path, "a label's key is missing")
	case identity.IsNoise(key):
		d.fail(n, path, "policy does not see the label %s, for it differs between containers that are alike", shorten(key))
	default:
		return key, true
	}
	return "", false
}
