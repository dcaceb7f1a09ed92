package filter

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/observe/hubble/convert"
)

// A selector is what Kubernetes calls one: requirements with commas between them, all of which hold.
//
//	key            !key
//	key=value      key==value      key!=value
//	key in (a, b)  key notin (a, b)
//	key>1          key<1
//
// Keys may have a source before them (k8s:app); without, or with any:, a label of any source counts.

// requirement is one part of a selector.
type requirement struct {
	source, key string // source "": any
	op          string // exists, !, in, notin, >, <
	values      []string
	number      int64
}

// anySource is what stands for no source.
const anySource = "any"

// labels matches the ends that a selector selects.
func labels(e end) func(string, *converter) (predicate, error) {
	return func(s string, c *converter) (predicate, error) {
		selector, err := parseSelector(s)
		if err != nil {
			return nil, err
		}
		return func(f *flow) bool { return selects(selector, c.Labels(e(f))) }, nil
	}
}

// nodeLabels matches all flows or none: all are of one node.
func nodeLabels(s string, c *converter) (predicate, error) {
	selector, err := parseSelector(s)
	if err != nil {
		return nil, err
	}
	var own []convert.Label
	for _, l := range c.NodeLabels() {
		key, value, _ := strings.Cut(l, "=")
		own = append(own, convert.Label{Key: key, Value: value})
	}
	match := selects(selector, own)
	return func(*flow) bool { return match }, nil
}

// selects reports whether all requirements hold.
func selects(selector []requirement, have []convert.Label) bool {
	for i := range selector {
		if !selector[i].holds(have) {
			return false
		}
	}
	return true
}

// holds reports whether labels are as required. Where several have the key, one that is in the list suffices, and none may
// be in a list that is excluded.
func (r *requirement) holds(have []convert.Label) bool {
	present, in := false, false
	for i := range have {
		l := &have[i]
		if l.Key != r.key || (r.source != "" && l.Source != r.source) {
			continue
		}
		present = true
		in = in || slices.Contains(r.values, l.Value) || r.compares(l.Value)
	}
	switch r.op {
	case "exists":
		return present
	case "!":
		return !present
	case "notin":
		return !in
	}
	return in
}

// compares reports whether a number is greater or less than the required one, where one is.
func (r *requirement) compares(value string) bool {
	if r.op != ">" && r.op != "<" {
		return false
	}
	n, err := strconv.ParseInt(value, 10, 64)
	return err == nil && (r.op == ">" && n > r.number || r.op == "<" && n < r.number)
}

// parseSelector reads a selector.
func parseSelector(s string) ([]requirement, error) {
	p := &selectorParser{rest: s}
	var all []requirement
	for {
		r, err := p.requirement()
		if err != nil {
			return nil, fmt.Errorf("read label selector %q: %w", s, err)
		}
		all = append(all, r)
		switch token := p.next(); token {
		case "":
			return all, nil
		case ",":
		default:
			return nil, fmt.Errorf("read label selector %q: %q where a comma is expected", s, token)
		}
	}
}

type selectorParser struct{ rest string }

// special are the characters that are tokens, alone or two together.
const special = "(),!=<>"

// next takes a token: a special one, a word, or nothing at the end.
func (p *selectorParser) next() string {
	p.rest = strings.TrimLeft(p.rest, " \t")
	if p.rest == "" {
		return ""
	}
	n := strings.IndexAny(p.rest, special+" \t")
	switch {
	case n < 0:
		n = len(p.rest)
	case n == 0 && (strings.HasPrefix(p.rest, "==") || strings.HasPrefix(p.rest, "!=")):
		n = 2
	case n == 0:
		n = 1
	}
	token := p.rest[:n]
	p.rest = p.rest[n:]
	return token
}

// peek returns the token that next will take.
func (p *selectorParser) peek() string {
	before := *p
	token := p.next()
	*p = before
	return token
}

func isWord(token string) bool { return token != "" && !strings.ContainsAny(token[:1], special) }

func (p *selectorParser) requirement() (r requirement, err error) {
	token := p.next()
	if token == "!" {
		r.op, token = "!", p.next()
	}
	if !isWord(token) {
		return r, errors.New("a key is missing")
	}
	r.key = token
	if from, key, ok := strings.Cut(token, ":"); ok {
		r.source, r.key = from, key
	}
	if r.source == anySource {
		r.source = ""
	}
	switch {
	case r.key == "":
		return r, fmt.Errorf("%q has no key", token)
	case r.op == "!":
		return r, nil
	}
	return r, p.condition(&r)
}

// condition reads what stands behind a key.
func (p *selectorParser) condition(r *requirement) (err error) {
	switch op := p.peek(); op {
	case "", ",":
		r.op = "exists"
	case "=", "==", "!=":
		p.next()
		r.op, r.values = "in", []string{p.value()}
		if op == "!=" {
			r.op = "notin"
		}
	case "in", "notin":
		p.next()
		r.op = op
		r.values, err = p.list()
	case ">", "<":
		p.next()
		r.op = op
		if r.number, err = strconv.ParseInt(p.value(), 10, 64); err != nil {
			err = fmt.Errorf("behind %s a number is expected", op)
		}
	default:
		err = fmt.Errorf("%q behind the key %s is no operator", op, r.key)
	}
	return err
}

// value takes a value, which may be empty.
func (p *selectorParser) value() string {
	if isWord(p.peek()) {
		return p.next()
	}
	return ""
}

// list takes values in parentheses.
func (p *selectorParser) list() ([]string, error) {
	if p.next() != "(" {
		return nil, errors.New("a list in parentheses is expected")
	}
	values := []string{p.value()}
	for {
		switch p.next() {
		case ")":
			return values, nil
		case ",":
			values = append(values, p.value())
		default:
			return nil, errors.New("a list is not closed")
		}
	}
}
