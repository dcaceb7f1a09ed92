package endpoint

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/api"
	"github.com/sluice-net/sluice/service"
)

// shop starts web (c1, c2), db (c3) and job (c4) on net1, and far (c5) on net2.
func shop(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.makeNetwork(1)
	w.makeNetwork(2)
	compose := func(service string) []string {
		return []string{"com.docker.compose.project=shop", "com.docker.compose.service=" + service, "app=" + service}
	}
	w.run(1, 1, compose("web")...)
	w.run(1, 2, compose("web")...)
	w.run(1, 3, compose("db")...)
	w.run(1, 4, "app=job")
	w.run(2, 5, "app=far")
	w.settle()
	return w
}

// find finds endpoints as package server does, by container or compose service.
func (w *world) find(ref string) ([]string, error) {
	all, err := w.Endpoints(context.Background())
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range all {
		if e.Container == ref || e.Project+"/"+e.Service == ref {
			ids = append(ids, e.ID)
		}
	}
	if len(ids) == 0 {
		return nil, api.Errorf(api.CodeNotFound, "find endpoint %q: there is none", ref)
	}
	return ids, nil
}

func (w *world) explain(from, to string, with ...string) (api.Explanation, error) {
	r := api.ExplainRequest{From: from, To: to}
	for _, text := range with {
		r.With = append(r.With, api.PolicySource{Source: "with.yaml", Text: text})
	}
	return w.Explain(context.Background(), r, w.find)
}

// steps writes an explanation in short.
func steps(e api.Explanation) []string {
	var out []string
	for _, p := range e.Paths {
		line := p.Ports + " " + p.Verdict + ":"
		for _, s := range p.Steps {
			line += " " + s.Step + " " + s.Verdict
			if s.Policy != "" {
				line += " by " + s.Policy + "/" + s.Rule
			}
			if s.Source != "" {
				line += " (" + s.Source + ")"
			}
		}
		out = append(out, line)
	}
	return out
}

func TestExplain(t *testing.T) {
	w := shop(t)
	w.must(w.Program(context.Background(), portsRequest(1, 1, 8080)))
	w.apply(only("web"))
	w.settle()
	for _, tt := range []struct {
		from, to, verdict string
		steps             []string
	}{
		{"c1", "c3:5432", "allowed", []string{"tcp 5432 allowed: egress allowed ingress allowed by db/ingress[0].toPorts[0] (test.yaml:8)"}},
		{"shop/web", "shop/db:5432/tcp", "allowed", []string{"tcp 5432 allowed: egress allowed ingress allowed by db/ingress[0].toPorts[0] (test.yaml:8)"}},
		{"c4", "c3:5432", "denied", []string{"tcp 5432 denied: egress allowed ingress denied by db/default deny (test.yaml:5)"}},
		{"c1", "c3:5432/udp", "denied", []string{"udp 5432 denied: egress allowed ingress denied by db/default deny (test.yaml:5)"}},
		{"c1", "c3/icmp", "denied", []string{"icmp 8 denied: egress allowed ingress denied by db/default deny (test.yaml:5)"}},
		{"c1", "c3", "partly", []string{
			"any but tcp 5432 denied: egress allowed ingress denied by db/default deny (test.yaml:5)",
			"tcp 5432 allowed: egress allowed ingress allowed by db/ingress[0].toPorts[0] (test.yaml:8)"}},
		{"c1", "c5:80", "denied", []string{"tcp 80 denied: egress allowed ingress denied"}},
		{"c1", "10.1.1.4:80", "allowed", []string{"tcp 80 allowed: egress allowed ingress allowed"}},
		{"c1", "[fd00:1::104]:80", "allowed", []string{"tcp 80 allowed: egress allowed ingress allowed"}},
		{"@host", "c3:5432", "denied", []string{"tcp 5432 denied: ingress denied by db/default deny (test.yaml:5)"}},
		{"c1", "@host:22", "allowed", []string{"tcp 22 allowed: egress allowed"}},
		{"c1", "192.0.2.7:443", "allowed", []string{"tcp 443 allowed: egress allowed"}},
		{"c1", "@internet:443", "allowed", []string{"tcp 443 allowed: egress allowed"}},
		{"c4", "@host:8080", "allowed", []string{"tcp 80 allowed: egress allowed publish allowed ingress allowed"}},
		{"@internet", "@host:8080", "allowed", []string{"tcp 80 allowed: publish allowed ingress allowed"}},
		{"192.0.2.7", "c1:80", "allowed", []string{"tcp 80 allowed: publish allowed ingress allowed"}},
		{"192.0.2.7", "c1:8080", "allowed", []string{"tcp 80 allowed: publish allowed ingress allowed"}},
		{"192.0.2.7", "10.1.1.1:80", "denied", []string{"tcp 80 denied: route denied"}},
		{"c1", "@host:8080", "allowed", []string{"tcp 80 allowed: egress allowed publish allowed ingress allowed"}},
		{"192.0.2.7", "c1:81", "denied", []string{"tcp 81 denied: route denied"}},
		{"@host", "@host:8080", "allowed", []string{"tcp 80 allowed: ingress allowed"}},
	} {
		t.Run(tt.from+" "+tt.to, func(t *testing.T) {
			e, err := w.explain(tt.from, tt.to)
			if err != nil {
				t.Fatal(err)
			}
			if e.Verdict != tt.verdict {
				t.Errorf("verdict %s, want %s", e.Verdict, tt.verdict)
			}
			if diff := cmp.Diff(tt.steps, steps(e)); diff != "" {
				t.Errorf("%s", diff)
			}
			for _, p := range e.Paths {
				for _, s := range p.Steps {
					if s.Why == "" {
						t.Errorf("%s says nothing", s.Step)
					}
				}
			}
		})
	}
}

// TestExplainLoopback: a port that is published on a loopback address is the host's own.
func TestExplainLoopback(t *testing.T) {
	w := shop(t)
	r := portsRequest(1, 1, 8080)
	for i := range r.Ports {
		r.Ports[i].HostIP = netip.MustParseAddr("127.0.0.1")
	}
	w.must(w.Program(context.Background(), r))
	w.settle()
	for _, tt := range []struct{ from, to, verdict, step string }{
		{"192.0.2.7", "c1:80", "denied", "route"},
		{"@host", "@host:8080", "allowed", "ingress"},
		{"c4", "@host:8080", "allowed", "egress"}, // to the host, where nothing listens
	} {
		e, err := w.explain(tt.from, tt.to)
		if err != nil || e.Verdict != tt.verdict || len(e.Paths) != 1 || len(e.Paths[0].Steps) != 1 || e.Paths[0].Steps[0].Step != tt.step {
			t.Errorf("%s %s: %+v, %v", tt.from, tt.to, e, err)
		}
	}
	if _, err := w.explain("192.0.2.7", "@host:8080"); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("from outside: %v", err)
	}
}

func TestExplainRefuses(t *testing.T) {
	w := shop(t)
	for _, tt := range []struct{ from, to, want string }{
		{"c1", "nobody:80", "find endpoint"},
		{"c1", "example.com:443", "DNS policy is not available yet"},
		{"c1", "**.example.com:443", "DNS policy is not available yet"},
		{"c1", "@moon:443", "@host, @lan or @internet"},
		{"c1", "c1:80", "the same container"},
		{"c1", "127.0.0.1:80", "packets of loopback addresses stay"},
		{"c1", "c3:80/foo", `"foo" is no protocol`},
		{"c1:80", "c3", "the port belongs to the other end"},
		{"@host", "@internet:80", "no container is at either end"},
		{"@internet", "@host:80", "no container publishes port 80"},
		{"c1", "c3:http", "no label sluice.port.http"},
		{"c1", "c3:70000", "ports go from 1 to 65535"},
		{"c1", "[fd00:1::104:80", "[ADDRESS]:PORT"},
	} {
		if _, err := w.explain(tt.from, tt.to); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %s: %v, want %q", tt.from, tt.to, err, tt.want)
		}
	}
	if _, err := w.explain("c1", "c3:80", "kind: Nonsense"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a document that is refused: %v", err)
	}
}

// TestExplainAudit: what a mode lets pass is no reason to change anything, as long as another policy denies.
func TestExplainAudit(t *testing.T) {
	w := shop(t)
	ids, err := w.find("c4")
	w.must(err)
	_, err = w.Relabel(context.Background(), ids[0], api.LabelChange{Add: map[string]string{"sluice.mode": "audit", "sluice.egress": "@none"}})
	w.must(err)
	w.settle()
	for to, verdict := range map[string]string{"c3:5432": "audit", "c5:80": "denied"} {
		e, err := w.explain("c4", to)
		if err != nil || e.Verdict != verdict || e.Paths[0].Steps[0].Verdict != "audit" || len(e.Paths[0].Flip) != 1 {
			t.Fatalf("%s: %+v, %v", to, e, err)
		}
		own := e.Paths[0].Flip[0].Container == "c4"
		if own != (verdict == "audit") {
			t.Errorf("%s: %+v", to, e.Paths[0].Flip)
		}
	}
}

// TestExplainWith: the answer for documents that are not in force is the one that applying them gives.
func TestExplainWith(t *testing.T) {
	w := shop(t)
	with, err := w.explain("c4", "c3:5432", only("web"))
	if err != nil || with.Verdict != api.VerdictDenied {
		t.Fatalf("%+v, %v", with, err)
	}
	if now, err := w.explain("c4", "c3:5432"); err != nil || now.Verdict != api.VerdictAllowed {
		t.Errorf("asking changed something: %+v, %v", now, err)
	}
	w.apply(only("web"))
	w.settle()
	if after, err := w.explain("c4", "c3:5432"); err != nil || after.Verdict != with.Verdict {
		t.Errorf("applied: %+v, %v", after, err)
	}
}

// TestFlip applies what explanations tell, and asks again.
func TestFlip(t *testing.T) {
	for _, tt := range []struct{ name, document, from, to string }{
		{"default deny", only("web"), "c4", "c3:5432"},
		{"allowed", only("web"), "c1", "c3:5432"},
		{"another network", "", "c1", "c5:80"},
		{"the world", "", "c1", "192.0.2.7:443"},
		{"the host", "", "@host", "c3:22"},
		{"ping", "", "c1", "c3/icmp"},
		{"both ends", only("web") + "---\n" + strings.NewReplacer("ingress", "egress", "fromEndpoints", "toEndpoints", "app: db", "app: job",
			"name: db", "name: job").Replace(only("nobody")), "c4", "c3:5432"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := shop(t)
			if tt.document != "" {
				w.apply(tt.document)
				w.settle()
			}
			before, err := w.explain(tt.from, tt.to)
			if err != nil {
				t.Fatal(err)
			}
			flip := before.Paths[0].Flip
			if len(flip) == 0 {
				t.Fatalf("nothing flips %v", steps(before))
			}
			for _, r := range flip {
				t.Logf("%+v", r)
				if r.Note != "" {
					t.Fatalf("no change: %s", r.Note)
				}
				w.follow(r)
			}
			w.settle()
			after, err := w.explain(tt.from, tt.to)
			if err != nil || after.Verdict == before.Verdict || after.Verdict != flip[0].Verdict {
				t.Errorf("before %v, after %v, %v", steps(before), steps(after), err)
			}
		})
	}
}

// follow does what a remedy says.
func (w *world) follow(r api.Remedy) {
	w.t.Helper()
	if r.Policy != "" {
		w.apply(r.Policy)
	}
	if len(r.Labels) == 0 {
		return
	}
	ids, err := w.find(r.Container)
	w.must(err)
	change := api.LabelChange{Add: map[string]string{}}
	for k, v := range r.Labels {
		if v == "" {
			change.Remove = append(change.Remove, k)
		} else {
			change.Add[k] = v
		}
	}
	_, err = w.Relabel(context.Background(), ids[0], change)
	w.must(err)
}

func TestDiffPolicies(t *testing.T) {
	w := shop(t)
	w.Connections = func(_ context.Context, yield func(api.Connection) bool) error {
		for _, c := range [][2]string{{"10.1.1.4:40000", "10.1.1.3:5432"}, {"10.1.1.1:40000", "10.1.1.3:5432"}, {"10.1.1.3:40000", "192.0.2.7:80"},
			{"10.2.1.5:40000", "10.1.1.3:5432"}} {
			yield(api.Connection{Protocol: "tcp", Source: netip.MustParseAddrPort(c[0]), Destination: netip.MustParseAddrPort(c[1]), Idle: time.Second})
		}
		return nil
	}
	allowFar := strings.Replace(only("web"), "- fromEndpoints:", "- fromEndpoints: [{matchLabels: {app: far}}]\n  - fromEndpoints:", 1)
	d, err := w.DiffPolicies(context.Background(), []api.PolicySource{{Source: "f.yaml", Text: allowFar}})
	if err != nil {
		t.Fatal(err)
	}
	want := []api.PairChange{
		{From: "@host", To: "shop/db", Closed: "any"},
		{From: "c4", To: "shop/db", Closed: "any"},
		{From: "c5", To: "shop/db", Opened: "any"},
		{From: "shop/web", To: "shop/db", Closed: "any but tcp 5432"},
	}
	if diff := cmp.Diff(want, d.Pairs); diff != "" {
		t.Error(diff)
	}
	var changes []string
	for _, c := range d.Connections {
		changes = append(changes, c.Change+" "+c.From+" "+c.To+" by "+c.Rule)
	}
	if diff := cmp.Diff([]string{"cut c4 shop/db by db: default deny", "allowed c5 shop/db by db: ingress[0]"}, changes); diff != "" {
		t.Error(diff)
	}
	if d.Endpoints != 1 {
		t.Errorf("%d endpoints", d.Endpoints)
	}
	if len(w.policies.List()) != 0 {
		t.Error("the difference was applied")
	}
}

func TestExposedAndGraph(t *testing.T) {
	w := shop(t)
	w.must(w.Program(context.Background(), PortsRequest{NetworkID: id("aa", 1), EndpointID: id("ee", 1003),
		Ports: []service.Mapping{{Proto: service.TCP, Port: 5432, HostPort: 15432}}}))
	w.apply(only("web"))
	w.settle()
	db, err := w.find("c3")
	w.must(err)
	list := "shop/db 5432 shop/web"
	all, err := w.Exposed(context.Background(), db, &list)
	if err != nil {
		t.Fatal(err)
	}
	want := []api.Exposure{
		{Container: "shop/db", Network: "net1", Address: netip.MustParseAddr("10.1.1.3"), Ports: "tcp 5432", From: "shop/web", Policy: "db",
			Rule: "ingress[0].toPorts[0]", Source: "test.yaml:8"},
		{Container: "shop/db", Network: "net1", Address: netip.MustParseAddr("fd00:1::103"), Ports: "tcp 5432", From: "shop/web", Policy: "db",
			Rule: "ingress[0].toPorts[0]", Source: "test.yaml:8"},
	}
	if diff := cmp.Diff(want, all, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	list = "* any @net"
	all, err = w.Exposed(context.Background(), nil, &list)
	if err != nil || !slices.ContainsFunc(all, func(e api.Exposure) bool { return e.From == "@host" && e.Beyond == "any" }) {
		t.Errorf("%+v, %v", all, err)
	}
	bad := "db"
	if _, err := w.Exposed(context.Background(), nil, &bad); api.CodeOf(err) != api.CodeInvalid {
		t.Errorf("a list that cannot be read: %v", err)
	}
	edges, err := w.Graph(context.Background(), db)
	if err != nil {
		t.Fatal(err)
	}
	wantEdges := []api.Edge{{From: "shop/db", To: "@host", Ports: "any"}, {From: "shop/db", To: "@world", Ports: "any"},
		{From: "shop/db", To: "c4", Ports: "any"}, {From: "shop/db", To: "shop/web", Ports: "any"}, {From: "shop/web", To: "shop/db", Ports: "tcp 5432"}}
	if diff := cmp.Diff(wantEdges, edges); diff != "" {
		t.Error(diff)
	}
}
