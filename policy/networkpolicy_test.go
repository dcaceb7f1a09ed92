package policy

import (
	"strings"
	"testing"
)

// networkPolicy wraps the fields of a spec.
func networkPolicy(metadata, spec string) string {
	cilium := document("p", spec)
	return strings.NewReplacer("cilium.io/v2", "networking.k8s.io/v1", "CiliumNetworkPolicy", "NetworkPolicy", "{name: p}", metadata).Replace(cilium)
}

const (
	podsDB   = "podSelector: {matchLabels: {app: db}}\n"
	anywhere = "{name: p}"
	inShop   = "{name: p, namespace: shop}"
)

// networkPolicies are what NetworkPolicies mean, case by case. The subject is db of project shop; web is of shop, job
// of no project, other of project other.
var networkPolicies = []struct {
	name, metadata, spec string
	allowed, denied      []ask
}{{
	name: "no policyTypes: ingress is closed", metadata: anywhere, spec: "podSelector: {}",
	allowed: []ask{{Egress, "web", "tcp 80"}, {Egress, "1.1.1.1", "udp 53"}},
	denied:  []ask{{Ingress, "web", "tcp 80"}, {Ingress, "host", "tcp 80"}, {Ingress, "1.1.1.1", "icmp 8"}},
}, {
	name: "no podSelector is every container", metadata: anywhere, spec: "policyTypes: [Ingress]",
	denied: []ask{{Ingress, "web", "tcp 80"}},
}, {
	name: "empty lists are missing ones", metadata: anywhere, spec: podsDB + "ingress: []\negress: []\npolicyTypes: []",
	allowed: []ask{{Egress, "web", "tcp 80"}},
	denied:  []ask{{Ingress, "web", "tcp 80"}},
}, {
	name: "no policyTypes, but egress: both are closed", metadata: anywhere, spec: podsDB + "egress: [{to: [{podSelector: {matchLabels: {app: web}}}]}]",
	allowed: []ask{{Egress, "web", "tcp 80"}, {Egress, "other", "icmp 8"}},
	denied:  []ask{{Ingress, "web", "tcp 80"}, {Egress, "job", "tcp 80"}, {Egress, "host", "tcp 80"}},
}, {
	name: "deny all egress", metadata: anywhere, spec: "podSelector: {}\npolicyTypes: [Egress]",
	allowed: []ask{{Ingress, "web", "tcp 80"}, {Ingress, "host", "tcp 80"}},
	denied:  []ask{{Egress, "web", "tcp 80"}, {Egress, "1.1.1.1", "udp 53"}, {Egress, "host", "tcp 80"}},
}, {
	name: "deny all of both", metadata: anywhere, spec: "podSelector: {}\npolicyTypes: [Ingress, Egress]",
	denied: []ask{{Ingress, "web", "tcp 80"}, {Egress, "web", "tcp 80"}},
}, {
	name: "policyTypes names one, the other stays open", metadata: anywhere, spec: podsDB + "policyTypes: [Ingress]\ningress: [{from: [{podSelector: {}}]}]\negress: []",
	allowed: []ask{{Egress, "1.1.1.1", "tcp 80"}, {Ingress, "web", "tcp 80"}},
	denied:  []ask{{Ingress, "1.1.1.1", "tcp 80"}},
}, {
	name: "an empty rule allows everything", metadata: inShop, spec: podsDB + "ingress: [{}]",
	allowed: []ask{{Ingress, "web", "tcp 80"}, {Ingress, "other", "udp 1"}, {Ingress, "host", "icmp 8"}, {Ingress, "2001:db8::1", "gre 0"}},
}, {
	name: "no from, but ports: everybody on them", metadata: inShop, spec: podsDB + "ingress: [{from: [], ports: [{port: 80}]}]",
	allowed: []ask{{Ingress, "web", "tcp 80"}, {Ingress, "other", "tcp 80"}, {Ingress, "host", "tcp 80"}, {Ingress, "1.1.1.1", "tcp 80"}},
	denied:  []ask{{Ingress, "web", "udp 80"}, {Ingress, "web", "tcp 81"}, {Ingress, "host", "icmp 8"}},
}, {
	name: "an item of ports without a port is every one of TCP", metadata: anywhere, spec: podsDB + "ingress: [{ports: [{}, {protocol: UDP, port: 53}]}]",
	allowed: []ask{{Ingress, "web", "tcp 1"}, {Ingress, "web", "tcp 65535"}, {Ingress, "web", "udp 53"}},
	denied:  []ask{{Ingress, "web", "udp 54"}, {Ingress, "web", "icmp 8"}, {Ingress, "web", "sctp 1"}},
}, {
	name: "ranges", metadata: anywhere, spec: podsDB + "egress: [{ports: [{port: 8000, endPort: 8010}, {protocol: SCTP, port: 7, endPort: 7}]}]\npolicyTypes: [Egress]",
	allowed: []ask{{Egress, "web", "tcp 8000"}, {Egress, "1.1.1.1", "tcp 8010"}, {Egress, "host", "sctp 7"}},
	denied:  []ask{{Egress, "web", "tcp 7999"}, {Egress, "web", "tcp 8011"}, {Egress, "web", "sctp 8"}, {Egress, "web", "udp 8000"}},
}, {
	name: "a named port is the destination's", metadata: anywhere, spec: podsDB + "ingress: [{ports: [{port: sql}]}]\negress: [{ports: [{port: http}]}]",
	allowed: []ask{{Ingress, "web", "tcp 5432"}, {Egress, "web", "tcp 8080"}, {Egress, "job", "tcp 9090"}},
	denied:  []ask{{Ingress, "web", "tcp 80"}, {Egress, "web", "tcp 9090"}, {Egress, "1.1.1.1", "tcp 8080"}},
}, {
	name: "a selector of containers is of the policy's namespace", metadata: inShop, spec: podsDB + "ingress: [{from: [{podSelector: {}}]}]",
	allowed: []ask{{Ingress, "web", "tcp 80"}},
	denied:  []ask{{Ingress, "job", "tcp 80"}, {Ingress, "other", "tcp 80"}, {Ingress, "host", "tcp 80"}, {Ingress, "1.1.1.1", "tcp 80"}, {Ingress, "stranger", "tcp 80"}},
}, {
	name: "of every one, where the policy has none", metadata: anywhere, spec: podsDB + "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]",
	allowed: []ask{{Ingress, "web", "tcp 80"}, {Ingress, "other", "tcp 80"}},
	denied:  []ask{{Ingress, "job", "tcp 80"}},
}, {
	name: "another namespace's policy", metadata: "{name: p, namespace: other}", spec: "podSelector: {}\npolicyTypes: [Ingress, Egress]",
	allowed: []ask{{Ingress, "web", "tcp 80"}, {Egress, "web", "tcp 80"}},
}, {
	name: "namespaces by name", metadata: inShop, spec: podsDB + "ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}}]}]",
	allowed: []ask{{Ingress, "other", "tcp 80"}},
	denied:  []ask{{Ingress, "web", "tcp 80"}, {Ingress, "job", "tcp 80"}},
}, {
	name: "the namespace of containers without project", metadata: inShop, spec: podsDB + "ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}}]}]",
	allowed: []ask{{Ingress, "job", "tcp 80"}},
	denied:  []ask{{Ingress, "web", "tcp 80"}, {Ingress, "other", "tcp 80"}},
}, {
	name: "every namespace", metadata: inShop, spec: podsDB + "ingress: [{from: [{namespaceSelector: {}}]}]",
	allowed: []ask{{Ingress, "web", "tcp 80"}, {Ingress, "job", "tcp 80"}, {Ingress, "other", "tcp 80"}},
	denied:  []ask{{Ingress, "host", "tcp 80"}, {Ingress, "1.1.1.1", "tcp 80"}},
}, {
	name: "both selectors of one item must match", metadata: inShop,
	spec:    podsDB + "ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [shop]}]}, podSelector: {matchLabels: {app: web}}}]}]",
	allowed: []ask{{Ingress, "other", "tcp 80"}},
	denied:  []ask{{Ingress, "web", "tcp 80"}, {Ingress, "job", "tcp 80"}},
}, {
	name: "selectors of two items are alternatives", metadata: inShop,
	spec:    podsDB + "ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}}, {podSelector: {matchLabels: {app: web}}}]}]",
	allowed: []ask{{Ingress, "other", "tcp 80"}, {Ingress, "web", "tcp 80"}},
	denied:  []ask{{Ingress, "job", "tcp 80"}},
}, {
	name: "address blocks are of the world", metadata: inShop, spec: podsDB + "egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.5.0.0/16]}}, {ipBlock: {cidr: '2001:db8::/32'}}], ports: [{port: 443}]}]",
	allowed: []ask{{Egress, "10.6.0.1", "tcp 443"}, {Egress, "2001:db8::9", "tcp 443"}},
	denied: []ask{{Egress, "10.5.255.255", "tcp 443"}, {Egress, "10.6.0.1", "udp 443"}, {Egress, "web", "tcp 443"}, {Egress, "host", "tcp 443"},
		{Egress, "11.0.0.0", "tcp 443"}, {Egress, "2001:db9::", "tcp 443"}},
}}

func TestNetworkPolicy(t *testing.T) {
	for _, tt := range networkPolicies {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, networkPolicy(tt.metadata, tt.spec))
			for want, asks := range map[Verdict][]ask{Allow: tt.allowed, Deny: tt.denied} {
				for _, q := range asks {
					if got, why := w.judge(t, q); got != want {
						t.Errorf("%s %s %s: got %s (%s), want %s", q.direction, q.peer, q.port, got, why, want)
					}
				}
			}
		})
	}
}

// TestNetworkPolicyNamesItsRules: a verdict names the item, and the item is found in the file.
func TestNetworkPolicyNamesItsRules(t *testing.T) {
	w := newWorld(t, networkPolicy(inShop, podsDB+"ingress:\n- from: [{podSelector: {}}]\n- ports:\n  - port: 80\n  - port: 81"))
	for port, want := range map[string]string{"tcp 81": "shop/p ingress[1].ports[1]", "tcp 1": "shop/p default deny"} {
		if _, got := w.judge(t, ask{Ingress, "job", port}); strings.ReplaceAll(got, ": ", " ") != want {
			t.Errorf("%s: named %q, want %q", port, got, want)
		}
	}
	for rule, line := range map[string]int{"ingress[0]": 7, "ingress[1].ports[1]": 10, RuleDefaultDeny: 5} {
		if at, ok := w.set.Locate(RuleRef{Policy: "shop/p", Rule: rule}); !ok || at.Line != line {
			t.Errorf("%s is found at %v, want line %d", rule, at, line)
		}
	}
}

func TestNetworkPolicyRefusals(t *testing.T) {
	const header = 4
	tests := []struct {
		name, spec string
		line       int
		path       string
		reason     string
	}{
		{"rules of a direction that policyTypes leaves out", "podSelector: {}\npolicyTypes: [Egress]\ningress:\n- {}", 4, "spec.ingress", "does not name Ingress"},
		{"policyTypes", "podSelector: {}\npolicyTypes: [ingress]", 2, "spec.policyTypes[0]", "did you mean Ingress?"},
		{"unknown field", "podSelector: {}\ningress:\n- form: []", 3, "spec.ingress[0].form", "did you mean from?"},
		{"to in ingress", "podSelector: {}\ningress:\n- to: []", 3, "spec.ingress[0].to", "unknown field"},
		{"Cilium's fields", "podSelector: {}\ningress:\n- fromEndpoints: [{}]", 3, "spec.ingress[0].fromEndpoints", "unknown field"},
		{"endpointSelector", "endpointSelector: {}", 1, "spec.endpointSelector", "did you mean podSelector?"},
		{"empty peer", "podSelector: {}\ningress:\n- from: [{}]", 3, "spec.ingress[0].from[0]", "a peer is missing"},
		{"null peer", "podSelector: {}\ningress:\n- from: [{podSelector: null}]", 3, "spec.ingress[0].from[0]", "a peer is missing"},
		{"block and selector", "podSelector: {}\ningress:\n- from:\n  - ipBlock: {cidr: 10.0.0.0/8}\n    podSelector: {}", 4, "spec.ingress[0].from[0]", "stands alone"},
		{"block without cidr", "podSelector: {}\ningress:\n- from: [{ipBlock: {except: [10.0.0.0/8]}}]", 3, "spec.ingress[0].from[0].ipBlock.cidr", "missing"},
		{"lone address", "podSelector: {}\ningress:\n- from: [{ipBlock: {cidr: 10.0.0.1}}]", 3, "spec.ingress[0].from[0].ipBlock.cidr", "not a CIDR"},
		{"except outside", "podSelector: {}\ningress:\n- from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]", 3, "spec.ingress[0].from[0].ipBlock.except", "not a part"},
		{"except everything", "podSelector: {}\ningress:\n- from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]", 3, "spec.ingress[0].from[0].ipBlock.except", "not a part"},
		{"label of a namespace", "podSelector: {}\ningress:\n- from: [{namespaceSelector: {matchLabels: {team: a}}}]", 3, "spec.ingress[0].from[0].namespaceSelector", "has no label \"team\""},
		{"subject of another namespace", "podSelector: {matchLabels: {compose.project: other}}", 1, "spec.podSelector", "selects nobody"},
		{"port in quotes", "podSelector: {}\ningress:\n- ports: [{port: '80'}]", 3, "spec.ingress[0].ports[0].port", "without quotes"},
		{"port 0", "podSelector: {}\ningress:\n- ports: [{port: 0}]", 3, "spec.ingress[0].ports[0].port", "1 to 65535"},
		{"port in hexadecimal", "podSelector: {}\ningress:\n- ports: [{port: 0x50}]", 3, "spec.ingress[0].ports[0].port", "1 to 65535"},
		{"name with capitals", "podSelector: {}\ningress:\n- ports: [{port: HTTP}]", 3, "spec.ingress[0].ports[0].port", "small letters"},
		{"range of a name", "podSelector: {}\ningress:\n- ports: [{port: http, endPort: 90}]", 3, "spec.ingress[0].ports[0].endPort", "no range"},
		{"range without start", "podSelector: {}\ningress:\n- ports: [{endPort: 90}]", 3, "spec.ingress[0].ports[0].endPort", "needs a port"},
		{"range reversed", "podSelector: {}\ningress:\n- ports: [{port: 91, endPort: 90}]", 3, "spec.ingress[0].ports[0].endPort", "less than"},
		{"protocol", "podSelector: {}\ningress:\n- ports: [{protocol: tcp, port: 90}]", 3, "spec.ingress[0].ports[0].protocol", "did you mean TCP?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantRefusal(t, networkPolicy(inShop, tt.spec), header+tt.line, tt.path, tt.reason) })
	}
}
