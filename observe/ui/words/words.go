package words

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/sluice-net/sluice/observe"
)

// Bounds of a filter.
const (
	maxLength = 1024
	maxTerms  = 32
)

// Filter is what was typed. The zero value lets every flow pass.
type Filter struct {
	terms []term
	types bool // a term asks for types
}

// term is one word. Values are alternatives.
type term struct {
	key    string // empty: free text
	side   side
	not    bool
	values []value
}

// side is the end of a flow that a term is about.
type side int

const (
	either side = iota
	source
	destination
)

// value is one alternative, in the form that its key needs.
type value struct {
	text    string // lower case, as it was typed otherwise
	pattern []string
	prefix  netip.Prefix
	number  uint64
	is      func(f *observe.Flow) bool
}

// aliases are other names of keys.
var aliases = map[string]string{
	"container": "pod", "project": "namespace", "proto": "protocol", "workload": "service", "drop-reason": "reason",
	"drop-reason-desc": "reason", "address": "ip", "addr": "ip", "fqdn": "dns", "ns": "namespace", "snat-ip": "snat",
}

// sided are the keys that from- and to- may stand before.
var sided = []string{"pod", "namespace", "service", "ip", "port", "label", "identity", "dns", "any"}

// whole are the keys of a flow as a whole.
var whole = []string{"verdict", "type", "protocol", "reason", "policy", "reply", "network", "seq"}

// Keys returns the keys that a filter may have, for help and completion.
func Keys() []string {
	keys := append(slices.Clone(whole), "from", "to")
	for _, k := range sided {
		if k != "any" {
			keys = append(keys, k, "from-"+k, "to-"+k)
		}
	}
	slices.Sort(keys)
	return keys
}

// Parse reads a filter. What it refuses it explains.
func Parse(text string) (Filter, error) {
	if len(text) > maxLength {
		return Filter{}, fmt.Errorf("read filter: it is longer than %d characters", maxLength)
	}
	var f Filter
	for _, word := range split(text) {
		t, err := parseTerm(word)
		if err != nil {
			return Filter{}, err
		}
		f.types = f.types || t.key == "type"
		if f.terms = append(f.terms, t); len(f.terms) > maxTerms {
			return Filter{}, fmt.Errorf("read filter: it has more than %d words", maxTerms)
		}
	}
	return f, nil
}

// split cuts text at spaces that are not between quotation marks, which it takes away.
func split(text string) (words []string) {
	var word strings.Builder
	quoted, begun := false, false
	for _, r := range text {
		switch {
		case r == '"':
			quoted, begun = !quoted, true
		case unicode.IsSpace(r) && !quoted:
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words
}

func parseTerm(word string) (t term, err error) {
	word, t.not = strings.CutPrefix(word, "!")
	key, values, hasKey := strings.Cut(word, ":")
	known := false
	if hasKey {
		t.key, t.side, known = parseKey(strings.ToLower(key))
	}
	if !known { // an IPv6 address, or any other text
		t.key, t.side, values = "", either, word
		t.values = []value{{text: strings.ToLower(values)}}
		return t, nil
	}
	for _, v := range strings.Split(values, ",") {
		if v = strings.TrimSpace(v); v == "" {
			continue
		}
		parsed, err := parseValue(t.key, v)
		if err != nil {
			return t, err
		}
		t.values = append(t.values, parsed)
	}
	if len(t.values) == 0 {
		return t, fmt.Errorf("read filter: %s: has no value", key)
	}
	return t, nil
}

// parseKey knows from and to, which are about any name or address of an end, and the keys before which they stand.
func parseKey(key string) (name string, s side, known bool) {
	switch key {
	case "from":
		return "any", source, true
	case "to":
		return "any", destination, true
	}
	if rest, ok := strings.CutPrefix(key, "from-"); ok {
		key, s = rest, source
	} else if rest, ok := strings.CutPrefix(key, "to-"); ok {
		key, s = rest, destination
	}
	if alias, ok := aliases[key]; ok {
		key = alias
	}
	return key, s, slices.Contains(sided, key) && key != "any" || s == either && slices.Contains(whole, key)
}

func parseValue(key, text string) (v value, err error) {
	v.text = strings.ToLower(text)
	v.pattern = strings.Split(v.text, "*")
	switch key {
	case "verdict", "type":
		choices := map[string]map[string]func(*observe.Flow) bool{"verdict": verdicts, "type": types}[key]
		if v.is = choices[v.text]; v.is == nil {
			return v, fmt.Errorf("read filter: %s:%s: use %s", key, text, strings.Join(names(choices), ", "))
		}
	case "ip":
		if v.prefix, err = parsePrefix(text); err != nil {
			return v, fmt.Errorf("read filter: %s:%s: use an address or a prefix such as 10.0.0.0/8", key, text)
		}
	case "port", "identity", "seq":
		bits := map[string]int{"port": 16, "identity": 32, "seq": 64}[key]
		if v.number, err = strconv.ParseUint(text, 10, bits); err != nil && !(key == "identity" && reserved[v.text] != 0) {
			return v, fmt.Errorf("read filter: %s:%s: use a number", key, text)
		}
		if n := reserved[v.text]; key == "identity" && n != 0 {
			v.number = n
		}
	case "reply":
		if v.text != "true" && v.text != "false" {
			return v, fmt.Errorf("read filter: reply:%s: use true or false", text)
		}
	}
	return v, nil
}

// reserved are identities with names.
var reserved = map[string]uint64{"host": 1, "world": 2}

func parsePrefix(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func names(choices map[string]func(*observe.Flow) bool) []string {
	var out []string
	for name := range choices {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
