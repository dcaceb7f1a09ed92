package integration

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// recipe is an example of a document: what it tells a reader to write, and the truth table of what then holds.
type recipe struct {
	title string
	steps []any // in order: composition, documents, typed, table
}

type (
	// composition is a compose file.
	composition string
	// documents are policies as files have them.
	documents string
	// typed are commands for a shell, one a line.
	typed string
	// table is a truth table.
	table []row
)

// row is one line of a truth table: every of its sources reaches every of its destinations, or does not.
type row struct {
	line     int
	from, to []string
	ports    []port
	verdict  string  // one of those below
	mbit     float64 // if the verdict is a rate
	rule     string  // part of what the deciding rule is called; empty: nothing is said of it
}

// The verdicts of rows.
const (
	allowed = "allowed"
	denied  = "denied"
	audited = "audited" // let through, and reported as what enforcing would drop
	limited = "mbit"    // let through, at a rate
)

// port is how a row's destination is reached: a port of tcp or udp, or ping, by one family or both.
type port struct {
	network string
	number  uint16
	family  int // 4, 6 or, for both, 0
}

func (p port) String() string {
	if p.network == "ping" {
		return p.network
	}
	return fmt.Sprintf("%d/%s", p.number, p.network)
}

// parseRecipes reads the recipes of a Markdown text. A recipe is what stands above a truth table, in fenced blocks
// (yaml compose, yaml, json, sh) or in comments that begin as those would (<!-- yaml compose); commands below the table,
// and further tables, belong to it until the next file or heading. What has no table is no recipe.
func parseRecipes(text string) ([]recipe, error) {
	p := recipeReader{}
	lines := strings.Split(text, "\n")
	for n := 0; n < len(lines); n++ {
		line := lines[n]
		switch {
		case strings.HasPrefix(line, "#"):
			p.end()
			p.current.title = strings.TrimLeft(line, "# ")
		case strings.HasPrefix(line, "```"), blockComment.MatchString(line):
			end := "```"
			if strings.HasPrefix(line, "<") {
				end = "-->"
			}
			from := n + 1
			for n++; n < len(lines) && lines[n] != end; n++ {
			}
			p.block(strings.TrimPrefix(strings.TrimPrefix(line, "```"), "<!-- "), strings.Join(lines[from:n], "\n")+"\n")
		case strings.HasPrefix(strings.ReplaceAll(line, " ", ""), "|from|to|"):
			var rows table
			for n += 2; n < len(lines) && strings.HasPrefix(lines[n], "|"); n++ {
				r, err := parseRow(lines[n], n+1)
				if err != nil {
					return nil, err
				}
				rows = append(rows, r)
			}
			n--
			p.add(rows)
		}
	}
	p.end()
	return p.found, nil
}

// blockComment begins a block that readers of the document are spared.
var blockComment = regexp.MustCompile(`^<!-- (yaml|json|sh)( compose)?$`)

// recipeReader collects recipes.
type recipeReader struct {
	found   []recipe
	current recipe
	tested  bool // the current recipe has a table
}

func (p *recipeReader) block(kind, text string) {
	step := map[string]any{
		"yaml compose": composition(text), "yaml": documents(text), "json": documents(text), "sh": typed(text),
	}[kind]
	if step == nil {
		return
	}
	if kind != "sh" && p.tested {
		p.end()
	}
	p.add(step)
}

func (p *recipeReader) add(step any) {
	p.current.steps = append(p.current.steps, step)
	if _, ok := step.(table); ok {
		p.tested = true
	}
}

// end ends the current recipe. The next one has its title, unless a heading comes.
func (p *recipeReader) end() {
	if p.tested {
		p.found = append(p.found, p.current)
	}
	p.current, p.tested = recipe{title: p.current.title}, false
}

// parseRow reads | from | to | ports | verdict | rule | remark |, without the last or the last two.
func parseRow(line string, number int) (row, error) {
	cells := strings.Split(strings.Trim(strings.ReplaceAll(line, "`", ""), "| "), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	if len(cells) < 4 || len(cells) > 6 {
		return row{}, fmt.Errorf("line %d: a truth table has the columns from, to, ports, verdict and, optionally, rule and a remark", number)
	}
	r := row{line: number, from: items(cells[0]), to: items(cells[1]), verdict: cells[3]}
	if mbit, ok := strings.CutSuffix(r.verdict, limited); ok {
		var err error
		if r.mbit, err = strconv.ParseFloat(mbit, 64); err != nil {
			return row{}, fmt.Errorf("line %d: %q is no rate", number, r.verdict)
		}
		r.verdict = limited
	}
	if !slices.Contains([]string{allowed, denied, audited, limited}, r.verdict) {
		return row{}, fmt.Errorf("line %d: %q is no verdict", number, r.verdict)
	}
	if len(cells) > 4 {
		r.rule = cells[4]
	}
	for _, name := range items(cells[2]) {
		ports, err := parsePorts(name)
		if err != nil {
			return row{}, fmt.Errorf("line %d: %w", number, err)
		}
		r.ports = append(r.ports, ports...)
	}
	return r, nil
}

func items(cell string) []string {
	all := strings.Split(cell, ",")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

// parsePorts reads 80, 80/tcp, 80/udp, 80/any, ping, ping4 and ping6.
func parsePorts(name string) ([]port, error) {
	switch name {
	case "ping":
		return []port{{network: "ping"}}, nil
	case "ping4", "ping6":
		return []port{{network: "ping", family: int(name[4] - '0')}}, nil
	}
	number, network, found := strings.Cut(name, "/")
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%q is no port", name)
	}
	switch {
	case !found || network == "tcp", network == "udp":
		if !found {
			network = "tcp"
		}
		return []port{{network: network, number: uint16(n)}}, nil
	case network == "any":
		return []port{{network: "tcp", number: uint16(n)}, {network: "udp", number: uint16(n)}}, nil
	}
	return nil, fmt.Errorf("%q is no port", name)
}

// ports are all that containers of the recipe must listen on, so that what is denied is denied by policy.
func (r recipe) ports() []uint16 {
	numbers := []uint16{80}
	add := func(number string) {
		if n, err := strconv.ParseUint(number, 10, 16); err == nil {
			numbers = append(numbers, uint16(n))
		}
	}
	for _, step := range r.steps {
		switch step := step.(type) {
		case table:
			for _, row := range step {
				for _, p := range row.ports {
					add(strconv.Itoa(int(p.number)))
				}
			}
		case typed:
			for _, m := range publishOption.FindAllStringSubmatch(string(step), -1) {
				add(m[1])
			}
		case composition:
			for _, s := range step.services() {
				for _, p := range s.Ports {
					p, _, _ = strings.Cut(p, "/")
					add(p[strings.LastIndex(p, ":")+1:])
				}
			}
		}
	}
	slices.Sort(numbers)
	return slices.DeleteFunc(slices.Compact(numbers), func(n uint16) bool { return n == 0 })
}

var publishOption = regexp.MustCompile(`(?:-p|--publish) \S+:(\d+)`)

type composeService struct{ Ports []string }

func (c composition) services() map[string]composeService {
	var file struct{ Services map[string]composeService }
	_ = yaml.Unmarshal([]byte(c), &file) // compose itself says what is wrong
	return file.Services
}

// project is the name that the file gives itself, or shop.
func (c composition) project() string {
	var file struct{ Name string }
	if err := yaml.Unmarshal([]byte(c), &file); err != nil || file.Name == "" {
		return "shop"
	}
	return file.Name
}

// override lets the services run the tests' image, on a Sluice network of both families unless the file names networks.
func (c composition) override(ports []uint16) ([]byte, error) {
	var file struct{ Networks map[string]any }
	if err := yaml.Unmarshal([]byte(c), &file); err != nil {
		return nil, err
	}
	services := map[string]any{}
	for name := range c.services() {
		services[name] = map[string]any{"image": "probe", "command": serveOn(ports), "stop_grace_period": "0s"}
	}
	all := map[string]any{"services": services}
	if file.Networks == nil {
		all["networks"] = map[string]any{"default": map[string]any{
			"driver": "sluice", "enable_ipv6": true, "ipam": map[string]string{"driver": "sluice"},
		}}
	}
	return yaml.Marshal(all)
}

// serveOn is the command that listens on ports, of TCP and UDP.
func serveOn(ports []uint16) []string {
	list := make([]string, len(ports))
	for i, p := range ports {
		list[i] = strconv.Itoa(int(p))
	}
	joined := strings.Join(list, ",")
	return []string{"probe", "serve", "-tcp", joined, "-udp", joined, "-http", ""}
}

var dockerRun = regexp.MustCompile(`(?m)^(docker run .*) \S+$`)

// commands are what is typed, with the tests' image for any other.
func (t typed) commands(ports []uint16) string {
	command := serveOn(ports)
	command[len(command)-1] = "''"
	oneLine := regexp.MustCompile(`\\\n\s*`).ReplaceAllString(string(t), "")
	return dockerRun.ReplaceAllString(oneLine, "${1} probe "+strings.Join(command, " "))
}
