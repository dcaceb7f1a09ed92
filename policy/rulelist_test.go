package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wantRefusal expects one of the problems of a text to be this one.
func wantRefusal(t *testing.T, text string, line int, path, reason string) {
	t.Helper()
	_, err := Parse(strings.NewReader(text), "test.yaml")
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatalf("accepted: %v", err)
	}
	for _, p := range problems {
		if p.Path == path && p.Line == line && strings.Contains(p.Reason, reason) {
			return
		}
	}
	t.Errorf("got\n%v\nwant line %d: %s: …%s…", err, line, path, reason)
}

// guide is a list as Cilium's guide for Docker had it.
const guide = `[{
    "labels": [{"key": "name", "value": "rule1"}],
    "endpointSelector": {"matchLabels": {"app": "db"}},
    "ingress": [{
        "fromEndpoints": [
            {"matchLabels": {"app": "web"}}
        ],
        "toPorts": [{
            "ports": [{"port": "80", "protocol": "tcp"}]
        }]
    }]
}]
`

func TestRuleListMeansWhatTheDocumentMeans(t *testing.T) {
	w := newWorld(t, guide)
	for q, want := range map[ask]Verdict{
		{Ingress, "web", "tcp 80"}: Allow, {Ingress, "other", "tcp 80"}: Allow, {Ingress, "web", "tcp 81"}: Deny,
		{Ingress, "job", "tcp 80"}: Deny, {Ingress, "host", "tcp 80"}: Deny, {Egress, "1.1.1.1", "tcp 443"}: Allow,
	} {
		if got, why := w.judge(t, q); got != want {
			t.Errorf("%v: got %s (%s)", q, got, why)
		}
	}
	if _, got := w.judge(t, ask{Ingress, "web", "tcp 80"}); !strings.Contains(got, "rule1") || !strings.Contains(got, "[0].ingress[0].toPorts[0]") {
		t.Errorf("the rule is called %q", got)
	}
	if at, ok := w.set.Locate(RuleRef{Policy: "rule1", Rule: "[0].ingress[0].toPorts[0]"}); !ok || at.Line != 8 {
		t.Errorf("it is found at %v", at)
	}
}

func TestRuleListNames(t *testing.T) {
	rule := func(labels string) string {
		return "{" + labels + "endpointSelector: {}, ingress: [{}]}"
	}
	type named map[string]int // policy → its rules
	tests := []struct {
		name, file, text string
		want             named
	}{
		{"label as object", "x.json", "[" + rule("labels: [{key: name, value: a}], ") + "]", named{"a": 1}},
		{"with a source", "x.json", "[" + rule("labels: [{source: unspec, key: name, value: a}], ") + "]", named{"a": 1}},
		{"label as string", "x.json", "[" + rule(`labels: ["name=a"], `) + "]", named{"a": 1}},
		{"string with a source", "x.json", "[" + rule(`labels: ["any:name=a", "team=x"], `) + "]", named{"a": 1}},
		{"the label of documents", "x.json", "[" + rule(`labels: ["k8s:io.cilium.k8s.policy.name=a"], `) + "]", named{"a": 1}},
		{"two rules of one name", "x.json", "[" + rule("labels: [{key: name, value: a}], ") + "," + rule(`labels: ["name=a"], `) + "]", named{"a": 2}},
		{"two names", "x.json", "[" + rule("labels: [{key: name, value: a}], ") + "," + rule("labels: [{key: name, value: b}], ") + "]", named{"a": 1, "b": 1}},
		{"the file's name", "dir/l3_l4_policy.json", "[" + rule("") + "," + rule("labels: [{key: team, value: b}], ") + "]", named{"l3_l4_policy": 2}},
		{"YAML", "web.yaml", "- endpointSelector: {}\n  ingress:\n  - {}\n- endpointSelector: {}\n  egress: [{}]\n", named{"web": 2}},
		{"beside documents", "web.yaml", "- endpointSelector: {}\n  ingress: [{}]\n---\n" + document("a", "endpointSelector: {}\ningress: [{}]"), named{"web": 1, "a": 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			policies, err := Parse(strings.NewReader(tt.text), tt.file)
			if err != nil {
				t.Fatal(err)
			}
			got := named{}
			for _, p := range policies {
				got[p.Key()] += len(p.Rules)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRuleListRefusals(t *testing.T) {
	tests := []struct {
		name, text string
		line       int
		path       string
		reason     string
	}{
		{"empty", "[]", 1, "", "no rules"},
		{"not a rule", "- 5", 1, "[0]", "expected a rule"},
		{"documents in a list", "- {kind: CiliumNetworkPolicy}", 1, "[0].kind", "unknown field"},
		{"a rule alone", "{endpointSelector: {}, ingress: [{}]}", 1, "", "in a list"},
		{"L7 of the guide", "- endpointSelector: {}\n  ingress:\n  - toPorts:\n    - ports: [{port: '80', protocol: tcp}]\n      rules:\n        HTTP: [{method: GET, path: /public}]", 6, "[0].ingress[0].toPorts[0].rules.HTTP", "not supported"},
		{"fromRequires", "- endpointSelector: {}\n  ingress:\n  - fromRequires: [{matchLabels: {team: a}}]", 3, "[0].ingress[0].fromRequires", "retired"},
		{"name", "- labels: [{key: name, value: a/b}]\n  endpointSelector: {}\n  ingress: [{}]", 1, "[0].labels[0]", "not a name"},
		{"name missing in the label", "- labels: [name]\n  endpointSelector: {}\n  ingress: [{}]", 1, "[0].labels[0]", "not a name"},
		{"two names", "- labels: [name=a, name=b]\n  endpointSelector: {}\n  ingress: [{}]", 1, "[0].labels[1]", "two names"},
		{"label without key", "- labels: [{value: a}]\n  endpointSelector: {}\n  ingress: [{}]", 1, "[0].labels[0].key", "missing"},
		{"unknown field of a label", "- labels: [{name: a}]\n  endpointSelector: {}\n  ingress: [{}]", 1, "[0].labels[0].name", "unknown field"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantRefusal(t, tt.text, tt.line, tt.path, tt.reason) })
	}
	if _, err := Parse(strings.NewReader("- {endpointSelector: {}, ingress: [{}]}"), "-"); err == nil || !strings.Contains(err.Error(), "give the rule a name") {
		t.Errorf("nameless rules from standard input: %v", err)
	}
}
