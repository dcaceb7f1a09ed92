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
	egress, ingress, err := resolveBoth(w.set, w.subject, w.universe)
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

// TestResolve judges the questions of every case of semantics_test.go.
func TestResolve(t *testing.T) {
	for _, tt := range semantics {
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
			egress, ingress, err := resolveBoth(w.set, w.subject, w.universe)
			if err != nil || (egress != nil) != tt.egress || (ingress != nil) != tt.ingress {
				t.Errorf("egress %v, ingress %v, %v", egress != nil, ingress != nil, err)
			}
		})
	}
	if egress, ingress, err := resolveBoth(nil, Subject{}, nil); egress != nil || ingress != nil || err != nil {
		t.Error("no set and no universe: a table")
	}
}

// TestTableListsLittle: classes carry what whole classes share, so that identities need no entries.
func TestTableListsLittle(t *testing.T) {
	w := newWorld(t, documents(selectDB+"ingress: [{fromEntities: [all]}]\negress: [{toEndpoints: [{matchLabels: {app: web}}]}, {toCIDR: [10.0.0.0/9, 10.128.0.0/9]}]")...)
	egress, ingress, err := resolveBoth(w.set, w.subject, w.universe)
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
	w = newWorld(t, documents(selectDB+"ingress: [{fromEntities: [all]}]", selectDB+"ingress: [{fromEndpoints: [{matchLabels: {app: web}}]}, {fromCIDR: [10.0.0.0/8]}]")...)
	if _, said, err := resolveBoth(w.set, w.subject, w.universe); err != nil || len(said.Identities)+len(said.CIDRs) != 0 || len(said.Rules) != 1 {
		t.Errorf("what the class says anyway is listed: %+v, %v", said, err)
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
	if _, _, err := resolveBoth(set, Subject{}, nil); !errors.Is(err, ErrTooManyRules) {
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

// resolveBoth is Resolve for tests that are not about published ports.
func resolveBoth(set *Set, subject Subject, universe *Universe) (egress, ingress *Table, err error) {
	t, err := Resolve(set, subject, universe)
	return t.Egress, t.Ingress, err
}
