package policy

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestFormatExamples reads every example of docs/policy-formats.md: refused ones must be refused, the rest accepted.
func TestFormatExamples(t *testing.T) {
	text, err := os.ReadFile("../docs/policy-formats.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```(?:yaml|json)( refused)?\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 4 {
		t.Fatalf("only %d examples found", len(blocks))
	}
	for _, b := range blocks {
		if _, err := Parse(strings.NewReader(b[2]), "docs/policy-formats.md"); (err != nil) != (b[1] != "") {
			t.Errorf("%v for\n%s", err, b[2])
		}
	}
}

// FuzzNetworkPolicy: whatever is accepted has the namespace's containers for its subject, closes a direction and
// allows nothing beside its clauses.
func FuzzNetworkPolicy(f *testing.F) {
	for _, tt := range networkPolicies {
		f.Add(tt.spec)
	}
	f.Add("ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]")
	f.Fuzz(func(t *testing.T, spec string) {
		policies, err := Parse(strings.NewReader(networkPolicy(inShop, spec)), "f")
		if err != nil {
			return
		}
		for _, p := range policies {
			if p.Key() != "shop/p" {
				continue // the text ended the document and began another
			}
			for _, r := range p.Rules {
				if !r.Subject.mentionsNamespace() || r.Close == [directions]bool{} {
					t.Errorf("subject %s, closed %v", r.Subject, r.Close)
				}
				for _, c := range r.Clauses {
					if c.Deny || !r.Close[c.Direction] {
						t.Errorf("%s denies %v, its direction is closed %v", c.Path, c.Deny, r.Close[c.Direction])
					}
				}
			}
		}
		if _, err := NewSet(policies...); err != nil {
			t.Error(err)
		}
	})
}

// FuzzRuleList: a list means what a document with its rules as specs means.
func FuzzRuleList(f *testing.F) {
	f.Add(`{"labels": [{"key": "name", "value": "a"}], "endpointSelector": {}, "ingress": [{}]}`)
	f.Add(`{"labels": ["name=b", "x:y=z"], "endpointSelector": {"matchLabels": {"app": "db"}}, "egress": [{"toPorts": [{"ports": [{"port": "0"}]}]}]}`)
	f.Add(`{"labels": [5, {}], "endpointSelector": null}`)
	f.Fuzz(func(t *testing.T, rule string) {
		list, err := Parse(strings.NewReader("["+rule+"]"), "f.json")
		if err != nil || len(list) != 1 || len(list[0].Rules) != 1 {
			return
		}
		doc, err := Parse(strings.NewReader(`{"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "a"}, "specs": [`+rule+"]}"), "f.json")
		if err != nil {
			t.Fatalf("accepted in a list, but not in a document: %v", err)
		}
		a, b := list[0].Rules[0], doc[0].Rules[0]
		if a.Subject.String() != b.Subject.String() || a.Close != b.Close || len(a.Clauses) != len(b.Clauses) {
			t.Errorf("%v\n%v", a, b)
		}
	})
}

// TestFormatEveryProtocol: a port of every protocol is written so that it is read as that again.
func TestFormatEveryProtocol(t *testing.T) {
	p := &Policy{Name: "p", Rules: []Rule{{Close: [directions]bool{Ingress: true}, Clauses: []Clause{{
		Path: "ingress[0]", Direction: Ingress, Peers: []Peer{{Entity: EntityHost}},
		Ports: []PortRule{{Path: "ingress[0].toPorts[0]", Ports: []Port{{AnyProtocol: true, Last: 0xffff}}}},
	}}}}}
	text, err := FormatCNP(p)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, text)
	for _, port := range []string{"icmp 8", "gre 0", "tcp 1"} {
		if got, why := w.judge(t, ask{Ingress, "host", port}); got != Allow {
			t.Errorf("%s: %s (%s) by\n%s", port, got, why, text)
		}
	}
}
