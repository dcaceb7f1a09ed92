package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sluice-net/sluice/observe/export/file"
	"github.com/sluice-net/sluice/observe/export/otlp"
	"github.com/sluice-net/sluice/observe/export/syslog"
)

// Problem is why a file is refused.
type Problem struct {
	File   string
	Line   int // from 1; 0: unknown
	Reason string
}

// Error is "file:line: reason".
func (p Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Reason
	}
	return p.File + ":" + strconv.Itoa(p.Line) + ": " + p.Reason
}

// problemAt is a Problem at a node.
func problemAt(n *yaml.Node, format string, args ...any) error {
	return Problem{Line: n.Line, Reason: fmt.Sprintf(format, args...)}
}

// Parse reads the exports of a file. The error is a Problem.
func Parse(name string, text []byte) ([]Config, error) {
	all, err := parse(text)
	if err == nil {
		return all, nil
	}
	var p Problem
	if !errors.As(err, &p) {
		p = problemOf(err)
	}
	p.File = name
	return nil, p
}

// lineOf finds the line in what the YAML parser says.
var lineOf = regexp.MustCompile(`(?s)^(?:yaml: )?(?:unmarshal errors:\n  )?line (\d+): (.*)$`)

func problemOf(err error) Problem {
	if m := lineOf.FindStringSubmatch(err.Error()); m != nil {
		line, _ := strconv.Atoi(m[1])
		return Problem{Line: line, Reason: strings.TrimSpace(m[2])}
	}
	return Problem{Reason: err.Error()}
}

// document is a file.
type document struct {
	Exports []yaml.Node `yaml:"exports"`
}

func parse(text []byte) ([]Config, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("the file is empty: remove it, or write exports: [] if its exports are to go")
	}
	var all []Config
	for decoder := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var root yaml.Node
		err := decoder.Decode(&root)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		some, err := parseDocument(&root)
		if err != nil {
			return nil, err
		}
		if all = append(all, some...); len(all) > maxExports {
			return nil, fmt.Errorf("there are more than %d exports", maxExports)
		}
	}
}

func parseDocument(root *yaml.Node) ([]Config, error) {
	if root.Kind == yaml.DocumentNode {
		root = root.Content[0]
	}
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" { // nothing but comments
		return nil, nil
	}
	if err := plain(root); err != nil {
		return nil, err
	}
	var d document
	if err := decode(root, "", &d); err != nil {
		return nil, err
	}
	all := make([]Config, 0, len(d.Exports))
	seen := map[string]bool{}
	for i := range d.Exports {
		c, err := parseExport(&d.Exports[i], fmt.Sprintf("exports[%d]", i))
		if err != nil {
			return nil, err
		}
		if seen[c.Name] {
			return nil, problemAt(&d.Exports[i], "exports[%d].name: %s stands twice", i, c.Name)
		}
		seen[c.Name] = true
		all = append(all, c)
	}
	return all, nil
}

// plain refuses what makes a document something other than it looks: aliases, merge keys, keys that stand twice.
func plain(n *yaml.Node) error {
	if n.Kind == yaml.AliasNode {
		return problemAt(n, "aliases are not supported, write the fields out")
	}
	seen := map[string]bool{}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			switch {
			case c.Kind != yaml.ScalarNode || c.Value == "<<":
				return problemAt(c, "keys are plain strings")
			case seen[c.Value]:
				return problemAt(c, "%s stands twice", c.Value)
			}
			seen[c.Value] = true
		}
		if err := plain(c); err != nil {
			return err
		}
	}
	return nil
}

// common are the fields that every export may have.
type common struct {
	Name      string      `yaml:"name"`
	Type      string      `yaml:"type"`
	Include   []yaml.Node `yaml:"include"`
	Exclude   []yaml.Node `yaml:"exclude"`
	FieldMask []string    `yaml:"fieldMask"`
	Batch     Batch       `yaml:"batch"`
}

// Each type's fields stand beside those that all have.
type (
	fileFields struct {
		common      `yaml:",inline"`
		file.Config `yaml:",inline"`
	}
	otlpFields struct {
		common      `yaml:",inline"`
		otlp.Config `yaml:",inline"`
	}
	syslogFields struct {
		common        `yaml:",inline"`
		syslog.Config `yaml:",inline"`
	}
)

// parseExport reads one export.
func parseExport(n *yaml.Node, path string) (c Config, err error) {
	var kind struct {
		Type string `yaml:"type"`
	}
	if n.Kind != yaml.MappingNode {
		return c, problemAt(n, "%s: an export is a list of fields", path)
	}
	if err := n.Decode(&kind); err != nil {
		return c, err
	}
	var fields common
	switch kind.Type {
	case TypeFile:
		var f fileFields
		err = decode(n, path, &f)
		fields, c.File = f.common, &f.Config
	case TypeOTLP:
		var f otlpFields
		err = decode(n, path, &f)
		fields, c.OTLP = f.common, &f.Config
	case TypeSyslog:
		var f syslogFields
		err = decode(n, path, &f)
		fields, c.Syslog = f.common, &f.Config
	default:
		return c, problemAt(n, "%s.type: %q is none of file, otlp and syslog", path, kind.Type)
	}
	if err != nil {
		return c, err
	}
	c.Name, c.Type, c.FieldMask, c.Batch = fields.Name, fields.Type, fields.FieldMask, fields.Batch
	if c.Include, err = filters(fields.Include, path+".include"); err != nil {
		return c, err
	}
	if c.Exclude, err = filters(fields.Exclude, path+".exclude"); err != nil {
		return c, err
	}
	if err = checkName(c.Name); err == nil {
		err = c.check()
	}
	if err != nil {
		return c, problemAt(n, "%s.%v", path, err)
	}
	text, err := yaml.Marshal(n)
	c.text = string(text)
	return c, err
}

// filters reads Hubble's filters, by the rules of protobuf's JSON.
func filters(nodes []yaml.Node, path string) (all []*flowpb.FlowFilter, err error) {
	for i := range nodes {
		var value any
		if err := nodes[i].Decode(&value); err != nil {
			return nil, err
		}
		text, err := json.Marshal(value)
		if err == nil && nodes[i].Kind != yaml.MappingNode {
			err = errors.New("a filter is a list of fields, such as verdict: [DROPPED]")
		}
		f := &flowpb.FlowFilter{}
		if err == nil {
			err = protojson.Unmarshal(text, f)
		}
		if err != nil {
			return nil, problemAt(&nodes[i], "%s[%d]: %s", path, i, protoReason(err))
		}
		all = append(all, f)
	}
	return all, nil
}

// protoPlace is where protobuf finds a fault in a text that nobody sees.
var protoPlace = regexp.MustCompile(`^proto:[\s\x{a0}]*(syntax error )?\(line \d+:\d+\):[\s\x{a0}]*`)

func protoReason(err error) string { return protoPlace.ReplaceAllString(err.Error(), "") }

// decode reads a node into a structure, and refuses fields that it does not have.
func decode(n *yaml.Node, path string, into any) error {
	if err := known(n, path, reflect.TypeOf(into).Elem()); err != nil {
		return err
	}
	return n.Decode(into)
}

var nodeType = reflect.TypeFor[yaml.Node]()

// known refuses fields of a node that a type does not have.
func known(n *yaml.Node, path string, t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == nodeType || reflect.PointerTo(t).Implements(reflect.TypeFor[yaml.Unmarshaler]()):
		return nil
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		for i, c := range n.Content {
			if err := known(c, fmt.Sprintf("%s[%d]", path, i), t.Elem()); err != nil {
				return err
			}
		}
	case t.Kind() == reflect.Struct:
		return knownFields(n, path, fieldsOf(t))
	}
	return nil
}

func knownFields(n *yaml.Node, path string, fields map[string]reflect.Type) error {
	if n.Kind != yaml.MappingNode {
		return problemAt(n, "%s", strings.TrimPrefix(path+": expected fields", ": "))
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		t, ok := fields[key.Value]
		if !ok {
			names := make([]string, 0, len(fields))
			for name := range fields {
				names = append(names, name)
			}
			slices.Sort(names)
			return problemAt(key, "%s: unknown field, there are %s", at, strings.Join(names, ", "))
		}
		if err := known(n.Content[i+1], at, t); err != nil {
			return err
		}
	}
	return nil
}

// fieldsOf returns the types of a structure's fields by their names in YAML.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	all := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if options == "inline" {
			for name, t := range fieldsOf(f.Type) {
				all[name] = t
			}
			continue
		}
		all[name] = f.Type
	}
	return all
}
