package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/identity"
)

// world is the cast of most tests: a subject "db" on network "front" and peers around it.
type world struct {
	set      *Set
	universe *Universe
	subject  Subject
}

const (
	idDB    identity.ID = 256
	idWeb   identity.ID = 257
	idJob   identity.ID = 258
	idOther identity.ID = 259 // app=web on network "back"
)

func testUniverse() *Universe {
	known := func(id identity.ID, labels string) KnownIdentity {
		l, err := identity.ParseLabels(labels)
		if err != nil {
			panic(err)
		}
		return KnownIdentity{ID: id, Labels: l}
	}
	return NewUniverse(
		known(idDB, "app=db,compose.project=shop,sluice.network=front,sluice.port.sql=5432/tcp"),
		known(idWeb, "app=web,compose.project=shop,sluice.network=front,sluice.port.http=8080"),
		known(idJob, "app=job,tier=batch,sluice.network=front,sluice.port.http=9090"),
		known(idOther, "app=web,compose.project=other,sluice.network=back"),
	)
}

func newWorld(t *testing.T, documents ...string) *world {
	t.Helper()
	policies, err := Parse(strings.NewReader(strings.Join(documents, "\n---\n")), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, err := NewSet(policies...)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{set: set, universe: testUniverse()}
	db, _ := w.universe.Get(idDB)
	w.subject = Subject{Labels: db.Labels}
	return w
}

// document wraps the fields of a spec.
func document(name, spec string) string {
	var b strings.Builder
	b.WriteString("apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: " + name + "}\nspec:\n")
	for line := range strings.SplitSeq(strings.Trim(spec, "\n"), "\n") {
		b.WriteString("  " + line + "\n")
	}
	return b.String()
}

type ask struct {
	direction Direction
	peer      string // db, web, job, other, host, or an address
	port      string // "tcp 80", "udp 53", "icmp 8", "icmpv6 128", "gre 0"
}

var peerIDs = map[string]identity.ID{"db": idDB, "web": idWeb, "job": idJob, "other": idOther}

func (w *world) judge(t *testing.T, q ask) (Verdict, string) {
	t.Helper()
	egress, ingress, err := Resolve(w.set, w.subject, w.universe)
	if err != nil {
		t.Fatal(err)
	}
	table := egress
	if q.direction == Ingress {
		table = ingress
	}
	if err := table.Validate(); err != nil {
		t.Fatal(err)
	}
	id, class, addr := peerOf(q.peer)
	verdict, rule := Judge(q.direction, table, id, class, addr, keyOf(t, q.port))
	ref, _ := table.Rule(rule)
	return verdict, ref.String()
}

func peerOf(name string) (identity.ID, Class, netip.Addr) {
	switch id, ok := peerIDs[name]; {
	case ok && id == idOther:
		return id, ClassOther, netip.MustParseAddr("10.2.0.9")
	case ok:
		return id, ClassNetwork, netip.MustParseAddr("10.1.0.9")
	case name == "stranger": // of the network, not known yet
		return 9999, ClassNetwork, netip.MustParseAddr("10.1.0.77")
	case name == "host":
		return identity.Host, ClassHost, netip.MustParseAddr("10.1.0.1")
	}
	return identity.World, ClassWorld, netip.MustParseAddr(name)
}

func keyOf(t *testing.T, s string) uint32 {
	t.Helper()
	proto, number, _ := strings.Cut(s, " ")
	n := uint16(0)
	for _, r := range number {
		n = n*10 + uint16(r-'0')
	}
	p, ok := protocolNames[strings.ToUpper(proto)]
	if !ok {
		t.Fatalf("unknown protocol %q", proto)
	}
	if p == ProtocolICMP || p == ProtocolICMPv6 {
		n <<= 8
	}
	return Key(p, n)
}

const selectDB = "endpointSelector: {matchLabels: {app: db}}\n"

// TestResolve is the semantics, case by case: each as docs/policy.md and Cilium's documentation have it.
func TestResolve(t *testing.T) {
	tests := []struct {
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
		name:    "port 0 is every port, with ANY every protocol",
		specs:   []string{selectDB + "egress: [{toPorts: [{ports: [{port: '0', protocol: UDP}, {protocol: GRE}]}]}]\ningress: [{toPorts: [{ports: [{port: '0'}]}]}]"},
		allowed: []ask{{Egress, "web", "udp 1"}, {Egress, "web", "udp 65535"}, {Egress, "web", "gre 0"}, {Ingress, "web", "esp 0"}, {Ingress, "host", "icmp 8"}},
		denied:  []ask{{Egress, "web", "tcp 1"}},
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
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, documents(tt.specs...)...)
			w.subject.Mode, w.subject.Isolate = tt.mode, tt.isolate
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

// documents are policies p0, p1, … of these specs.
func documents(specs ...string) []string {
	var docs []string
	for i, spec := range specs {
		docs = append(docs, document(fmt.Sprint("p", i), spec))
	}
	return docs
}

func TestNamespaces(t *testing.T) {
	inNamespace := func(namespace, spec string) string {
		return strings.Replace(document("p", spec), "{name: p}", "{name: p, namespace: "+namespace+"}", 1)
	}
	tests := []struct {
		name            string
		doc             string
		allowed, denied []string // peers, ingress of db (project shop)
	}{
		{"own project", inNamespace("shop", "endpointSelector: {}\ningress: [{fromEndpoints: [{}]}]"), []string{"web"}, []string{"job", "other", "host"}},
		{"subject of another project", inNamespace("other", "endpointSelector: {}\ningress: [{}]"), []string{"web", "job", "host"}, []string{"other"}},
		{"peers of another project", inNamespace("shop", "endpointSelector: {}\ningress: [{fromEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: other}}]}]"), []string{"other"}, []string{"web", "job"}},
		{"peers by project label", inNamespace("shop", "endpointSelector: {}\ningress: [{fromEndpoints: [{matchLabels: {compose.project: other}}]}]"), []string{"other"}, []string{"web", "job"}},
		{"peers without project", inNamespace("shop", "endpointSelector: {}\ningress: [{fromEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': default}}]}]"), []string{"job"}, []string{"web", "other"}},
		{"entities have no namespace", inNamespace("shop", "endpointSelector: {}\ningress: [{fromEntities: [cluster]}]"), []string{"web", "job", "other", "host"}, []string{"1.1.1.1"}},
		{"namespace default is no project", inNamespace("default", "endpointSelector: {}\ningress: [{}]"), []string{"web"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.doc)
			for want, peers := range map[Verdict][]string{Allow: tt.allowed, Deny: tt.denied} {
				for _, p := range peers {
					if got, why := w.judge(t, ask{Ingress, p, "tcp 80"}); got != want {
						t.Errorf("%s: got %s (%s)", p, got, why)
					}
				}
			}
		})
	}
}

// TestVerdictsNameRules: what a drop says.
func TestVerdictsNameRules(t *testing.T) {
	w := newWorld(t, documents(
		selectDB+"enableDefaultDeny: {ingress: false}\ningress: [{fromEndpoints: [{}]}, {toPorts: [{ports: [{port: '1'}]}, {ports: [{port: '2'}]}]}]",
		selectDB+"ingressDeny: [{fromEndpoints: [{matchLabels: {app: job}}]}]",
		selectDB+"ingress: [{fromEntities: [host], icmps: [{fields: [{type: 8}]}]}]")...)
	for _, tt := range []struct {
		peer, port, want string
	}{
		{"web", "tcp 2", "p0: ingress[0]"},
		{"1.1.1.1", "tcp 2", "p0: ingress[1].toPorts[1]"},
		{"job", "tcp 2", "p1: ingressDeny[0]"},
		{"host", "icmp 8", "p2: ingress[0].icmps[0]"},
		{"host", "tcp 3", "p1: default deny"},
	} {
		if _, why := w.judge(t, ask{Ingress, tt.peer, tt.port}); why != tt.want {
			t.Errorf("%s %s: named %q, want %q", tt.peer, tt.port, why, tt.want)
		}
	}
	w = newWorld(t)
	if _, why := w.judge(t, ask{Ingress, "other", "tcp 1"}); why != "" {
		t.Errorf("another network: named %q, want none", why)
	}
	w.subject.Isolate = true
	if _, why := w.judge(t, ask{Ingress, "web", "tcp 1"}); why != RuleIsolate {
		t.Errorf("isolation: named %q", why)
	}
	w.subject.Mode = ModeAlways
	if _, why := w.judge(t, ask{Ingress, "web", "tcp 1"}); why != RuleModeAlways {
		t.Errorf("mode always: named %q", why)
	}
}

func TestNilTables(t *testing.T) {
	tests := []struct {
		name            string
		specs           []string
		mode            Mode
		isolate         bool
		egress, ingress bool // there is a table
	}{
		{"nothing", nil, ModeDefault, false, false, false},
		{"isolation", nil, ModeDefault, true, false, true},
		{"always", nil, ModeAlways, false, true, true},
		{"one direction", []string{selectDB + "egress: [{}]"}, ModeDefault, false, true, false},
		{"never", []string{selectDB + "egress: [{}]"}, ModeNever, false, false, false},
		{"another subject", []string{"endpointSelector: {matchLabels: {app: x}}\negress: [{}]"}, ModeDefault, false, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, documents(tt.specs...)...)
			w.subject.Mode, w.subject.Isolate = tt.mode, tt.isolate
			egress, ingress, err := Resolve(w.set, w.subject, w.universe)
			if err != nil || (egress != nil) != tt.egress || (ingress != nil) != tt.ingress {
				t.Errorf("egress %v, ingress %v, %v", egress != nil, ingress != nil, err)
			}
		})
	}
	if egress, ingress, err := Resolve(nil, Subject{}, nil); egress != nil || ingress != nil || err != nil {
		t.Error("no set and no universe: a table")
	}
}

// TestTableListsLittle: classes carry what whole classes share, so that identities need no entries.
func TestTableListsLittle(t *testing.T) {
	w := newWorld(t, documents(selectDB+"ingress: [{fromEntities: [all]}]\negress: [{toEndpoints: [{matchLabels: {app: web}}]}, {toCIDR: [10.0.0.0/9, 10.128.0.0/9]}]")...)
	egress, ingress, err := Resolve(w.set, w.subject, w.universe)
	if err != nil {
		t.Fatal(err)
	}
	if len(ingress.Identities) != 0 || len(ingress.CIDRs) != 0 || ingress.Entries() != int(Classes) {
		t.Errorf("ingress lists %d identities, %d entries", len(ingress.Identities), ingress.Entries())
	}
	if len(egress.Identities) != 2 || egress.Identities[0].ID != idWeb || egress.Identities[1].ID != idOther {
		t.Errorf("egress lists %v", egress.Identities)
	}
	if &egress.Identities[0].Profile[0] != &egress.Identities[1].Profile[0] {
		t.Error("equal profiles do not share memory")
	}
	if len(egress.CIDRs) != 1 || egress.CIDRs[0].First.Unmap().String() != "10.0.0.0" || egress.CIDRs[0].Last.Unmap().String() != "10.255.255.255" {
		t.Errorf("neighbouring ranges: %v", egress.CIDRs)
	}
}

func TestTooManyRules(t *testing.T) {
	p := &Policy{Name: "p", Rules: []Rule{{}}}
	for i := range 70000 {
		key := fmt.Sprint(i)
		c := Clause{Path: key, Direction: Egress, Peers: []Peer{{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)}}, AnyPort: true}
		p.Rules[0].Clauses = append(p.Rules[0].Clauses, c)
	}
	p.Rules[0].Close[Egress] = true
	set, err := NewSet(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Resolve(set, Subject{}, nil); !errors.Is(err, ErrTooManyRules) {
		t.Errorf("got %v", err)
	}
}

func TestPortsFromLabels(t *testing.T) {
	got, err := PortsFromLabels(identity.Labels{"sluice.port.http": "80", "sluice.port.DNS": "53/UDP", "sluice.port.m3": "1/sctp", "app": "x"})
	want := []NamedPort{{"dns", ProtocolUDP, 53}, {"http", ProtocolTCP, 80}, {"m3", ProtocolSCTP, 1}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []identity.Labels{{"sluice.port.http": ""}, {"sluice.port.http": "0"}, {"sluice.port.http": "65536"}, {"sluice.port.http": "80/icmp"},
		{"sluice.port.80": "80"}, {"sluice.port.": "80"}, {"sluice.port.a--b": "80"}, {"sluice.port.averyveryverylongname": "80"}} {
		if ports, err := PortsFromLabels(bad); !errors.Is(err, ErrBadPort) || len(ports) != 0 {
			t.Errorf("%v: got %v, %v", bad, ports, err)
		}
	}
}
