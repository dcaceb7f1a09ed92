package integration

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const cookbook = `# Title
text
## One
` + "```yaml compose" + `
name: data
services:
  db: {ports: ["5432:5433", "53:54/udp"]}
` + "```" + `
| from | to | port | | rule |
|---|---|---|---|---|
| web, cron | ` + "`db`" + ` | 5432, 53/udp, 7/any, ping, ping6 | denied | ` + "`sluice.ingress`" + ` |

` + "```sh" + `
docker run -d --name web -p 8080:81 \
  -l a=b nginx
` + "```" + `
| from | to | port | at most |
|---|---|---|---|
| web | db | 80 | 2.5mbit |
` + "```yaml" + `
policies: []
` + "```" + `
no table
## Two
<!-- yaml compose
services: {a: {}}
-->
| a | table | of something else |
|---|---|---|
| from | nothing | else |
<!-- yaml
policies: []
| from | to | port | |
-->
| from | to | port | |
|---|---|---|---|
| a | host | 7000 | allowed |
`

func TestParseRecipes(t *testing.T) {
	got, err := parseRecipes(cookbook)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].title != "One" || got[1].title != "Two" {
		t.Fatalf("got %+v", got)
	}
	one, two := got[0], got[1]
	if len(one.steps) != 4 || len(two.steps) != 3 {
		t.Fatalf("the first has %d steps, the second %d", len(one.steps), len(two.steps))
	}
	if c := one.steps[0].(composition); c.project() != "data" || two.steps[0].(composition).project() != "shop" {
		t.Errorf("projects: %s, %s", c.project(), two.steps[0].(composition).project())
	}
	first := one.steps[1].(table)[0]
	if strings.Join(first.from, "+") != "web+cron" || first.to[0] != "db" || first.verdict != denied || first.rule != "sluice.ingress" {
		t.Errorf("got %+v", first)
	}
	want := []port{{"tcp", 5432, 0}, {"udp", 53, 0}, {"tcp", 7, 0}, {"udp", 7, 0}, {network: "ping"}, {network: "ping", family: 6}}
	if !slices.Equal(first.ports, want) {
		t.Errorf("got %v", first.ports)
	}
	if last := one.steps[3].(table)[0]; last.verdict != limited || last.mbit != 2.5 {
		t.Errorf("got %+v", last)
	}
	if ports := one.ports(); !slices.Equal(ports, []uint16{7, 53, 54, 80, 81, 5432, 5433}) {
		t.Errorf("it listens on %v", ports)
	}
	typed := one.steps[2].(typed).commands([]uint16{80, 443})
	if typed != "docker run -d --name web -p 8080:81 -l a=b probe probe serve -tcp 80,443 -udp 80,443 -http ''\n" {
		t.Errorf("typed is %q", typed)
	}
}

func TestParseRecipesRefuses(t *testing.T) {
	for _, line := range []string{
		"| a | b | 80 |", "| a | b | http | allowed |", "| a | b | 80 | perhaps |", "| a | b | 80/icmp | allowed |",
		"| a | b | 80 | fastmbit |", "| a | b | 70000 | allowed |", "| a | b | 80 | allowed | rule | remark | more |",
	} {
		if _, err := parseRecipes("| from | to | port | |\n|---|---|---|---|\n" + line + "\n"); err == nil || !strings.Contains(err.Error(), "line 3") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// TestExamplesAreTried: every example of the documents about policy has a truth table.
func TestExamplesAreTried(t *testing.T) {
	for _, name := range []string{"cookbook", "policy", "policy-formats"} {
		text, err := os.ReadFile("../docs/" + name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		recipes, err := parseRecipes(string(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		tried := 0
		for _, r := range recipes {
			for _, step := range r.steps {
				switch step.(type) {
				case composition, documents:
					tried++
				}
			}
		}
		blocks := regexp.MustCompile("(?m)^(```|<!-- )(yaml|json)( compose)?$").FindAllString(string(text), -1)
		if len(blocks) == 0 || tried != len(blocks) {
			t.Errorf("%s has %d examples, of which %d are in a recipe with a truth table", name, len(blocks), tried)
		}
	}
}
