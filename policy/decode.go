package policy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ErrInvalid is what every Problem is, for errors.Is.
var ErrInvalid = errors.New("policy not accepted")

// Problem is one thing in a document that is refused.
type Problem struct {
	File string
	Line int    // from 1; 0: unknown
	Path string // of the field: "spec.egress[0].toFQDNs", or the label; empty: the document
	// Column is the place in Value, in characters from 1; 0: the reason is about the field as a whole.
	Column int
	Value  string // what stands there, where Column is not 0, or of a label
	Reason string
}

// Error is "file:line: path: reason", for labels "label key=value: column 5: reason".
func (p Problem) Error() string {
	if p.File == "" && p.Line == 0 {
		return "label " + p.Message()
	}
	return Source{File: p.File, Line: p.Line}.String() + ": " + p.Message()
}

// Message is the error without the file and the line.
func (p Problem) Message() string {
	var b strings.Builder
	if p.Path != "" {
		b.WriteString(p.Path)
		if p.Value != "" {
			b.WriteString("=" + shorten(p.Value))
		}
		b.WriteString(": ")
	}
	if p.Column > 0 {
		fmt.Fprintf(&b, "column %d: ", p.Column)
	}
	b.WriteString(p.Reason)
	return b.String()
}

// Is makes errors.Is(problem, ErrInvalid) true.
func (p Problem) Is(target error) bool { return target == ErrInvalid }

// Problems are all that is wrong with a file, in the order of its lines. At most maxProblems are kept.
type Problems []Problem

const maxProblems = 50

// Error has one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Is makes errors.Is(problems, ErrInvalid) true.
func (p Problems) Is(target error) bool { return target == ErrInvalid }

// decoder walks YAML nodes, which know their lines, and collects problems.
type decoder struct {
	file     string
	problems Problems
	visits   int // bounds what aliases can multiply
}

const maxVisits = 1 << 20

func (d *decoder) fail(n *yaml.Node, path, format string, args ...any) {
	if len(d.problems) < maxProblems {
		d.problems = append(d.problems, Problem{File: d.file, Line: n.Line, Path: path, Reason: fmt.Sprintf(format, args...)})
	}
}

// follow replaces an alias by what it stands for and counts the visit; nil when there is too much to visit.
func (d *decoder) follow(n *yaml.Node, path string) *yaml.Node {
	if d.visits++; d.visits > maxVisits {
		if d.visits == maxVisits+1 {
			d.fail(n, path, "the document expands to more than %d values", maxVisits)
		}
		return nil
	}
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// fields are the known keys of a mapping. A key with a reason is refused for it.
type fields map[string]field

type field struct {
	read    func(n *yaml.Node, path string)
	refused string
}

func read(f func(n *yaml.Node, path string)) field { return field{read: f} }
func refuse(reason string) field                   { return field{refused: reason} }
func ignore() field                                { return field{read: func(*yaml.Node, string) {}} }

// mapping reads a mapping's fields; null values count as absent. It reports whether the node is a mapping.
func (d *decoder) mapping(n *yaml.Node, path string, known fields) bool {
	if n = d.follow(n, path); n == nil {
		return false
	}
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "expected fields, found %s", describe(n))
		return false
	}
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		if first, dup := seen[key.Value]; dup {
			d.fail(key, at, "the field stands twice, first in line %d", first)
			continue
		}
		seen[key.Value] = key.Line
		f, ok := known[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode:
			d.fail(key, path, "field names are plain strings")
		case key.Value == "<<":
			d.fail(key, at, "merge keys are not supported, write the fields out")
		case !ok:
			d.fail(key, at, "unknown field%s", suggest(key.Value, known.names()))
		case f.refused != "":
			if v := d.follow(value, at); v != nil && !isNull(v) {
				d.fail(key, at, "cannot be enforced: %s", f.refused)
			}
		default:
			if v := d.follow(value, at); v != nil && !isNull(v) {
				f.read(v, at)
			}
		}
	}
	return true
}

func (f fields) names() []string {
	names := make([]string, 0, len(f))
	for name, known := range f {
		if known.refused == "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// list reads the items of a sequence.
func (d *decoder) list(n *yaml.Node, path string, item func(n *yaml.Node, path string)) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n, path, "expected a list, found %s", describe(n))
		return
	}
	for i, c := range n.Content {
		at := path + "[" + strconv.Itoa(i) + "]"
		v := d.follow(c, at)
		if v == nil {
			return
		}
		if isNull(v) {
			d.fail(v, at, "empty item: remove it, or write {} for an item without fields")
			continue
		}
		item(v, at)
	}
}

// text reads a string; numbers and booleans count as what is written.
func (d *decoder) text(n *yaml.Node, path string) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, path, "expected a string, found %s", describe(n))
		return "", false
	}
	return n.Value, true
}

// str reads what YAML takes for a string, as Kubernetes does: an unquoted 5 or true is refused.
func (d *decoder) str(n *yaml.Node, path string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && n.Tag != "!!timestamp" {
		d.fail(n, path, "expected a string, found %s: put it into quotes", describe(n))
		return "", false
	}
	return n.Value, true
}

func (d *decoder) boolean(n *yaml.Node, path string) (value, ok bool) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Decode(&value) != nil {
		d.fail(n, path, "expected true or false, found %s", describe(n))
		return false, false
	}
	return value, true
}

func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "fields"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		return "the string " + shorten(n.Value)
	}
	return shorten(n.Value)
}

func shorten(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strconv.Quote(s)
}

func join(path, key string) string {
	if len(key) > 60 {
		key = key[:60] + "…"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// suggest is ", did you mean X?" for the nearest candidate, else the list of a few candidates, or nothing.
func suggest(word string, candidates []string) string {
	best, distance := "", len(word)/2+2
	for _, c := range candidates {
		n := editDistance(strings.ToLower(word), strings.ToLower(c), distance+1)
		if n < distance || n == distance && best != "" && word != "" && c[0] == word[0] && best[0] != word[0] {
			best, distance = c, n
		}
	}
	switch {
	case best != "":
		return ", did you mean " + best + "?"
	case len(candidates) > 0:
		return ", valid here: " + strings.Join(candidates, ", ")
	}
	return ""
}

// editDistance is the number of insertions, deletions and replacements between two words (Levenshtein), or limit if
// it is not below limit.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			above := row[j]
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above+1, row[j-1]+1, diagonal+cost)
			diagonal = above
		}
	}
	return min(row[len(b)], limit)
}
