package policy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/identity"
)

func keys(s *Set) []string {
	var list []string
	for _, p := range s.List() {
		list = append(list, p.Key())
	}
	return list
}

func TestSetAddReplaceDelete(t *testing.T) {
	a, b := &Policy{Name: "a"}, &Policy{Name: "b", Namespace: "n"}
	set, err := NewSet(b, a)
	if err != nil || !slices.Equal(keys(set), []string{"a", "n/b"}) {
		t.Fatalf("got %v, %v", keys(set), err)
	}
	a2 := &Policy{Name: "a", Description: "new"}
	next, err := set.With(a2, &Policy{Name: "c"})
	if err != nil || !slices.Equal(keys(next), []string{"a", "c", "n/b"}) || next.Get("a") != a2 {
		t.Errorf("with: %v, %v", keys(next), err)
	}
	if set.Get("a") != a || set.Len() != 2 {
		t.Error("the first set changed")
	}
	last, missing := next.Without("a", "zz", "n/b")
	if !slices.Equal(keys(last), []string{"c"}) || !slices.Equal(missing, []string{"zz"}) {
		t.Errorf("without: %v, missing %v", keys(last), missing)
	}
	var none *Set
	if none.Len() != 0 || none.Get("a") != nil || none.List() != nil {
		t.Error("nil set is not empty")
	}
	if s, err := none.With(a); err != nil || s.Len() != 1 {
		t.Errorf("adding to nil: %v", err)
	}
}

func TestSetRefuses(t *testing.T) {
	bad := func(peer Peer) *Policy {
		return &Policy{Name: "p", Rules: []Rule{{Clauses: []Clause{{Path: "egress[0]", Peers: []Peer{peer}}}}}}
	}
	tests := []struct {
		name     string
		policies []*Policy
		want     string
	}{
		{"two of a name", []*Policy{{Name: "a", Source: Source{"x.yaml", 1}}, {Name: "a", Source: Source{"y.yaml", 9}}}, "add policy a of y.yaml:9: the name is taken by x.yaml:1"},
		{"no name", []*Policy{{Source: Source{"x.yaml", 1}}}, "check policy of x.yaml:1: it has no name"},
		{"empty peer", []*Policy{bad(Peer{})}, "check policy p: egress[0]: a peer is exactly one"},
		{"two in one peer", []*Policy{bad(Peer{Entity: EntityAll, Selector: &Selector{}})}, "exactly one"},
		{"unknown entity", []*Policy{bad(Peer{Entity: "moon"})}, `unknown entity "moon"`},
		{"exception outside", []*Policy{bad(Peer{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Except: []netip.Prefix{netip.MustParsePrefix("11.0.0.0/8")}})}, "not within"},
		{"ports twice", []*Policy{{Name: "p", Rules: []Rule{{Clauses: []Clause{{Path: "egress[0]", AnyPort: true, Ports: []PortRule{{}}}}}}}}, "any port"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := NewSet(tt.policies...); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if _, err := (&Set{}).With(tt.policies...); err == nil {
				t.Error("With accepts it")
			}
		})
	}
}

func TestSelectsAndMentions(t *testing.T) {
	w := newWorld(t, documents(
		selectDB+"ingress: [{fromEndpoints: [{matchLabels: {app: web}}]}, {fromEntities: [all]}]",
		selectDB+"egress: [{toPorts: [{ports: [{port: http}]}]}]")...)
	db := w.subject.Labels
	labels := func(s string) identity.Labels {
		l, err := identity.ParseLabels(s)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if p := w.set.Get("p0"); !p.Selects(db) || p.Selects(labels("app=web")) {
		t.Error("Selects")
	}
	for s, want := range map[string]bool{
		"app=web":                           true,  // by label
		"app=job":                           false, // by class only
		"app=job,sluice.port.http=80":       true,  // by its named port
		"app=job,sluice.port.metrics=80":    false,
		"app=db,compose.project=shop,tier=": false,
	} {
		if got := w.set.Mentions(db, labels(s)); got != want {
			t.Errorf("%s: %v", s, got)
		}
	}
	if w.set.Mentions(labels("app=web"), labels("app=web")) {
		t.Error("a subject without policies mentions somebody")
	}
}

func TestLocate(t *testing.T) {
	w := newWorld(t, documents("endpointSelector: {}\nenableDefaultDeny: {ingress: false}\ningress:\n- toPorts:\n  - ports: []\n  - ports: [{port: '1'}]\n- {}",
		"endpointSelector: {}\negress: [{}]")...)
	for ref, want := range map[RuleRef]string{
		{"p0", "ingress[0]"}:            "test.yaml:8",
		{"p0", "ingress[0].toPorts[1]"}: "test.yaml:10",
		{"p0", "ingress[1]"}:            "test.yaml:11",
		{"p1", RuleDefaultDeny}:         "test.yaml:18",
		{"p0", RuleDefaultDeny}:         "",
		{"p0", "ingress[2]"}:            "",
		{"gone", "ingress[0]"}:          "",
		{"", RuleModeAlways}:            "",
	} {
		if got, ok := w.set.Locate(ref); got.String() != want || ok != (want != "") {
			t.Errorf("%s: got %q, want %q", ref, got, want)
		}
	}
}

func TestSelectorString(t *testing.T) {
	tests := []struct {
		in   []Requirement
		want string
	}{
		{nil, "all"},
		{[]Requirement{is("b", "2"), is("a", "1")}, "a=1, b=2"},
		{[]Requirement{is("a", "2", "1", "2")}, "a in (1,2)"},
		{[]Requirement{{Key: "a", Operator: NotIn, Values: []string{"x"}}, {Key: "a", Operator: NotIn, Values: []string{"y", "x y"}}}, `a!=x, a notin ("x y",y)`},
		{[]Requirement{{Key: "a", Operator: Exists}, {Key: "b,c", Operator: DoesNotExist}, {Key: "a", Operator: Exists}}, `a, !"b,c"`},
	}
	for _, tt := range tests {
		if got := NewSelector(tt.in...).String(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestSelectorMatches(t *testing.T) {
	l := identity.Labels{"app": "web", "empty": "", identity.LabelProject: "shop"}
	tests := []struct {
		r    Requirement
		want bool
	}{
		{is("app", "web"), true}, {is("app", "x", "web"), true}, {is("app", "x"), false}, {is("none", ""), false}, {is("empty", ""), true},
		{Requirement{Key: "app", Operator: NotIn, Values: []string{"web"}}, false},
		{Requirement{Key: "none", Operator: NotIn, Values: []string{"web"}}, true},
		{Requirement{Key: "empty", Operator: Exists}, true}, {Requirement{Key: "none", Operator: Exists}, false},
		{Requirement{Key: "none", Operator: DoesNotExist}, true}, {Requirement{Key: "empty", Operator: DoesNotExist}, false},
		{is(LabelNamespace, "shop"), true}, {is(LabelNamespace, DefaultNamespace), false},
	}
	for _, tt := range tests {
		if got := NewSelector(tt.r).Matches(l); got != tt.want {
			t.Errorf("%s: %v", tt.r, got)
		}
	}
	if !NewSelector(is(LabelNamespace, DefaultNamespace)).Matches(nil) {
		t.Error("a container without project is not in namespace default")
	}
}

// FuzzSelector: an index gives the same peers as asking each of them.
func FuzzSelector(f *testing.F) {
	f.Add("app", uint8(0), "web", "tier", uint8(3), "")
	f.Add("io.kubernetes.pod.namespace", uint8(0), "default", "app", uint8(1), "web")
	f.Add("app", uint8(0), "web", "none", uint8(3), "job")
	f.Add("sluice.network", uint8(2), "", "app", uint8(0), "job")
	f.Fuzz(func(t *testing.T, key1 string, op1 uint8, value1, key2 string, op2 uint8, value2 string) {
		s := NewSelector(
			Requirement{Key: key1, Operator: Operator(op1 % 4), Values: []string{value1, value2}},
			Requirement{Key: key2, Operator: Operator(op2 % 4), Values: []string{value2}})
		if again := NewSelector(slices.Clone(s.Requirements)...); again.String() != s.String() {
			t.Fatalf("not canonical: %s, %s", s, again)
		}
		u := testUniverse()
		var want []int
		for i, k := range u.List() {
			if s.Matches(k.Labels) {
				want = append(want, i)
			}
		}
		compiled := compiledSelector{selector: &s, key: s.String()}
		for range 2 { // the second answer is remembered
			if got := u.matching(compiled); !slices.Equal(got, want) {
				t.Fatalf("%s: the index gives %v, the labels %v", s, got, want)
			}
		}
	})
}

// FuzzParse: whatever is accepted resolves to valid tables, and says the same when it is parsed again.
func FuzzParse(f *testing.F) {
	for _, spec := range []string{
		"endpointSelector: {}\ningress: [{}]",
		"endpointSelector: {matchLabels: {app: db}}\nenableDefaultDeny: {ingress: false}\ningressDeny: [{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}]",
		"endpointSelector: {matchExpressions: [{key: app, operator: In, values: [db]}]}\negress: [{toEntities: [all], toPorts: [{ports: [{port: http}, {port: '1', endPort: 9, protocol: SCTP}]}]}]",
		"endpointSelector: &a {}\negress: [{toEndpoints: [*a], icmps: [{fields: [{type: EchoRequest, family: IPv6}]}]}]",
		"endpointSelector: {}\negress: [{toFQDNs: [{matchName: x}]}]",
	} {
		f.Add(document("p", spec))
	}
	f.Add(`{"kind": "List", "apiVersion": "v1", "items": [{"kind": "CiliumNetworkPolicy"}]}`)
	f.Add("a: &a [*a]")
	f.Add(guide)
	f.Add(networkPolicy("{name: p}", networkPolicies[len(networkPolicies)-1].spec))
	universe := testUniverse()
	db, _ := universe.Get(idDB)
	f.Fuzz(func(t *testing.T, text string) {
		policies, err := Parse(strings.NewReader(text), "f")
		if err != nil {
			if policies != nil || err.Error() == "" {
				t.Fatalf("refused with %d policies: %v", len(policies), err)
			}
			return
		}
		set, err := NewSet(policies...)
		if err != nil {
			t.Fatalf("parsed, but not accepted: %v", err)
		}
		again, err := Parse(strings.NewReader(text), "f")
		if err != nil {
			t.Fatal(err)
		}
		sameSet, err := NewSet(again...)
		if err != nil {
			t.Fatal(err)
		}
		subject := Subject{Labels: db.Labels}
		egress, ingress, err := resolveBoth(set, subject, universe)
		if err != nil {
			t.Fatal(err)
		}
		e2, i2, _ := resolveBoth(sameSet, subject, universe)
		if egress.Hash() != e2.Hash() || ingress.Hash() != i2.Hash() {
			t.Fatal("not deterministic")
		}
		for d, table := range []*Table{Egress: egress, Ingress: ingress} {
			if err := table.Validate(); err != nil {
				t.Fatal(err)
			}
			for _, peer := range []string{"web", "other", "host", "10.1.2.3", "::1"} {
				id, class, addr := peerOf(peer)
				a := Explain(set, subject, universe, Question{Direction: Direction(d), Peer: id, Addr: addr, Protocol: ProtocolTCP, Port: 80})
				if v, _ := Judge(Direction(d), table, id, class, addr, Key(ProtocolTCP, 80)); v != a.Verdict {
					t.Fatalf("%s: table %s, rules %s", peer, v, a.Verdict)
				}
			}
		}
	})
}
