package policy

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/identity"
)

// shop are the labels of a container of the project shop, with others of one line `key=value; key=value`.
func shop(more string) identity.Labels {
	l := identity.Labels{labelProject: "shop", labelService: "db", labelNetwork: "front", "app": "db"}
	for pair := range strings.SplitSeq(more, "; ") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			l[key] = value
		}
	}
	return l
}

func TestLabelPolicyRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"sluice.egres=db":                               "label sluice.egres=\"db\": Sluice knows no such label, did you mean sluice.egress?",
		"Sluice.Egress=db":                              "label Sluice.Egress=\"db\": Sluice knows no such label, did you mean sluice.egress?",
		"sluice.http.80=GET":                            "label sluice.http.80=\"GET\": Sluice knows no such label",
		"sluice.egress=db:543x":                         "label sluice.egress=\"db:543x\": column 4: \"543x\" is neither a port",
		"sluice.ingress=web, @hosst":                    "label sluice.ingress=\"web, @hosst\": column 6: unknown group \"@hosst\", did you mean @host?",
		"sluice.egress.deny=":                           "label sluice.egress.deny: column 1: the list is empty",
		"sluice.egress=api.github.com:443":              "column 1: api.github.com is a domain, and DNS policy is not available yet",
		"sluice.egress=@internet:https":                 "column 11: only containers have named ports: write 443 for https",
		"sluice.egress=10.0.0.1:frob":                   "column 10: only containers have named ports: write the number of frob",
		"sluice.ingress=web:sqll; sluice.port.sql=5432": "column 5: the container has no port of the name sqll, did you mean sql?; a label sluice.port.sqll=PORT gives it one",
		"sluice.port.sql=99999":                         "label sluice.port.sql=\"99999\": column 1: \"99999\": invalid named port",
		"sluice.publish.http=@lan":                      "label sluice.publish.http=\"@lan\": \"http\" is not a port of the host: write sluice.publish.8080",
		"sluice.publish.80/gre=@lan":                    "is not the protocol of a published port",
		"sluice.publish.80=@lan:80":                     "column 5: the published port 80 stands in the key; list peers without ports",
		"sluice.publish=@lan, web:80/any":               "column 10: list peers without ports",
		"sluice.rate.egress=20mbps":                     "label sluice.rate.egress=\"20mbps\": column 3: unknown unit \"mbps\"",
		"sluice.rate=1mbit":                             "Sluice knows no such label, did you mean sluice.rate.egress?",
		"sluice.profile=lockd":                          "label sluice.profile=\"lockd\": column 1: \"lockd\" is not a profile, did you mean locked?",
		"sluice.observe=flow":                           "did you mean flows?",
		"sluice.observe=":                               "is not a level",
		"sluice.observes=flows":                         "did you mean sluice.observe?",
		"sluice.mode=dry":                               "is not a mode",
	} {
		p, err := LabelPolicy(shop(in))
		if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, ErrInvalid) {
			t.Errorf("%s:\n got %v, %v\nwant %s", in, p, err, want)
		}
		if _, err := Resolve(nil, Subject{Labels: shop(in)}, nil); err == nil {
			t.Errorf("%s: resolved", in)
		}
	}
	_, err := LabelPolicy(identity.Labels{"sluice.egress": "db"})
	if err == nil || !strings.Contains(err.Error(), "of no compose project, so there is no service db beside it: write name:db") {
		t.Errorf("a service without a project: %v", err)
	}
	_, err = LabelPolicy(shop("sluice.mode=x; sluice.egress=a:0, b:0; sluice.ingress=c:0"))
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 4 || problems[1].Column != 8 || problems[3].Path != "sluice.mode" {
		t.Errorf("not every problem, in order: %v", err)
	}
}

func TestLabelPolicyNone(t *testing.T) {
	for _, l := range []identity.Labels{nil, shop(""), shop("sluice.name=x")} {
		if p, err := LabelPolicy(l); p != nil || err != nil {
			t.Errorf("%v: got %v, %v", l, p, err)
		}
	}
}

// labelWorld is the cast with these labels on the subject.
func labelWorld(t *testing.T, labels string, documents ...string) *world {
	t.Helper()
	w := newWorld(t, documents...)
	w.subject.Labels = shop(labels)
	w.subject.Labels["sluice.port.sql"] = "5432/tcp"
	member := func(id identity.ID, labels string) KnownIdentity {
		l, err := identity.ParseLabels(labels)
		if err != nil {
			t.Fatal(err)
		}
		return KnownIdentity{ID: id, Labels: l}
	}
	w.universe = NewUniverse(KnownIdentity{ID: idDB, Labels: w.subject.Labels},
		member(idWeb, "app=web,compose.project=shop,compose.service=web,sluice.network=front,sluice.port.http=8080"),
		member(idJob, "app=job,tier=batch,sluice.network=front,sluice.name=job,sluice.port.http=9090"),
		member(idOther, "app=web,compose.project=other,compose.service=web,sluice.network=back"))
	return w
}

// TestLabels: what every construct of the grammar does, and which item a verdict names.
func TestLabels(t *testing.T) {
	type answer struct {
		ask
		want Verdict
		rule string
	}
	e, i := Egress, Ingress
	for _, tt := range []struct {
		labels string
		want   []answer
	}{
		{"sluice.egress=web:80", []answer{
			{ask{e, "web", "tcp 80"}, Allow, "labels: sluice.egress[0] web:80"},
			{ask{e, "web", "tcp 81"}, Deny, "labels: sluice.egress: default deny"},
			{ask{e, "web", "udp 80"}, Deny, "labels: sluice.egress: default deny"},
			{ask{e, "other", "tcp 80"}, Deny, "labels: sluice.egress: default deny"}, // a service of the same name elsewhere
			{ask{i, "web", "tcp 80"}, Allow, ""},
		}},
		{"sluice.ingress=other/web:sql, name:job", []answer{
			{ask{i, "other", "tcp 5432"}, Allow, "labels: sluice.ingress[0] other/web:sql"},
			{ask{i, "other", "tcp 80"}, Deny, "labels: sluice.ingress: default deny"},
			{ask{i, "job", "udp 9"}, Allow, "labels: sluice.ingress[1] name:job"},
			{ask{i, "host", "tcp 5432"}, Deny, "labels: sluice.ingress: default deny"},
		}},
		{"sluice.egress=web:http, net:back:443, label:tier in (batch, x):http", []answer{
			{ask{e, "web", "tcp 8080"}, Allow, "labels: sluice.egress[0] web:http"},
			{ask{e, "web", "tcp 9090"}, Deny, "labels: sluice.egress: default deny"},
			{ask{e, "job", "tcp 9090"}, Allow, "labels: sluice.egress[2] label:tier in (batch, x):http"},
			{ask{e, "other", "tcp 443"}, Allow, "labels: sluice.egress[1] net:back:443"},
		}},
		{"sluice.egress.deny=@internet", []answer{
			{ask{e, "1.1.1.1", "tcp 443"}, Deny, "labels: sluice.egress.deny[0] @internet"},
			{ask{e, "2a00::1", "udp 443"}, Deny, "labels: sluice.egress.deny[0] @internet"},
			{ask{e, "192.168.7.7", "tcp 443"}, Allow, ""}, {ask{e, "fd00::7", "tcp 443"}, Allow, ""},
			{ask{e, "198.51.100.9", "tcp 443"}, Allow, ""}, // on the LAN, see below
			{ask{e, "web", "tcp 443"}, Allow, ""}, {ask{e, "host", "tcp 443"}, Allow, ""},
		}},
		{"sluice.egress=@lan, @host:53/udp", []answer{
			{ask{e, "198.51.100.9", "tcp 443"}, Allow, "labels: sluice.egress[0] @lan"},
			{ask{e, "169.254.169.254", "tcp 80"}, Allow, "labels: sluice.egress[0] @lan"},
			{ask{e, "1.1.1.1", "tcp 443"}, Deny, "labels: sluice.egress: default deny"},
			{ask{e, "host", "udp 53"}, Allow, "labels: sluice.egress[1] @host:53/udp"}, {ask{e, "host", "tcp 53"}, Deny, "labels: sluice.egress: default deny"},
		}},
		{"sluice.ingress=@net:*/icmp, @cluster:22, [2001:db8::/32]:443", []answer{
			{ask{i, "web", "icmp 8"}, Allow, "labels: sluice.ingress[0] @net:*/icmp"}, {ask{i, "other", "icmp 8"}, Deny, "labels: sluice.ingress: default deny"},
			{ask{i, "other", "tcp 22"}, Allow, "labels: sluice.ingress[1] @cluster:22"}, {ask{i, "1.1.1.1", "tcp 22"}, Deny, "labels: sluice.ingress: default deny"},
			{ask{i, "2001:db8::7", "tcp 443"}, Allow, "labels: sluice.ingress[2] [2001:db8::/32]:443"}, {ask{i, "2001:db9::7", "tcp 443"}, Deny, "labels: sluice.ingress: default deny"},
		}},
		{"sluice.egress=@none; sluice.ingress=@any; sluice.ingress.deny=web:80", []answer{
			{ask{e, "web", "tcp 1"}, Deny, "labels: sluice.egress: default deny"}, {ask{i, "other", "gre 0"}, Allow, "labels: sluice.ingress[0] @any"},
			{ask{i, "web", "tcp 80"}, Deny, "labels: sluice.ingress.deny[0] web:80"}, {ask{i, "web", "tcp 81"}, Allow, "labels: sluice.ingress[0] @any"},
		}},
		{"sluice.profile=locked; sluice.egress=web:80", []answer{
			{ask{e, "web", "tcp 80"}, Allow, "labels: sluice.egress[0] web:80"}, {ask{e, "1.1.1.1", "tcp 80"}, Deny, "labels: sluice.egress: default deny"},
			{ask{i, "web", "tcp 80"}, Deny, "labels: sluice.profile=locked"}, {ask{i, "host", "tcp 80"}, Deny, "labels: sluice.profile=locked"},
		}},
		{"sluice.profile=balanced", []answer{
			{ask{e, "web", "tcp 80"}, Allow, "labels: sluice.profile=balanced"}, {ask{e, "1.1.1.1", "tcp 80"}, Allow, "labels: sluice.profile=balanced"},
			{ask{e, "192.168.1.1", "tcp 80"}, Deny, "labels: sluice.profile=balanced"}, {ask{e, "host", "tcp 80"}, Deny, "labels: sluice.profile=balanced"},
			{ask{i, "web", "tcp 80"}, Allow, "labels: sluice.profile=balanced"}, {ask{i, "1.1.1.1", "tcp 80"}, Deny, "labels: sluice.profile=balanced"},
			{ask{i, "host", "tcp 80"}, Deny, "labels: sluice.profile=balanced"}, {ask{i, "other", "tcp 80"}, Deny, "labels: sluice.profile=balanced"},
		}},
		{"sluice.profile=balanced; sluice.egress=192.168.1.5:53/udp", []answer{
			{ask{e, "192.168.1.5", "udp 53"}, Allow, "labels: sluice.egress[0] 192.168.1.5:53/udp"}, {ask{e, "1.1.1.1", "tcp 80"}, Deny, "labels: sluice.egress: default deny"},
			{ask{i, "web", "tcp 80"}, Allow, "labels: sluice.profile=balanced"},
		}},
		{"sluice.profile=open", []answer{{ask{e, "1.1.1.1", "tcp 80"}, Allow, ""}, {ask{i, "1.1.1.1", "tcp 80"}, Allow, ""}}},
	} {
		t.Run(tt.labels, func(t *testing.T) {
			w := labelWorld(t, tt.labels)
			w.universe = w.universe.WithLAN(prefixes("198.51.100.0/24", "0.0.0.0/0"))
			for _, a := range tt.want {
				if got, rule := w.judge(t, a.ask); got != a.want || rule != a.rule {
					t.Errorf("%v: got %s by %q, want %s by %q", a.ask, got, rule, a.want, a.rule)
				}
			}
		})
	}
}

// TestResolversAreImplied: the servers of Docker's embedded DNS stay reachable whatever labels say, and only they.
func TestResolversAreImplied(t *testing.T) {
	resolvers := []Resolver{{Addr: addr("192.168.1.1"), ID: identity.World}, {Addr: addr("2001:db8::53"), ID: identity.World}, {ID: identity.Host}, {Addr: addr("10.1.0.9"), ID: idWeb}}
	for _, labels := range []string{"sluice.egress=@none", "sluice.egress.deny=@any", "sluice.profile=locked", "sluice.profile=balanced", "sluice.egress.deny=@lan, @host, web"} {
		w := labelWorld(t, labels)
		w.subject.Resolvers = resolvers
		for _, peer := range []string{"192.168.1.1", "2001:db8::53", "host", "web"} {
			for _, port := range []string{"udp 53", "tcp 53"} {
				if got, rule := w.judge(t, ask{Egress, peer, port}); got != Allow {
					t.Errorf("%s: %s %s is denied by %s", labels, peer, port, rule)
				}
			}
		}
		for _, q := range []ask{{Egress, "192.168.1.2", "udp 53"}, {Egress, "192.168.1.1", "udp 54"}, {Egress, "host", "tcp 80"}} {
			if got, rule := w.judge(t, q); got != Deny {
				t.Errorf("%s: %v is allowed by %s", labels, q, rule)
			}
		}
	}
	w := labelWorld(t, "sluice.egress=@none", document("p", "endpointSelector: {}\negressDeny:\n- toCIDR: [192.168.0.0/16]"))
	w.subject.Resolvers = resolvers
	if got, rule := w.judge(t, ask{Egress, "192.168.1.1", "udp 53"}); got != Deny || rule != "p: egressDeny[0]" {
		t.Errorf("an administrator's deny: got %s by %s", got, rule)
	}
}

func TestNames(t *testing.T) {
	set, err := NewSet(parse(t, document("p", "endpointSelector: {matchLabels: {sluice.name: one}}\ningress:\n- fromEndpoints: [{matchExpressions: [{key: sluice.name, operator: NotIn, values: [two]}]}]"))...)
	if err != nil {
		t.Fatal(err)
	}
	got := set.Names(shop("sluice.egress=name:three:80"), shop("sluice.publish.80=name:four"), shop("sluice.egress=???"), shop(""))
	if want := []string{"four", "one", "three", "two"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := (*Set)(nil).Names(shop("sluice.egress=name:three")); !slices.Equal(got, []string{"three"}) {
		t.Errorf("no policies: got %v", got)
	}
}

func TestUnresolved(t *testing.T) {
	w := labelWorld(t, "sluice.egress=web:80, cache:6379, other/cache, name:gone, net:back, label:tier=x, @lan; sluice.publish.80=shop/proxy",
		document("p", "endpointSelector: {}\nenableDefaultDeny: {ingress: false}\ningress:\n- fromEndpoints: [{matchLabels: {app: nobody}}, {matchLabels: {app: web}}]"))
	var got []string
	for _, u := range Unresolved(w.set, w.subject, w.universe) {
		got = append(got, u.Rule.String()+" → "+u.Peer)
	}
	want := []string{
		"labels: sluice.egress[1] cache:6379 → cache", "labels: sluice.egress[2] other/cache → other/cache", "labels: sluice.egress[3] name:gone → name:gone",
		"labels: sluice.egress[5] label:tier=x → label:tier=x", "labels: sluice.publish.80[0] shop/proxy → shop/proxy", "p: ingress[0] → label:app=nobody",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestMentionsByLabels(t *testing.T) {
	web := identity.Labels{labelProject: "shop", labelService: "web", labelNetwork: "front"}
	elsewhere := identity.Labels{labelProject: "other", labelService: "web", labelNetwork: "front"}
	set, _ := NewSet()
	for labels, want := range map[string]bool{"sluice.egress=web": true, "sluice.publish.80=web": true, "sluice.egress=@net": false, "": false} {
		if got := set.Mentions(shop(labels), web); got != want {
			t.Errorf("%s: mentions web: %v", labels, got)
		}
		if set.Mentions(shop(labels), elsewhere) {
			t.Errorf("%s: mentions web of another project", labels)
		}
	}
}

func TestSettings(t *testing.T) {
	set, err := NewSet(parse(t, `
policies:
- {name: a, for: "app=db", mode: learn, rate: {egress: 50mbit}}
- {name: b, for: "@any", mode: audit, rate: {egress: 20mbit/1mb, ingress: 1gbit}}
- {name: c, for: "app=web", mode: enforce, observe: drops}
- {name: d, for: "app=web", observe: packets}
`)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		labels string
		want   Settings
	}{
		{"", Settings{Audit, false, Rate{20e6, 1e6}, Rate{BitsPerSecond: 1e9}, LevelUnset}},
		{"app=x", Settings{Audit, false, Rate{20e6, 1e6}, Rate{BitsPerSecond: 1e9}, LevelUnset}},
		{"app=web", Settings{Enforce, false, Rate{20e6, 1e6}, Rate{BitsPerSecond: 1e9}, LevelPackets}},
		{"app=web; sluice.observe=none", Settings{Enforce, false, Rate{20e6, 1e6}, Rate{BitsPerSecond: 1e9}, LevelNone}},
		{"sluice.mode=learn; sluice.rate.egress=5gbit", Settings{Learn, true, Rate{BitsPerSecond: 5e9}, Rate{BitsPerSecond: 1e9}, LevelUnset}},
	} {
		if got, err := set.Settings(shop(tt.labels)); err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v", tt.labels, got, err)
		}
	}
	if _, err := set.Settings(shop("sluice.mode=no")); err == nil {
		t.Error("settings of labels that cannot be read")
	}
	if got, err := (*Set)(nil).Settings(shop("")); err != nil || got != (Settings{}) {
		t.Errorf("nothing said: %+v, %v", got, err)
	}
	for _, e := range []Enforcement{Enforce, Audit, Learn} {
		if again, err := ParseEnforcement(e.String()); err != nil || again != e {
			t.Errorf("%s: %v, %v", e, again, err)
		}
	}
	for _, p := range []PublishDefault{PublishAny, PublishLAN, PublishNone} {
		if again, err := ParsePublishDefault(p.String()); err != nil || again != p {
			t.Errorf("%s: %v, %v", p, again, err)
		}
	}
}
