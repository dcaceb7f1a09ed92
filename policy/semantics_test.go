package policy

// selectDB starts the specs of policies about the subject of the tests.
const selectDB = "endpointSelector: {matchLabels: {app: db}}\n"

// semantics are what documents mean, case by case, as docs/policy.md and Cilium's documentation have it: the policies
// p0, p1, … have these specs.
var semantics = []struct {
	name    string
	specs   []string
	mode    Mode
	isolate bool
	allowed []ask
	denied  []ask
}{{
	name: "no policy",
	allowed: []ask{{Egress, "web", "tcp 80"}, {Egress, "other", "tcp 80"}, {Egress, "1.1.1.1", "udp 53"},
		{Ingress, "web", "tcp 80"}, {Ingress, "host", "tcp 80"}, {Ingress, "1.1.1.1", "tcp 80"}},
	denied: []ask{{Ingress, "other", "tcp 80"}},
}, {
	name:    "another container's policy",
	specs:   []string{"endpointSelector: {matchLabels: {app: web}}\ningress: [{}]\negress: [{}]"},
	allowed: []ask{{Egress, "web", "tcp 80"}, {Ingress, "web", "tcp 80"}},
	denied:  []ask{{Ingress, "other", "tcp 80"}},
}, {
	name:  "labels and port; the other direction stays open",
	specs: []string{selectDB + "ingress:\n- fromEndpoints: [{matchLabels: {app: web}}]\n  toPorts: [{ports: [{port: '5432', protocol: TCP}]}]"},
	allowed: []ask{{Ingress, "web", "tcp 5432"}, {Ingress, "other", "tcp 5432"}, {Egress, "web", "tcp 1"},
		{Egress, "2001:db8::1", "udp 53"}},
	denied: []ask{{Ingress, "web", "udp 5432"}, {Ingress, "web", "tcp 5433"}, {Ingress, "web", "tcp 5431"}, {Ingress, "job", "tcp 5432"},
		{Ingress, "stranger", "tcp 5432"}, {Ingress, "host", "tcp 5432"}, {Ingress, "1.1.1.1", "tcp 5432"}, {Ingress, "web", "icmp 8"}},
}, {
	name:    "empty item closes and allows nothing",
	specs:   []string{selectDB + "egress: [{}]"},
	allowed: []ask{{Ingress, "web", "tcp 80"}},
	denied:  []ask{{Egress, "web", "tcp 80"}, {Egress, "host", "tcp 80"}, {Egress, "1.1.1.1", "udp 53"}, {Egress, "web", "icmp 8"}},
}, {
	name:   "empty deny item closes as well",
	specs:  []string{selectDB + "ingressDeny: [{}]"},
	denied: []ask{{Ingress, "web", "tcp 80"}, {Ingress, "host", "tcp 80"}},
}, {
	name:    "empty selector of peers is every container, not host nor world",
	specs:   []string{selectDB + "ingress: [{fromEndpoints: [{}]}]"},
	allowed: []ask{{Ingress, "web", "tcp 80"}, {Ingress, "other", "udp 1"}, {Ingress, "stranger", "icmpv6 128"}},
	denied:  []ask{{Ingress, "host", "tcp 80"}, {Ingress, "1.1.1.1", "tcp 80"}},
}, {
	name:   "empty list of peers is nobody",
	specs:  []string{selectDB + "ingress: [{fromEndpoints: [], toPorts: [{ports: [{port: '80'}]}]}]"},
	denied: []ask{{Ingress, "web", "tcp 80"}, {Ingress, "host", "tcp 80"}, {Ingress, "1.1.1.1", "tcp 80"}},
}, {
	name:    "no peers with ports is everybody on them",
	specs:   []string{selectDB + "ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]"},
	allowed: []ask{{Ingress, "web", "tcp 80"}, {Ingress, "other", "tcp 80"}, {Ingress, "host", "tcp 80"}, {Ingress, "1.1.1.1", "tcp 80"}},
	denied:  []ask{{Ingress, "web", "tcp 81"}, {Ingress, "1.1.1.1", "udp 80"}},
}, {
	name:    "empty toPorts restricts nothing",
	specs:   []string{selectDB + "ingress: [{fromEndpoints: [{matchLabels: {app: web}}], toPorts: []}]"},
	allowed: []ask{{Ingress, "web", "tcp 80"}, {Ingress, "web", "icmp 8"}},
	denied:  []ask{{Ingress, "job", "tcp 80"}},
}, {
	name:    "denied ports of every protocol leave the others",
	specs:   []string{selectDB + "enableDefaultDeny: {ingress: false}\ningressDeny: [{toPorts: [{ports: [{port: '0'}]}]}]"},
	allowed: []ask{{Ingress, "web", "icmp 8"}, {Ingress, "host", "gre 0"}},
	denied:  []ask{{Ingress, "web", "tcp 80"}, {Ingress, "host", "udp 80"}, {Ingress, "1.1.1.1", "sctp 80"}},
}, {
	name:   "an item of toPorts without ports is no port",
	specs:  []string{selectDB + "ingress: [{fromEndpoints: [{}], toPorts: [{}]}]"},
	denied: []ask{{Ingress, "web", "tcp 80"}},
}, {
	name: "deny beats allow, in whatever order and however narrow",
	specs: []string{selectDB + "ingress: [{fromEndpoints: [{matchLabels: {app: web}}], toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]",
		selectDB + "ingressDeny: [{fromEndpoints: [{}], toPorts: [{ports: [{port: '1', endPort: 1000}]}]}]",
		selectDB + "ingress: [{fromEntities: [all]}]"},
	allowed: []ask{{Ingress, "web", "tcp 1001"}, {Ingress, "host", "tcp 80"}, {Ingress, "web", "icmp 8"}},
	denied:  []ask{{Ingress, "web", "tcp 80"}, {Ingress, "job", "udp 1000"}, {Ingress, "other", "sctp 1"}},
}, {
	name:    "rules of several policies add up",
	specs:   []string{selectDB + "ingress: [{fromEndpoints: [{matchLabels: {app: web}}]}]", "endpointSelector: {}\ningress: [{fromEntities: [host]}]"},
	allowed: []ask{{Ingress, "web", "tcp 80"}, {Ingress, "host", "tcp 80"}},
	denied:  []ask{{Ingress, "job", "tcp 80"}},
}, {
	name:    "enableDefaultDeny false: deny only what is denied",
	specs:   []string{selectDB + "enableDefaultDeny: {egress: false}\negressDeny: [{toCIDR: [192.0.2.0/24]}]"},
	allowed: []ask{{Egress, "1.1.1.1", "tcp 80"}, {Egress, "web", "tcp 80"}, {Egress, "192.0.3.0", "tcp 80"}},
	denied:  []ask{{Egress, "192.0.2.0", "tcp 80"}, {Egress, "192.0.2.255", "icmp 8"}},
}, {
	name:    "one policy that closes is enough",
	specs:   []string{selectDB + "enableDefaultDeny: {egress: false}\negress: [{toEntities: [world]}]", "endpointSelector: {}\negress: [{}]"},
	allowed: []ask{{Egress, "1.1.1.1", "tcp 80"}},
	denied:  []ask{{Egress, "web", "tcp 80"}},
}, {
	name:    "enableDefaultDeny true closes a direction without items",
	specs:   []string{selectDB + "enableDefaultDeny: {egress: true}\ningress: [{fromEntities: [all]}]"},
	allowed: []ask{{Ingress, "other", "tcp 80"}},
	denied:  []ask{{Egress, "web", "tcp 80"}, {Egress, "1.1.1.1", "tcp 80"}},
}, {
	name:    "entity all",
	specs:   []string{selectDB + "ingress: [{fromEntities: [all]}]\negress: [{toEntities: [all]}]"},
	allowed: []ask{{Ingress, "web", "tcp 80"}, {Ingress, "other", "tcp 80"}, {Ingress, "host", "gre 0"}, {Egress, "::1", "icmpv6 128"}},
}, {
	name:    "entity cluster",
	specs:   []string{selectDB + "ingress: [{fromEntities: [cluster]}]"},
	allowed: []ask{{Ingress, "web", "tcp 80"}, {Ingress, "other", "tcp 80"}, {Ingress, "host", "tcp 80"}},
	denied:  []ask{{Ingress, "1.1.1.1", "tcp 80"}},
}, {
	name:    "entities of one family of the world",
	specs:   []string{selectDB + "egress: [{toEntities: [world-ipv6]}]"},
	allowed: []ask{{Egress, "2001:db8::1", "tcp 80"}, {Egress, "::", "tcp 80"}, {Egress, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "tcp 80"}},
	denied:  []ask{{Egress, "1.1.1.1", "tcp 80"}, {Egress, "0.0.0.0", "tcp 80"}, {Egress, "255.255.255.255", "tcp 80"}, {Egress, "web", "tcp 80"}},
}, {
	name:   "entity none",
	specs:  []string{selectDB + "ingress: [{fromEntities: [none]}]"},
	denied: []ask{{Ingress, "web", "tcp 80"}, {Ingress, "host", "tcp 80"}},
}, {
	name:    "CIDRs match the world only",
	specs:   []string{selectDB + "egress: [{toCIDR: [10.0.0.0/8, '::/0']}]"},
	allowed: []ask{{Egress, "10.9.9.9", "tcp 80"}, {Egress, "fe80::1", "tcp 80"}},
	denied:  []ask{{Egress, "web", "tcp 80"}, {Egress, "host", "tcp 80"}, {Egress, "11.0.0.0", "tcp 80"}, {Egress, "9.255.255.255", "tcp 80"}},
}, {
	name: "exceptions are holes in one CIDR only",
	specs: []string{selectDB + "egress:\n- toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.1.2.0/24]}]\n  toPorts: [{ports: [{port: '443', protocol: TCP}]}]\n" +
		"- toCIDR: [10.1.2.3]"},
	allowed: []ask{{Egress, "10.0.255.255", "tcp 443"}, {Egress, "10.2.0.0", "tcp 443"}, {Egress, "10.1.2.3", "udp 1"}},
	denied:  []ask{{Egress, "10.1.0.0", "tcp 443"}, {Egress, "10.1.255.255", "tcp 443"}, {Egress, "10.0.0.1", "tcp 80"}},
}, {
	name:    "ports without protocol are TCP, UDP and SCTP",
	specs:   []string{selectDB + "egress: [{toPorts: [{ports: [{port: '53'}]}]}]"},
	allowed: []ask{{Egress, "web", "tcp 53"}, {Egress, "1.1.1.1", "udp 53"}, {Egress, "host", "sctp 53"}},
	denied:  []ask{{Egress, "web", "gre 0"}, {Egress, "web", "icmp 0"}, {Egress, "web", "tcp 54"}},
}, {
	name:  "port 0 is every port, with ANY of the protocols that have ports",
	specs: []string{selectDB + "egress: [{toPorts: [{ports: [{port: '0', protocol: UDP}, {protocol: GRE}]}]}]\ningress: [{toPorts: [{ports: [{port: '0'}]}]}]"},
	allowed: []ask{{Egress, "web", "udp 1"}, {Egress, "web", "udp 65535"}, {Egress, "web", "gre 0"}, {Ingress, "web", "tcp 0"}, {Ingress, "host", "udp 65535"},
		{Ingress, "1.1.1.1", "sctp 9"}},
	denied: []ask{{Egress, "web", "tcp 1"}, {Ingress, "web", "esp 0"}, {Ingress, "host", "icmp 8"}, {Ingress, "web", "icmpv6 128"}},
}, {
	name:    "ICMP by type",
	specs:   []string{selectDB + "ingress: [{icmps: [{fields: [{type: EchoRequest}, {type: 128, family: IPv6}]}]}]"},
	allowed: []ask{{Ingress, "web", "icmp 8"}, {Ingress, "1.1.1.1", "icmp 8"}, {Ingress, "host", "icmpv6 128"}},
	denied:  []ask{{Ingress, "web", "icmp 0"}, {Ingress, "web", "icmpv6 8"}, {Ingress, "web", "icmp 13"}, {Ingress, "web", "tcp 8"}},
}, {
	name:    "ICMP echo reply is type 0 and not every type",
	specs:   []string{selectDB + "ingress: [{icmps: [{fields: [{type: 0}]}]}]"},
	allowed: []ask{{Ingress, "web", "icmp 0"}},
	denied:  []ask{{Ingress, "web", "icmp 8"}},
}, {
	name:    "named ports on ingress are the subject's",
	specs:   []string{selectDB + "ingress: [{fromEndpoints: [{}], toPorts: [{ports: [{port: SQL}, {port: http}]}]}]"},
	allowed: []ask{{Ingress, "web", "tcp 5432"}, {Ingress, "job", "tcp 5432"}},
	denied:  []ask{{Ingress, "web", "tcp 8080"}, {Ingress, "web", "udp 5432"}},
}, {
	name:    "named ports on egress are each peer's",
	specs:   []string{selectDB + "egress: [{toPorts: [{ports: [{port: http, protocol: TCP}]}]}]"},
	allowed: []ask{{Egress, "web", "tcp 8080"}, {Egress, "job", "tcp 9090"}},
	denied:  []ask{{Egress, "web", "tcp 9090"}, {Egress, "job", "tcp 8080"}, {Egress, "other", "tcp 8080"}, {Egress, "1.1.1.1", "tcp 8080"}, {Egress, "host", "tcp 8080"}},
}, {
	name:   "named ports of another protocol",
	specs:  []string{selectDB + "egress: [{toEndpoints: [{}], toPorts: [{ports: [{port: http, protocol: UDP}]}]}]"},
	denied: []ask{{Egress, "web", "tcp 8080"}, {Egress, "web", "udp 8080"}},
}, {
	name:    "expressions",
	specs:   []string{selectDB + "ingress: [{fromEndpoints: [{matchExpressions: [{key: tier, operator: DoesNotExist}, {key: app, operator: NotIn, values: [x]}]}]}]"},
	allowed: []ask{{Ingress, "web", "tcp 80"}, {Ingress, "other", "tcp 80"}},
	denied:  []ask{{Ingress, "job", "tcp 80"}, {Ingress, "stranger", "tcp 80"}},
}, {
	name:    "mode always closes both directions",
	mode:    ModeAlways,
	specs:   []string{selectDB + "ingress: [{fromEndpoints: [{matchLabels: {app: web}}]}]"},
	allowed: []ask{{Ingress, "web", "tcp 80"}},
	denied:  []ask{{Ingress, "job", "tcp 80"}, {Egress, "web", "tcp 80"}, {Egress, "1.1.1.1", "tcp 80"}},
}, {
	name:    "mode never ignores rules, networks stay apart",
	mode:    ModeNever,
	specs:   []string{selectDB + "ingress: [{}]\negressDeny: [{toEntities: [all]}]", selectDB + "ingress: [{fromEntities: [all]}]"},
	allowed: []ask{{Ingress, "web", "tcp 80"}, {Egress, "1.1.1.1", "tcp 80"}},
	denied:  []ask{{Ingress, "other", "tcp 80"}},
}, {
	name:    "isolation needs rules within the network",
	isolate: true,
	specs:   []string{selectDB + "enableDefaultDeny: {ingress: false}\ningress: [{fromEndpoints: [{matchLabels: {app: job}}]}]"},
	allowed: []ask{{Ingress, "job", "tcp 80"}, {Ingress, "host", "tcp 80"}, {Ingress, "1.1.1.1", "tcp 80"}, {Egress, "web", "tcp 80"}},
	denied:  []ask{{Ingress, "web", "tcp 80"}, {Ingress, "stranger", "tcp 80"}, {Ingress, "other", "tcp 80"}},
}, {
	name:    "isolation holds in mode never",
	isolate: true, mode: ModeNever,
	allowed: []ask{{Ingress, "host", "tcp 80"}},
	denied:  []ask{{Ingress, "web", "tcp 80"}, {Ingress, "other", "tcp 80"}},
}}
