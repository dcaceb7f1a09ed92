package policy

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func parse(t *testing.T, text string) []*Policy {
	t.Helper()
	policies, err := Parse(strings.NewReader(text), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return policies
}

func is(key string, values ...string) Requirement {
	return Requirement{Key: key, Operator: In, Values: values}
}

func TestParseWholeDocument(t *testing.T) {
	got := parse(t, `# a comment
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: db
  namespace: shop
  labels: {team: a}
  annotations: {x: "y"}
specs:
- description: who may use the database
  endpointSelector:
    matchLabels:
      container:app: db
    matchExpressions:
    - {key: tier, operator: NotIn, values: [x, b, x]}
    - {key: "any:live", operator: Exists}
    - {key: test, operator: DoesNotExist}
  ingress:
  - fromEndpoints:
    - matchLabels: {com.docker.compose.service: web}
    - matchLabels: {"k8s:io.kubernetes.pod.namespace": tools}
    toPorts:
    - ports:
      - {port: "5432", protocol: TCP}
      - {port: 8000, endPort: 8010, protocol: udp}
      - {port: Metrics}
  - fromCIDRSet:
    - cidr: 10.1.2.3/8
      except: [10.96.0.0/12]
    icmps:
    - fields:
      - {type: 8}
      - {type: EchoRequest, family: IPv6}
  egressDeny:
  - toCIDR: [192.0.2.1, "2001:db8::/32"]
- endpointSelector: {}
  enableDefaultDeny: {egress: false}
  egress:
  - toEntities: [world]
`)
	want := []*Policy{{
		Name: "db", Namespace: "shop", Description: "who may use the database",
		Source: Source{File: "test.yaml", Line: 2},
		Rules: []Rule{{
			Path: "specs[0]", Line: 10,
			Subject: NewSelector(is("app", "db"), Requirement{Key: "tier", Operator: NotIn, Values: []string{"b", "x"}},
				Requirement{Key: "live", Operator: Exists}, Requirement{Key: "test", Operator: DoesNotExist}, is(LabelNamespace, "shop")),
			Close: [directions]bool{true, true},
			Clauses: []Clause{{
				Path: "specs[0].ingress[0]", Line: 19, Direction: Ingress,
				Peers: []Peer{
					{Selector: ptr(NewSelector(is("compose.service", "web"), is(LabelNamespace, "shop")))},
					{Selector: ptr(NewSelector(is(LabelNamespace, "tools")))},
				},
				Ports: []PortRule{{Path: "specs[0].ingress[0].toPorts[0]", Line: 23, Ports: []Port{
					{Protocol: ProtocolTCP, First: 5432, Last: 5432}, {Protocol: ProtocolUDP, First: 8000, Last: 8010},
					{AnyProtocol: true, Name: "metrics"},
				}}},
			}, {
				Path: "specs[0].ingress[1]", Line: 27, Direction: Ingress,
				Peers: []Peer{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Except: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}}},
				Ports: []PortRule{{Path: "specs[0].ingress[1].icmps[0]", Line: 31, Ports: []Port{
					{Protocol: ProtocolICMP, First: 8 << 8, Last: 8<<8 | 255}, {Protocol: ProtocolICMPv6, First: 128 << 8, Last: 128<<8 | 255},
				}}},
			}, {
				Path: "specs[0].egressDeny[0]", Line: 35, Direction: Egress, Deny: true, AnyPort: true,
				Peers: []Peer{{Prefix: netip.MustParsePrefix("192.0.2.1/32")}, {Prefix: netip.MustParsePrefix("2001:db8::/32")}},
			}},
		}, {
			Path: "specs[1]", Line: 36, Subject: NewSelector(is(LabelNamespace, "shop")),
			Clauses: []Clause{{Path: "specs[1].egress[0]", Line: 39, Direction: Egress, AnyPort: true, Peers: []Peer{{Entity: EntityWorld}}}},
		}},
	}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func ptr[T any](v T) *T { return &v }

func TestParseManyDocuments(t *testing.T) {
	const one = `{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: NAME}, spec: {endpointSelector: {}, ingress: [{}]}}`
	doc := func(name string) string { return strings.Replace(one, "NAME", name, 1) }
	tests := []struct {
		name, text string
		keys       []string
	}{
		{"empty file", "", nil},
		{"comments only", "# nothing\n---\n# here\n", nil},
		{"several", "---\n" + doc("a") + "\n---\n---\n" + doc("b") + "\n...\n", []string{"a", "b"}},
		{"byte order mark", "\ufeff" + doc("a"), []string{"a"}},
		{"list of kubectl", "apiVersion: v1\nkind: List\nmetadata: {resourceVersion: ''}\nitems:\n- " + doc("a") + "\n- " + doc("b"), []string{"a", "b"}},
		{"typed list, items without kind", `{"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicyList", "items": [
			{"metadata": {"name": "a"}, "spec": {"endpointSelector": {}, "egress": [{}]}, "status": {"conditions": []}}]}`, []string{"a"}},
		{"JSON with tabs", "{\n\t\"apiVersion\": \"cilium.io/v2\",\n\t\"kind\": \"CiliumClusterwideNetworkPolicy\",\n\t\"metadata\": {\"name\": \"a\"},\n\t\"spec\": {\"endpointSelector\": {}, \"ingress\": [{}]}\n}", []string{"a"}},
		{"spec before metadata", "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nspec: {endpointSelector: {}, ingress: [{}]}\nmetadata: {name: a, namespace: n}", []string{"n/a"}},
		{"list of NetworkPolicies", "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicyList\nitems:\n- {metadata: {name: a, namespace: n}, spec: {podSelector: {}}, status: {}}", []string{"n/a"}},
		{"kinds together", doc("a") + "\n---\n" + networkPolicy("{name: b}", "podSelector: {}") + "---\n" + guide, []string{"a", "b", "rule1"}},
		{"anchors", "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a}\nspec:\n  endpointSelector: &s {matchLabels: {app: a}}\n  ingress: [{fromEndpoints: [*s]}]", []string{"a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var keys []string
			for _, p := range parse(t, tt.text) {
				keys = append(keys, p.Key())
			}
			if diff := cmp.Diff(tt.keys, keys); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNamespaceComesBeforeSelectors(t *testing.T) {
	p := parse(t, "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nspec: {endpointSelector: {}, ingress: [{}]}\nmetadata: {name: a, namespace: n}")[0]
	if got := p.Rules[0].Subject.String(); got != LabelNamespace+"=n" {
		t.Errorf("subject is %s", got)
	}
}

// TestRefusals: every refusal says the line, the field and the reason. Line numbers count the header of document().
func TestRefusals(t *testing.T) {
	const header = 4 // lines of document() before the spec
	tests := []struct {
		name, spec string
		line       int
		path       string
		reason     string // a part of it
	}{
		{"L7 HTTP", "endpointSelector: {}\ningress:\n- toPorts:\n  - ports: [{port: '80'}]\n    rules: {http: [{method: GET}]}", 5, "spec.ingress[0].toPorts[0].rules.http", "not supported"},
		{"L7 DNS", "endpointSelector: {}\negress:\n- toPorts:\n  - rules:\n      dns: [{matchPattern: '*'}]", 5, "spec.egress[0].toPorts[0].rules.dns", "not supported"},
		{"FQDN", "endpointSelector: {}\negress:\n- toFQDNs: [{matchName: a.example}]", 3, "spec.egress[0].toFQDNs", "cannot be enforced: names are not resolved"},
		{"FQDN on ingress is unknown", "endpointSelector: {}\ningress:\n- fromFQDNs: []", 3, "spec.ingress[0].fromFQDNs", "unknown field"},
		{"services", "endpointSelector: {}\negress:\n- toServices: [{}]", 3, "spec.egress[0].toServices", "services"},
		{"nodes", "endpointSelector: {}\negress:\n- toNodes: [{}]", 3, "spec.egress[0].toNodes", "host"},
		{"groups", "endpointSelector: {}\ningress:\n- fromGroups: [{}]", 3, "spec.ingress[0].fromGroups", "CIDR"},
		{"requires", "endpointSelector: {}\ningress:\n- fromRequires: [{}]", 3, "spec.ingress[0].fromRequires", "retired"},
		{"authentication", "endpointSelector: {}\ningress:\n- authentication: {mode: required}", 3, "spec.ingress[0].authentication", "authentication"},
		{"TLS", "endpointSelector: {}\negress:\n- toPorts:\n  - terminatingTLS: {}", 4, "spec.egress[0].toPorts[0].terminatingTLS", "TLS"},
		{"server names", "endpointSelector: {}\negress:\n- toPorts:\n  - serverNames: [a]", 4, "spec.egress[0].toPorts[0].serverNames", "TLS"},
		{"listener", "endpointSelector: {}\negress:\n- toPorts:\n  - listener: {}", 4, "spec.egress[0].toPorts[0].listener", "proxy"},
		{"L7 in deny is unknown", "endpointSelector: {}\negressDeny:\n- toPorts:\n  - rules: {}", 4, "spec.egressDeny[0].toPorts[0].rules", "unknown field"},
		{"node selector", "nodeSelector: {}\ningress: [{}]", 1, "spec.nodeSelector", "endpointSelector"},
		{"log", "endpointSelector: {}\nlog: {value: x}\ningress: [{}]", 2, "spec.log", "recorded"},
		{"CIDR group", "endpointSelector: {}\negress:\n- toCIDRSet: [{cidrGroupRef: g}]", 3, "spec.egress[0].toCIDRSet[0].cidrGroupRef", "CIDR groups"},

		{"unknown field", "endpointSelector: {}\nigress: [{}]", 2, "spec.igress", "did you mean ingress?"},
		{"unknown field, case", "endpointSelector: {}\ningress:\n- fromEndPoints: []", 3, "spec.ingress[0].fromEndPoints", "did you mean fromEndpoints?"},
		{"from in egress", "endpointSelector: {}\negress:\n- fromEndpoints: []", 3, "spec.egress[0].fromEndpoints", "did you mean toEndpoints?"},
		{"nothing near", "endpointSelector: {}\nfoobarbazqux: 1", 2, "spec.foobarbazqux", "valid here: description, egress,"},
		{"field twice", "endpointSelector: {}\ningress: [{}]\ningress: []", 3, "spec.ingress", "twice, first in line 6"},
		{"merge key", "endpointSelector: {}\ningress:\n- <<: {}", 3, "spec.ingress[0].<<", "merge"},

		{"no selector", "ingress: [{}]", 1, "spec.endpointSelector", "missing"},
		{"null selector", "endpointSelector:\ningress: [{}]", 1, "spec.endpointSelector", "missing"},
		{"no sections", "endpointSelector: {}\nenableDefaultDeny: {ingress: true}", 1, "spec", "no item"},
		{"empty section", "endpointSelector: {}\ningress: []", 1, "spec", "ingress: [{}]"},
		{"not a list", "endpointSelector: {}\ningress: {}", 2, "spec.ingress", "expected a list, found fields"},
		{"not fields", "endpointSelector: []\ningress: [{}]", 1, "spec.endpointSelector", "expected fields, found a list"},
		{"null item", "endpointSelector: {}\ningress:\n-", 3, "spec.ingress[0]", "empty item"},
		{"not a boolean", "endpointSelector: {}\nenableDefaultDeny: {ingress: 'yes'}\ningress: [{}]", 2, "spec.enableDefaultDeny.ingress", "true or false"},

		{"label value not a string", "endpointSelector: {matchLabels: {tier: 5}}\ningress: [{}]", 1, "spec.endpointSelector.matchLabels.tier", "quotes"},
		{"label value missing", "endpointSelector: {matchLabels: {tier: }}\ningress: [{}]", 1, "spec.endpointSelector.matchLabels.tier", "Exists"},
		{"label twice by source", "endpointSelector: {matchLabels: {app: a, 'any:app': b}}\ningress: [{}]", 1, "spec.endpointSelector.matchLabels.any:app", "twice"},
		{"k8s label", "endpointSelector: {matchLabels: {'k8s:app': a}}\ningress: [{}]", 1, "spec.endpointSelector.matchLabels.k8s:app", "container:KEY"},
		{"reserved label", "endpointSelector: {}\ningress:\n- fromEndpoints: [{matchLabels: {'reserved:host': ''}}]", 3, "spec.ingress[0].fromEndpoints[0].matchLabels.reserved:host", "fromEntities"},
		{"Kubernetes-only label", "endpointSelector: {matchLabels: {io.cilium.k8s.policy.serviceaccount: a}}\ningress: [{}]", 1, "spec.endpointSelector.matchLabels.io.cilium.k8s.policy.serviceaccount", "Kubernetes"},
		{"noise label", "endpointSelector: {matchLabels: {com.docker.compose.config-hash: a}}\ningress: [{}]", 1, "spec.endpointSelector.matchLabels.com.docker.compose.config-hash", "does not see"},
		{"operator", "endpointSelector:\n  matchExpressions: [{key: a, operator: in, values: [b]}]\ningress: [{}]", 2, "spec.endpointSelector.matchExpressions[0].operator", "did you mean In?"},
		{"operator missing", "endpointSelector:\n  matchExpressions: [{key: a}]\ningress: [{}]", 2, "spec.endpointSelector.matchExpressions[0].operator", "missing"},
		{"key missing", "endpointSelector:\n  matchExpressions: [{operator: Exists}]\ningress: [{}]", 2, "spec.endpointSelector.matchExpressions[0].key", "missing"},
		{"values missing", "endpointSelector:\n  matchExpressions: [{key: a, operator: In}]\ningress: [{}]", 2, "spec.endpointSelector.matchExpressions[0].values", "at least one"},
		{"values unwanted", "endpointSelector:\n  matchExpressions: [{key: a, operator: Exists, values: [b]}]\ningress: [{}]", 2, "spec.endpointSelector.matchExpressions[0].values", "no values"},

		{"peers combined", "endpointSelector: {}\ningress:\n- fromEndpoints: [{}]\n  fromEntities: [world]", 3, "spec.ingress[0]", "fromEndpoints and fromEntities stand together"},
		{"ports and ICMP", "endpointSelector: {}\ningress:\n- toPorts: [{ports: [{port: '1'}]}]\n  icmps: [{fields: [{type: 8}]}]", 3, "spec.ingress[0]", "toPorts and icmps"},
		{"CIDR", "endpointSelector: {}\negress:\n- toCIDR: [10.0.0.0/33]", 3, "spec.egress[0].toCIDR[0]", "not a CIDR"},
		{"CIDR set without length", "endpointSelector: {}\negress:\n- toCIDRSet: [{cidr: 10.0.0.1}]", 3, "spec.egress[0].toCIDRSet[0].cidr", "not a CIDR"},
		{"mapped CIDR", "endpointSelector: {}\negress:\n- toCIDR: ['::ffff:10.0.0.0/104']", 3, "spec.egress[0].toCIDR[0]", "IPv4 form"},
		{"zone", "endpointSelector: {}\negress:\n- toCIDR: ['fe80::1%eth0']", 3, "spec.egress[0].toCIDR[0]", "not a CIDR"},
		{"except outside", "endpointSelector: {}\negress:\n- toCIDRSet: [{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}]", 3, "spec.egress[0].toCIDRSet[0].except[0]", "not within 10.0.0.0/8"},
		{"except wider", "endpointSelector: {}\negress:\n- toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.0.0.0/7]}]", 3, "spec.egress[0].toCIDRSet[0].except[0]", "not within"},
		{"entity refused", "endpointSelector: {}\negress:\n- toEntities: [kube-apiserver]", 3, "spec.egress[0].toEntities[0]", "no Kubernetes"},
		{"entity remote-node", "endpointSelector: {}\negress:\n- toEntities: [host, remote-node]", 3, "spec.egress[0].toEntities[1]", "no other hosts"},
		{"entity unknown", "endpointSelector: {}\negress:\n- toEntities: [wrold]", 3, "spec.egress[0].toEntities[0]", "did you mean world?"},

		{"port missing", "endpointSelector: {}\negress:\n- toPorts: [{ports: [{protocol: TCP}]}]", 3, "spec.egress[0].toPorts[0].ports[0].port", "every port"},
		{"port too great", "endpointSelector: {}\negress:\n- toPorts: [{ports: [{port: '65536'}]}]", 3, "spec.egress[0].toPorts[0].ports[0].port", "65535"},
		{"port name", "endpointSelector: {}\negress:\n- toPorts: [{ports: [{port: a--b}]}]", 3, "spec.egress[0].toPorts[0].ports[0].port", "neither"},
		{"range reversed", "endpointSelector: {}\negress:\n- toPorts: [{ports: [{port: '9', endPort: 8}]}]", 3, "spec.egress[0].toPorts[0].ports[0].endPort", "less than"},
		{"range from 0", "endpointSelector: {}\negress:\n- toPorts: [{ports: [{port: '0', endPort: 8}]}]", 3, "spec.egress[0].toPorts[0].ports[0].port", "starts at port 1"},
		{"end of a name", "endpointSelector: {}\negress:\n- toPorts: [{ports: [{port: http, endPort: 8}]}]", 3, "spec.egress[0].toPorts[0].ports[0].endPort", "no range"},
		{"protocol", "endpointSelector: {}\negress:\n- toPorts: [{ports: [{port: '1', protocol: TPC}]}]", 3, "spec.egress[0].toPorts[0].ports[0].protocol", "valid here: TCP"},
		{"port of GRE", "endpointSelector: {}\negress:\n- toPorts: [{ports: [{port: '1', protocol: GRE}]}]", 3, "spec.egress[0].toPorts[0].ports[0].port", "no ports"},
		{"name with ICMP", "endpointSelector: {}\negress:\n- toPorts: [{ports: [{port: http, protocol: ICMP}]}]", 3, "spec.egress[0].toPorts[0].ports[0].port", "no named ports"},
		{"ICMP type as port", "endpointSelector: {}\negress:\n- toPorts: [{ports: [{port: '256', protocol: ICMP}]}]", 3, "spec.egress[0].toPorts[0].ports[0].port", "0 to 255"},
		{"ICMP name", "endpointSelector: {}\negress:\n- icmps: [{fields: [{type: EchoRequst}]}]", 3, "spec.egress[0].icmps[0].fields[0].type", "did you mean EchoRequest?"},
		{"ICMP name of the other family", "endpointSelector: {}\negress:\n- icmps: [{fields: [{type: PacketTooBig}]}]", 3, "spec.egress[0].icmps[0].fields[0].type", "IPv4"},
		{"ICMP family", "endpointSelector: {}\negress:\n- icmps: [{fields: [{type: 8, family: v4}]}]", 3, "spec.egress[0].icmps[0].fields[0].family", "IPv6"},
		{"ICMP type missing", "endpointSelector: {}\negress:\n- icmps: [{fields: [{family: IPv4}]}]", 3, "spec.egress[0].icmps[0].fields[0].type", "missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(strings.NewReader(document("p", tt.spec)), "test.yaml")
			var problems Problems
			if !errors.As(err, &problems) || !errors.Is(err, ErrInvalid) {
				t.Fatalf("accepted: %v", err)
			}
			for _, p := range problems {
				if p.Path == tt.path && p.Line == header+tt.line && strings.Contains(p.Reason, tt.reason) {
					return
				}
			}
			t.Errorf("got\n%v\nwant line %d: %s: …%s…", err, header+tt.line, tt.path, tt.reason)
		})
	}
}

func TestRefusedDocuments(t *testing.T) {
	tests := []struct {
		name, text, want string
	}{
		{"not YAML", "a: [", "test.yaml:1: not valid YAML"},
		{"text", "hello", "test.yaml:1: expected a policy document"},
		{"no kind", "metadata: {}", "test.yaml:1: kind: missing"},
		{"Kubernetes' own, of an old version", "kind: NetworkPolicy\napiVersion: extensions/v1beta1", "test.yaml:1: apiVersion: NetworkPolicy is of apiVersion networking.k8s.io/v1"},
		{"Kubernetes' own without spec", "kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: a}", "test.yaml:1: spec: missing"},
		{"version", "kind: CiliumNetworkPolicy\napiVersion: cilium.io/v1", "test.yaml:1: apiVersion: CiliumNetworkPolicy is of apiVersion cilium.io/v2"},
		{"no name", "kind: CiliumNetworkPolicy\napiVersion: cilium.io/v2\nspec: {endpointSelector: {}, ingress: [{}]}", "test.yaml:1: metadata.name: missing"},
		{"bad name", "kind: CiliumNetworkPolicy\napiVersion: cilium.io/v2\nmetadata: {name: a/b}\nspec: {endpointSelector: {}, ingress: [{}]}", `test.yaml:3: metadata.name: "a/b" is not a name`},
		{"no spec", "kind: CiliumNetworkPolicy\napiVersion: cilium.io/v2\nmetadata: {name: a}", "test.yaml:1: spec: missing"},
		{"namespace of a clusterwide policy", "kind: CiliumClusterwideNetworkPolicy\napiVersion: cilium.io/v2\nmetadata:\n  name: a\n  namespace: b\nspec: {endpointSelector: {}, ingress: [{}]}", "test.yaml:5: metadata.namespace: cannot be enforced"},
		{"twice", document("a", "endpointSelector: {}\ningress: [{}]") + "---\n" + document("a", "endpointSelector: {}\ningress: [{}]"), "test.yaml:8: metadata.name: policy a stands twice in the file, first in line 1"},
		{"in the second document", "---\n---\n" + document("a", "endpointSelector: {}\ningress: [{x: 1}]"), "test.yaml:8: spec.ingress[0].x: unknown field"},
		{"in a list", "apiVersion: v1\nkind: List\nitems:\n- {kind: Pod}", `test.yaml:4: items[0].kind: "Pod" is not`},
		{"aliases that multiply", "apiVersion: v1\nkind: List\nitems:\n- &a [x,x,x,x,x,x,x,x]\n- &b [*a,*a,*a,*a,*a,*a,*a,*a]", "items[0]: expected a policy document"},
		{"alias of itself", "apiVersion: v1\nkind: List\nitems: &a [*a]", ""},
		{"nested lists", strings.Repeat("{apiVersion: v1, kind: List, items: [", 3000) + strings.Repeat("]}", 3000), "items[0]: a list within a list"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(strings.NewReader(tt.text), "test.yaml")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestParseReportsEveryProblem(t *testing.T) {
	_, err := Parse(strings.NewReader(document("p", "endpointSelector: {}\ningress:\n- toPorts: [{ports: [{port: x--}]}]\n- bad: 1\n- fromCIDR: [x]")), "f")
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 3 {
		t.Errorf("got %d problems: %v", len(problems), err)
	}
}

func TestParseBounds(t *testing.T) {
	if _, err := Parse(strings.NewReader(strings.Repeat("#", MaxDocumentBytes+1)), "f"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a file beyond the limit: %v", err)
	}
	var b strings.Builder
	b.WriteString("endpointSelector: {}\ningress:\n")
	for range 200 {
		b.WriteString("- {x: 1}\n")
	}
	_, err := Parse(strings.NewReader(document("p", b.String())), "f")
	if problems := (Problems)(nil); !errors.As(err, &problems) || len(problems) != maxProblems {
		t.Errorf("%d problems kept", len(problems))
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("disk on fire") }

func TestParseReadError(t *testing.T) {
	if _, err := Parse(failingReader{}, "f.yaml"); err == nil || !strings.Contains(err.Error(), "read policy f.yaml: disk on fire") {
		t.Error(err)
	}
}
