package policy

import (
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/identity"
)

// The labels that peers of the grammar stand for.
const (
	labelProject = identity.LabelProject
	labelService = identity.LabelService
	labelNetwork = identity.LabelNetwork
	labelName    = identity.LabelName
)

// parseLabels reads requirements on labels: k=v, k!=v, k in (a, b), k notin (a, b), k (it exists), !k (it does not),
// joined by &; or * for every container.
func parseLabels(text string, at int) (*Selector, *fault) {
	if strings.TrimSpace(text) == "*" {
		return &Selector{}, nil
	}
	var requirements []Requirement
	for {
		end := indexOutside(text, '&')
		part := text
		if end >= 0 {
			part = text[:end]
		}
		r, f := parseRequirement(part, at)
		if f != nil {
			return nil, f
		}
		requirements = append(requirements, r)
		if end < 0 {
			s := NewSelector(requirements...)
			return &s, nil
		}
		text, at = text[end+1:], at+end+1
	}
}

func parseRequirement(text string, at int) (Requirement, *fault) {
	w := words{text: text, at: at}
	w.blanks()
	absent := w.take("!")
	start := w.position()
	key, f := w.word("!=&()")
	if f != nil {
		return Requirement{}, f
	}
	if key == "" {
		return Requirement{}, faultf(start, "a label's key is missing: write label:KEY=VALUE, label:KEY, label:!KEY or label:KEY in (A, B)")
	}
	r := Requirement{Operator: Exists}
	if r.Key, f = labelOf(key, start); f != nil {
		return r, f
	}
	w.blanks()
	switch {
	case absent:
		r.Operator = DoesNotExist
	case w.take("!="):
		r.Operator = NotIn
		r.Values, f = w.one()
	case w.take("==") || w.take("="):
		r.Operator = In
		r.Values, f = w.one()
	case w.take("notin"):
		r.Operator = NotIn
		r.Values, f = w.several()
	case w.take("in"):
		r.Operator = In
		r.Values, f = w.several()
	}
	if f != nil {
		return r, f
	}
	if w.blanks(); w.text != "" {
		return r, faultf(w.position(), "%s is not expected here: after a key comes =, !=, in (…), notin (…) or nothing; join requirements by &", shorten(w.text))
	}
	return r, nil
}

// labelOf is the key that identities use, if containers can have it.
func labelOf(key string, at int) (string, *fault) {
	switch normal := strings.TrimPrefix(identity.NormaliseKey(key), "k8s:"); {
	case normal == LabelNamespace:
		return normal, nil
	case identity.IsNoise(normal):
		return "", faultf(at, "policy does not see the label %s, for it differs between containers that are alike", shorten(key))
	}
	return identity.NormaliseKey(key), nil
}

// words reads a text from its start.
type words struct {
	text string // what is left
	at   int    // of the start of text in the value
}

func (w *words) position() int { return w.at }

func (w *words) advance(n int) { w.text, w.at = w.text[n:], w.at+n }

func (w *words) blanks() { w.advance(len(w.text) - len(strings.TrimLeft(w.text, " \t"))) }

func (w *words) take(token string) bool {
	if !strings.HasPrefix(w.text, token) {
		return false
	}
	w.advance(len(token))
	return true
}

// word reads a quoted string, or what reaches to a blank or one of these characters.
func (w *words) word(until string) (string, *fault) {
	if strings.HasPrefix(w.text, `"`) {
		quoted, err := strconv.QuotedPrefix(w.text)
		if err != nil {
			return "", faultf(w.at, "the quoted word is not valid")
		}
		w.advance(len(quoted))
		word, _ := strconv.Unquote(quoted)
		return word, nil
	}
	end := strings.IndexAny(w.text, until+" \t,")
	if end < 0 {
		end = len(w.text)
	}
	word := w.text[:end]
	w.advance(end)
	return word, nil
}

func (w *words) one() ([]string, *fault) {
	w.blanks()
	value, f := w.word("&()")
	return []string{value}, f
}

func (w *words) several() ([]string, *fault) {
	w.blanks()
	if !w.take("(") {
		return nil, faultf(w.at, "values stand in parentheses: in (a, b)")
	}
	var values []string
	for {
		w.blanks()
		value, f := w.word("()")
		if f != nil {
			return nil, f
		}
		values = append(values, value)
		w.blanks()
		switch {
		case w.take(","):
		case w.take(")"):
			return slices.Clip(values), nil
		default:
			return nil, faultf(w.at, "a comma or a closing parenthesis is missing")
		}
	}
}
