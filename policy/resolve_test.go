package policy

import (
	"net/netip"
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

func TestResolve(t *testing.T) {
	tests := []struct {
		name    string
		docs    []string
		mode    Mode
		isolate bool
		allowed []ask
		denied  []ask
	}{
		{
			name:    "no policy",
			allowed: []ask{{Egress, "web", "tcp 80"}, {Egress, "other", "tcp 80"}, {Egress, "1.1.1.1", "udp 53"}, {Ingress, "web", "tcp 80"}, {Ingress, "host", "tcp 80"}, {Ingress, "1.1.1.1", "tcp 80"}},
			denied:  []ask{{Ingress, "other", "tcp 80"}},
		},
		{
			name: "labels and port",
			docs: []string{document("p", `
endpointSelector: {matchLabels: {app: db}}
ingress:
- fromEndpoints: [{matchLabels: {app: web}}]
  toPorts: [{ports: [{port: "5432", protocol: TCP}]}]`)},
			allowed: []ask{{Ingress, "web", "tcp 5432"}, {Ingress, "other", "tcp 5432"}, {Egress, "web", "tcp 1"}},
			denied:  []ask{{Ingress, "web", "udp 5432"}, {Ingress, "web", "tcp 5433"}, {Ingress, "job", "tcp 5432"}, {Ingress, "stranger", "tcp 5432"}, {Ingress, "host", "tcp 5432"}, {Ingress, "1.1.1.1", "tcp 5432"}, {Ingress, "web", "icmp 8"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.docs...)
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
