package policy

import (
	"strings"
	"testing"

	"github.com/sluice-net/sluice/identity"
)

func TestShortForm(t *testing.T) {
	policies := parse(t, `
policies:
- name: db
  for: [shop/db, "name:old, role=db", net:back]
  ingress: ["web:5432, @host", "[2001:db8::/32]:{22,80}"]
  egress.deny: "@internet"
  publish: {5432: "@lan", "53/udp": ["10.0.0.1"], "*": "@none"}
  rate: {egress: 20mbit}
  mode: audit
- name: open
  namespace: shop
  for: "@any"
  egress: "@any"
  default-deny: {egress: false}
`)
	if len(policies) != 2 || policies[0].Key() != "db" || policies[1].Key() != "shop/open" {
		t.Fatalf("got %v", policies)
	}
	db := policies[0]
	var subjects []string
	for _, r := range db.Rules {
		subjects = append(subjects, r.Subject.String())
		if r.Close != [directions]bool{Ingress: true} || len(r.Clauses) != 4 || len(r.Publish) != 3 || *r.Enforcement != Audit || r.Rates[Egress].BitsPerSecond != 20e6 {
			t.Errorf("rule %+v", r)
		}
	}
	if got := strings.Join(subjects, "; "); got != "compose.project=shop, compose.service=db; sluice.name=old; role=db; sluice.network=back" {
		t.Errorf("it is about %s", got)
	}
	if c := db.Rules[0].Clauses[2]; c.Path != "ingress[2] [2001:db8::/32]:{22,80}" || c.Line != 5 {
		t.Errorf("the third item is %q in line %d", c.Path, c.Line)
	}
	set, err := NewSet(policies...)
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := set.Locate(RuleRef{Policy: "db", Rule: "publish.5432[0] @lan"}); !ok || at.String() != "test.yaml:7" {
		t.Errorf("the publish rule stands at %s, %v", at, ok)
	}
	if r := policies[1].Rules[0]; r.Close != [directions]bool{} || r.Subject.String() != LabelNamespace+"=shop" {
		t.Errorf("rule %+v", r)
	}
}

// TestShortFormProjects: a service in a file is one of the project of each container that the policy selects.
func TestShortFormProjects(t *testing.T) {
	set, err := NewSet(parse(t, "policies: [{name: p, for: app=db, egress: web}]")...)
	if err != nil {
		t.Fatal(err)
	}
	web := func(project string) identity.Labels {
		return identity.Labels{labelProject: project, labelService: "web", labelNetwork: "n"}
	}
	universe := NewUniverse(KnownIdentity{ID: 300, Labels: web("a")}, KnownIdentity{ID: 301, Labels: web("b")})
	for project, want := range map[string][2]Verdict{"a": {Allow, Deny}, "b": {Deny, Allow}, "": {Deny, Deny}} {
		l := identity.Labels{"app": "db", labelNetwork: "n"}
		if project != "" {
			l[labelProject] = project
		}
		tables, err := Resolve(set, Subject{Labels: l}, universe)
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range []identity.ID{300, 301} {
			if got, _ := tables.Egress.Lookup(id, ClassNetwork, addr("10.0.0.1"), Key(ProtocolTCP, 80)); got != want[i] {
				t.Errorf("project %q to %s: got %s", project, id, got)
			}
		}
	}
}

func TestShortFormRefused(t *testing.T) {
	for in, want := range map[string]string{
		"policies: []":                                                             "test.yaml:1: policies: the list has no policy",
		"policies: {}":                                                             "policies: expected a list, found fields",
		"policies: [{for: db, egress: db}]":                                        "policies[0].name: missing",
		"policies: [{name: a, egress: db}]":                                        "policies[0].for: missing: write the containers that it is about",
		"policies: [{name: a, for: db}]":                                           "policies[0]: the policy says nothing",
		"policies: [{name: labels, for: db, egress: db}]":                          "policies[0].name: the name labels stands for the containers' own labels",
		"policies: [{name: a, for: db, egress: []}]":                               "policies[0].egress: the list is empty: write @none",
		"policies: [{name: a, for: db, egres: db}]":                                "policies[0].egres: unknown field, did you mean egress?",
		"policies: [{name: a, for: db, egress: [db, 'web:543x']}]":                 `policies[0].egress[1]="web:543x": column 5: "543x" is neither a port`,
		"policies: [{name: a, for: db, egress: 80}]":                               "policies[0].egress: expected a string, found \"80\": put it into quotes",
		"policies: [{name: a, for: '@lan', egress: db}]":                           `column 1: "@lan" is not about containers`,
		"policies: [{name: a, for: 'app in', egress: db}]":                         "is not a peer",
		"policies: [{name: a, for: db, publish: {http: '@lan'}}]":                  `policies[0].publish.http: not a published port: write 8080, "53/udp", or "*"`,
		"policies: [{name: a, for: db, publish: {80: '@lan:80'}}]":                 "column 5: the published port 80 stands in the key",
		"policies: [{name: a, for: db, rate: {egress: fast}}]":                     `policies[0].rate.egress="fast": column 1: "fast" does not start with a number`,
		"policies: [{name: a, for: db, mode: off}]":                                "policies[0].mode: ",
		"policies: [{name: a, for: db, profile: lock}]":                            `policies[0].profile: "lock" is not a profile, did you mean locked?`,
		"policies: [{name: a, for: db, egress: example.com}]":                      "example.com is a domain, and DNS policy is not available yet",
		"policies: [{name: a, for: db, egress: '@lan:http'}]":                      "only containers have named ports: write 80 for http",
		"policies: [{name: a, for: db, egress: b}, {name: a, for: db, egress: b}]": "policy a stands twice in the file",
		"policies: [{name: a, for: db, egress: b}]\nkind: X":                       "\"X\" is not a policy that Sluice reads",
		"policies: [{name: a, for: db, egress: b}]\nother: 1":                      "other: unknown field, valid here: policies",
	} {
		if p, err := Parse(strings.NewReader(in), "test.yaml"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n got %v, %v\nwant %s", in, p, err, want)
		}
	}
}

// FuzzShortForm: what is read resolves, and is written and read again as the same.
func FuzzShortForm(f *testing.F) {
	for _, seed := range []string{
		"policies: [{name: a, for: shop/db, ingress: 'web:5432', publish: {80: '@lan'}, rate: {egress: 20mbit}, mode: audit}]",
		"policies:\n- name: b\n  for: [\"@any\", app!=x]\n  egress.deny: [\"@internet:{80,443}\"]\n  profile: locked\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		policies, err := Parse(strings.NewReader(text), "fuzz.yaml")
		if err != nil {
			return
		}
		set, err := NewSet(policies...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Resolve(set, Subject{Labels: shop("")}, testUniverse()); err != nil {
			t.Fatal(err)
		}
		short, err := FormatShort(policies...)
		if err != nil {
			return
		}
		back, err := Parse(strings.NewReader(short), "back.yaml")
		if len(policies) > 0 && err != nil {
			t.Fatalf("%v in\n%s", err, short)
		}
		if again, err := FormatShort(back...); err != nil || again != short {
			t.Fatalf("%v: written as\n%s\nthen as\n%s", err, short, again)
		}
	})
}

// FuzzLabels: every label is read or refused with its name, and what is read can be enforced.
func FuzzLabels(f *testing.F) {
	for _, seed := range [][2]string{{"sluice.egress", "db:5432, @lan"}, {"sluice.publish.80/udp", "10.0.0.0/8"}, {"sluice.rate.egress", "1.5gbit/1mb"},
		{"sluice.profile", "balanced"}, {"sluice.port.http", "80/tcp"}, {"sluice.ingress.deny", "label:a in (b)"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		l := shop("")
		l[key] = value
		p, err := LabelPolicy(l)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "label "+LabelPrefix) {
				t.Fatalf("%q=%q: %v", key, value, err)
			}
			return
		}
		if p == nil {
			return
		}
		if _, err := Resolve(nil, Subject{Labels: l, PublishDefault: PublishLAN}, testUniverse()); err != nil {
			t.Fatalf("%q=%q: %v", key, value, err)
		}
		if _, err := FormatLabels(p); err != nil {
			t.Fatalf("%q=%q: %v", key, value, err)
		}
	})
}
