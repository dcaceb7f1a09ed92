package policy

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// fieldCase says what becomes of a field of Cilium's schema: text is a spec that has it (LIST is the section, FROM is
// from or to), accepted where refused is empty; else refused at the field for a reason with these words.
type fieldCase struct{ field, text, refused string }

// ruleFields are the fields of a rule.
var ruleFields = []fieldCase{
	{"description", "description: why\nendpointSelector: {}\ningress: [{}]", ""},
	{"enableDefaultDeny", "enableDefaultDeny: {}\nendpointSelector: {}\ningress: [{}]", ""},
	{"enableDefaultDeny.egress", "enableDefaultDeny: {egress: true}\nendpointSelector: {}\ningress: [{}]", ""},
	{"enableDefaultDeny.ingress", "enableDefaultDeny: {ingress: false}\nendpointSelector: {}\ningress: [{}]", ""},
	{"endpointSelector", "endpointSelector: {}\ningress: [{}]", ""},
	{"endpointSelector.matchLabels", "endpointSelector: {matchLabels: {a: b}}\ningress: [{}]", ""},
	{"endpointSelector.matchExpressions", "endpointSelector: {matchExpressions: []}\ningress: [{}]", ""},
	{"endpointSelector.matchExpressions[].key", "endpointSelector: {matchExpressions: [{key: a, operator: Exists}]}\ningress: [{}]", ""},
	{"endpointSelector.matchExpressions[].operator", "endpointSelector: {matchExpressions: [{key: a, operator: DoesNotExist}]}\ningress: [{}]", ""},
	{"endpointSelector.matchExpressions[].operator=In", "endpointSelector: {matchExpressions: [{key: a, operator: In, values: [b]}]}\ningress: [{}]", ""},
	{"endpointSelector.matchExpressions[].operator=NotIn", "endpointSelector: {matchExpressions: [{key: a, operator: NotIn, values: [b]}]}\ningress: [{}]", ""},
	{"endpointSelector.matchExpressions[].operator=Exists", "endpointSelector: {matchExpressions: [{key: a, operator: Exists}]}\ningress: [{}]", ""},
	{"endpointSelector.matchExpressions[].operator=DoesNotExist", "endpointSelector: {matchExpressions: [{key: a, operator: DoesNotExist}]}\ningress: [{}]", ""},
	{"endpointSelector.matchExpressions[].values", "endpointSelector: {matchExpressions: [{key: a, operator: In, values: [b]}]}\ningress: [{}]", ""},
	{"labels", "labels: []\nendpointSelector: {}\ningress: [{}]", ""},
	{"labels[].key", "labels: [{key: a}]\nendpointSelector: {}\ningress: [{}]", ""},
	{"labels[].source", "labels: [{key: a, source: b}]\nendpointSelector: {}\ningress: [{}]", ""},
	{"labels[].value", "labels: [{key: a, value: b}]\nendpointSelector: {}\ningress: [{}]", ""},
	{"log", "log: {value: x}\nendpointSelector: {}\ningress: [{}]", "log values"},
	{"nodeSelector", "nodeSelector: {}\ningress: [{}]", "policies for the host"},
}

// itemFields are the fields of an item of ingress, egress, ingressDeny and egressDeny.
var itemFields = []fieldCase{
	{"FROMEndpoints", "FROMEndpoints: [{}]", ""},
	{"FROMEndpoints[].matchLabels", "FROMEndpoints: [{matchLabels: {a: b}}]", ""},
	{"FROMEndpoints[].matchExpressions", "FROMEndpoints: [{matchExpressions: []}]", ""},
	{"FROMEndpoints[].matchExpressions[].key", "FROMEndpoints: [{matchExpressions: [{key: a, operator: Exists}]}]", ""},
	{"FROMEndpoints[].matchExpressions[].operator", "FROMEndpoints: [{matchExpressions: [{key: a, operator: DoesNotExist}]}]", ""},
	{"FROMEndpoints[].matchExpressions[].operator=In", "FROMEndpoints: [{matchExpressions: [{key: a, operator: In, values: [b]}]}]", ""},
	{"FROMEndpoints[].matchExpressions[].operator=NotIn", "FROMEndpoints: [{matchExpressions: [{key: a, operator: NotIn, values: [b]}]}]", ""},
	{"FROMEndpoints[].matchExpressions[].operator=Exists", "FROMEndpoints: [{matchExpressions: [{key: a, operator: Exists}]}]", ""},
	{"FROMEndpoints[].matchExpressions[].operator=DoesNotExist", "FROMEndpoints: [{matchExpressions: [{key: a, operator: DoesNotExist}]}]", ""},
	{"FROMEndpoints[].matchExpressions[].values", "FROMEndpoints: [{matchExpressions: [{key: a, operator: NotIn, values: [b]}]}]", ""},
	{"FROMCIDR", "FROMCIDR: [10.0.0.0/8, 10.0.0.1, '::/0']", ""},
	{"FROMCIDRSet", "FROMCIDRSet: []", ""},
	{"FROMCIDRSet[].cidr", "FROMCIDRSet: [{cidr: 10.0.0.0/8}]", ""},
	{"FROMCIDRSet[].except", "FROMCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]", ""},
	{"FROMCIDRSet[].cidrGroupRef", "FROMCIDRSet: [{cidrGroupRef: g}]", "CIDR groups"},
	{"FROMCIDRSet[].cidrGroupSelector", "FROMCIDRSet: [{cidrGroupSelector: {}}]", "CIDR groups"},
	{"FROMEntities", "FROMEntities: []", ""},
	{"FROMEntities=all", "FROMEntities: [all]", ""},
	{"FROMEntities=world", "FROMEntities: [world, world-ipv4, world-ipv6]", ""},
	{"FROMEntities=cluster", "FROMEntities: [cluster]", ""},
	{"FROMEntities=host", "FROMEntities: [host]", ""},
	{"FROMEntities=none", "FROMEntities: [none]", ""},
	{"FROMEntities=init", "FROMEntities: [init]", "without labels"},
	{"FROMEntities=ingress", "FROMEntities: [ingress]", "ingress proxy"},
	{"FROMEntities=unmanaged", "FROMEntities: [unmanaged]", "part of the world"},
	{"FROMEntities=remote-node", "FROMEntities: [remote-node]", "no other hosts"},
	{"FROMEntities=health", "FROMEntities: [health]", "health endpoints"},
	{"FROMEntities=kube-apiserver", "FROMEntities: [kube-apiserver]", "no Kubernetes"},
	{"FROMGroups", "FROMGroups: [{aws: {region: x}}]", "groups"},
	{"FROMNodes", "FROMNodes: [{}]", "single hosts"},
	{"FROMRequires", "FROMRequires: [{}]", "retired"},
	{"icmps", "icmps: []", ""},
	{"icmps[].fields", "icmps: [{fields: []}]", ""},
	{"icmps[].fields[].type", "icmps: [{fields: [{type: 8}, {type: EchoRequest}]}]", ""},
	{"icmps[].fields[].family", "icmps: [{fields: [{type: 128, family: IPv6}]}]", ""},
	{"icmps[].fields[].family=IPv4", "icmps: [{fields: [{type: 8, family: IPv4}]}]", ""},
	{"icmps[].fields[].family=IPv6", "icmps: [{fields: [{type: EchoReply, family: IPv6}]}]", ""},
	{"toPorts", "toPorts: []", ""},
	{"toPorts[].ports", "toPorts: [{ports: []}]", ""},
	{"toPorts[].ports[].port", "toPorts: [{ports: [{port: '80'}, {port: http}, {port: '0'}]}]", ""},
	{"toPorts[].ports[].endPort", "toPorts: [{ports: [{port: '80', endPort: 90}]}]", ""},
	{"toPorts[].ports[].protocol", "toPorts: [{ports: [{port: '80', protocol: tcp}]}]", ""},
	{"toPorts[].ports[].protocol=TCP", "toPorts: [{ports: [{port: '80', protocol: TCP}]}]", ""},
	{"toPorts[].ports[].protocol=UDP", "toPorts: [{ports: [{port: '80', protocol: UDP}]}]", ""},
	{"toPorts[].ports[].protocol=SCTP", "toPorts: [{ports: [{port: '80', protocol: SCTP}]}]", ""},
	{"toPorts[].ports[].protocol=VRRP", "toPorts: [{ports: [{port: '0', protocol: VRRP}]}]", ""},
	{"toPorts[].ports[].protocol=IGMP", "toPorts: [{ports: [{port: '0', protocol: IGMP}]}]", ""},
	{"toPorts[].ports[].protocol=ANY", "toPorts: [{ports: [{port: '80', protocol: ANY}]}]", ""},
}

// allowFields are those that only items of ingress and egress have.
var allowFields = []fieldCase{
	{"authentication", "authentication: {mode: required}", "mutual authentication"},
	{"toPorts[].listener", "toPorts: [{listener: {name: x}}]", "no proxy"},
	{"toPorts[].originatingTLS", "toPorts: [{originatingTLS: {secret: {name: x}}}]", "TLS"},
	{"toPorts[].terminatingTLS", "toPorts: [{terminatingTLS: {secret: {name: x}}}]", "TLS"},
	{"toPorts[].serverNames", "toPorts: [{serverNames: [x]}]", "server names"},
	{"toPorts[].rules", "toPorts: [{ports: [{port: '80'}], rules: {}}]", ""},
	{"toPorts[].rules.dns", "toPorts: [{rules: {dns: [{matchName: x}]}}]", "not supported"},
	{"toPorts[].rules.http", "toPorts: [{rules: {http: [{}]}}]", "not supported"},
	{"toPorts[].rules.kafka", "toPorts: [{rules: {kafka: [{}]}}]", "not supported"},
	{"toPorts[].rules.l7", "toPorts: [{rules: {l7: [{}]}}]", "not supported"},
	{"toPorts[].rules.l7proto", "toPorts: [{rules: {l7proto: x}}]", "not supported"},
}

// schemaCases are all of them, by their fields in the schema.
func schemaCases() map[string]fieldCase {
	all := map[string]fieldCase{}
	for _, c := range ruleFields {
		all["spec."+c.field] = c
	}
	for _, list := range []string{"ingress", "egress", "ingressDeny", "egressDeny"} {
		items, from := itemFields, "from"
		if !strings.HasSuffix(list, "Deny") {
			items = slices.Concat(items, allowFields)
		}
		if strings.HasPrefix(list, "egress") {
			from = "to"
			items = slices.Concat(items, []fieldCase{{"toServices", "toServices: [{}]", "Kubernetes services"}})
		}
		if list == "egress" {
			items = slices.Concat(items, []fieldCase{{"toFQDNs", "toFQDNs: [{matchName: x}]", ""}})
			items[len(items)-1].refused = whyFQDN
		}
		all["spec."+list] = fieldCase{text: "endpointSelector: {}\n" + list + ": [{}]"}
		for _, c := range items {
			c.text = strings.ReplaceAll("endpointSelector: {}\n"+list+":\n- "+c.text, "FROM", from)
			all["spec."+list+"[]."+strings.ReplaceAll(c.field, "FROM", from)] = c
		}
	}
	return all
}

// TestEveryFieldOfTheSchema: every field of Cilium's schema is accepted, or refused by its name with a reason; none is
// skipped. What is below a refused field is refused with it.
func TestEveryFieldOfTheSchema(t *testing.T) {
	cases := schemaCases()
	index := regexp.MustCompile(`\[\d+\]`)
	for field, c := range cases {
		_, err := Parse(strings.NewReader(document("p", c.text)), "f")
		if c.refused == "" {
			if err != nil {
				t.Errorf("%s: %v", field, err)
			}
			continue
		}
		path, _, _ := strings.Cut(field, "=")
		found := false
		problems, _ := err.(Problems)
		for _, p := range problems {
			at := index.ReplaceAllString(p.Path, "[]")
			found = found || strings.TrimSuffix(at, "[]") == path && strings.Contains(p.Reason, "cannot be enforced") && strings.Contains(p.Reason, c.refused)
		}
		if !found {
			t.Errorf("%s: want a refusal for %q, got %v", field, c.refused, err)
		}
	}

	text, err := os.ReadFile("testdata/cilium-1.19.fields")
	if err != nil {
		t.Fatal(err)
	}
	unused := maps.Clone(cases)
	stated := func(field string) error {
		for f := field; ; f = f[:max(strings.LastIndexAny(f, "."), 0)] {
			c, ok := cases[strings.TrimSuffix(f, "[]")]
			delete(unused, f)
			switch {
			case ok && (f == field || c.refused != ""):
				return nil
			case f == "" || ok:
				return fmt.Errorf("nothing says what becomes of it")
			}
		}
	}
	fields := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields++
		field, values, _ := strings.Cut(strings.TrimSpace(line), " = ")
		if err := stated(field); err != nil {
			t.Errorf("%s: %v", field, err)
		}
		if c := cases[field]; c.refused != "" || values == "" || strings.Contains(field, "authentication") || strings.Contains(field, "listener") {
			continue
		}
		for value := range strings.SplitSeq(values, ",") {
			if err := stated(field + "=" + value); err != nil {
				t.Errorf("%s: %v", field+"="+value, err)
			}
		}
	}
	if fields < 300 {
		t.Errorf("the schema has only %d fields", fields)
	}
	for field := range unused {
		t.Errorf("%s is no field of the schema", field)
	}
}
