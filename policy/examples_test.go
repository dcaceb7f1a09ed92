package policy

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-net/sluice/identity"
)

const referencePath = "../docs/policy.md"

func reference(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReferenceExamples reads every YAML block of docs/policy.md: refused ones must be refused, the rest accepted.
func TestReferenceExamples(t *testing.T) {
	blocks := regexp.MustCompile("(?ms)^```yaml( refused)?\n(.*?)^```$").FindAllStringSubmatch(reference(t), -1)
	if len(blocks) < 6 {
		t.Fatalf("only %d examples found", len(blocks))
	}
	for _, b := range blocks {
		policies, err := Parse(strings.NewReader(b[2]), "docs/policy.md")
		switch {
		case b[1] != "" && err == nil:
			t.Errorf("accepted, but marked as refused:\n%s", b[2])
		case b[1] == "" && err != nil:
			t.Errorf("%v in\n%s", err, b[2])
		case b[1] == "" && len(policies) == 0:
			t.Errorf("no policy in\n%s", b[2])
		}
	}
}

// TestReferenceLabels reads the labels of every compose example, those of the cookbook too.
func TestReferenceLabels(t *testing.T) {
	cookbook, err := os.ReadFile("../docs/cookbook.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```yaml compose\n(.*?)^```$").FindAllStringSubmatch(reference(t)+string(cookbook), -1)
	services := 0
	for _, b := range blocks {
		var file struct {
			Services map[string]struct{ Labels map[string]string }
		}
		if err := yaml.Unmarshal([]byte(b[1]), &file); err != nil {
			t.Fatalf("%v in\n%s", err, b[1])
		}
		for name, service := range file.Services {
			services++
			l := identity.Labels{labelProject: "shop", labelService: name, labelNetwork: "front"}
			own := false
			for key, value := range service.Labels {
				l[key] = value
				own = own || strings.HasPrefix(key, LabelPrefix) && !strings.HasPrefix(key, prefixPort)
			}
			if p, err := LabelPolicy(l); err != nil || p == nil && own {
				t.Errorf("%s: %v, %v", name, p, err)
			}
		}
	}
	if len(blocks) < 4 || services < 10 {
		t.Errorf("only %d examples with %d services", len(blocks), services)
	}
}

// TestReferenceIsComplete: what the code knows by name stands in docs/policy.md.
func TestReferenceIsComplete(t *testing.T) {
	text := reference(t)
	var words []string
	words = append(words, identity.NoiseLabels()...)
	for _, names := range icmpTypes {
		for name := range names {
			words = append(words, name)
		}
	}
	for e := range entityClasses {
		words = append(words, "`"+string(e)+"`")
	}
	for name := range groups {
		words = append(words, "`@"+name+"`")
	}
	for _, key := range LabelKeys() {
		words = append(words, "`"+key+"`")
	}
	words = append(words, presetNames[1:]...)
	words = append(words, enforcementNames[:]...)
	for e := range entityRefusals {
		words = append(words, "`"+e+"`")
	}
	for name := range protocolNames {
		words = append(words, "`"+protocolName(protocolNames[name])+"`")
	}
	words = append(words, operatorNames[:]...)
	for _, m := range modeNames {
		words = append(words, "sluice.policy="+m)
	}
	for _, deny := range []bool{false, true} {
		for d := range directions {
			r := &clauseReader{reader: &reader{}, c: &Clause{Direction: d, Deny: deny}}
			for name := range r.fields() {
				words = append(words, "`"+name+"`")
			}
		}
	}
	slices.Sort(words)
	for _, w := range slices.Compact(words) {
		if !strings.Contains(text, w) {
			t.Errorf("%s does not mention %s", referencePath, w)
		}
	}
}

func TestExampleFiles(t *testing.T) {
	files, err := filepath.Glob("../contrib/examples/policies/*")
	if err != nil || len(files) < 4 {
		t.Fatalf("found %v, %v", files, err)
	}
	more, err := filepath.Glob("../contrib/examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	compose, err := filepath.Glob("../contrib/examples/compose/*/policies.yaml")
	if err != nil || len(compose) == 0 {
		t.Fatalf("found %v, %v", compose, err)
	}
	for _, file := range append(more, compose...) {
		if text, err := os.ReadFile(file); err == nil && bytes.Contains(text, []byte(apiVersion)) {
			files = append(files, file)
		}
	}
	var all []*Policy
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		policies, err := Parse(bytes.NewReader(text), file)
		if err != nil {
			t.Error(err)
		}
		if len(policies) == 0 {
			t.Errorf("%s has no policy", file)
		}
		if filepath.Base(filepath.Dir(file)) == "policies" {
			all = append(all, policies...)
		}
	}
	if _, err := NewSet(all...); err != nil {
		t.Errorf("together: %v", err)
	}
}

// TestExampleDatabase: the example does what its comment says.
func TestExampleDatabase(t *testing.T) {
	text, err := os.ReadFile("../contrib/examples/policies/database.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, string(text))
	member := func(service string) identity.Labels {
		return identity.Labels{identity.LabelProject: "shop", identity.LabelService: service, identity.LabelNetwork: "front"}
	}
	w.universe = NewUniverse(KnownIdentity{ID: idWeb, Labels: member("web")}, KnownIdentity{ID: idJob, Labels: member("job")})
	w.subject = Subject{Labels: member("db")}
	for _, tt := range []struct {
		q    ask
		want Verdict
	}{
		{ask{Ingress, "web", "tcp 5432"}, Allow}, {ask{Ingress, "web", "tcp 22"}, Deny}, {ask{Ingress, "job", "tcp 5432"}, Deny},
		{ask{Ingress, "host", "tcp 5432"}, Deny}, {ask{Egress, "1.1.1.1", "tcp 443"}, Deny}, {ask{Egress, "web", "tcp 80"}, Deny},
	} {
		if got, why := w.judge(t, tt.q); got != tt.want {
			t.Errorf("%v: got %s (%s)", tt.q, got, why)
		}
	}
}
