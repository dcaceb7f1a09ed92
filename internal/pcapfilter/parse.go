package pcapfilter

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
)

// Filter tells whether frames match. It is safe for concurrent use.
type Filter struct{ match predicate }

type predicate func(f *frame) bool

// Match tells whether a frame, of which the first bytes are there, and which was so long, matches.
func (f *Filter) Match(b []byte, length int) bool {
	parsed := parse(b, length)
	return f.match(&parsed)
}

// Resolve returns the addresses of a name, none if it is not known.
type Resolve func(name string) []netip.Addr

// mostWords bounds a filter.
const mostWords = 1000

// Parse reads a filter; an empty one matches every frame. Names of hosts are resolved once.
func Parse(text string, resolve Resolve) (*Filter, error) {
	words := split(text)
	if len(words) == 0 {
		return &Filter{func(*frame) bool { return true }}, nil
	}
	if len(words) > mostWords {
		return nil, fmt.Errorf("read filter: %d words, at most %d", len(words), mostWords)
	}
	p := &parser{words: words, resolve: resolve}
	match, err := p.expression()
	if err == nil && p.at < len(words) {
		err = p.unexpected("and, or")
	}
	if err != nil {
		return nil, fmt.Errorf("read filter %q: %w", text, err)
	}
	return &Filter{match}, nil
}

// split cuts a filter into words; brackets and operators stand for themselves.
func split(text string) (words []string) {
	flush := func(word string) string {
		if word != "" {
			words = append(words, word)
		}
		return ""
	}
	word := ""
	for rest := text; rest != ""; {
		r := rune(rest[0])
		switch {
		case strings.HasPrefix(rest, "&&"), strings.HasPrefix(rest, "||"):
			word = flush(word)
			words = append(words, map[byte]string{'&': "and", '|': "or"}[rest[0]])
			rest = rest[1:]
		case unicode.IsSpace(r):
			word = flush(word)
		case r == '(' || r == ')' || r == '!' || r == '[' || r == ']' || r == '&' || r == '=' || r == '<' || r == '>':
			word = flush(word)
			words = append(words, string(r))
		default:
			word += rest[:1]
		}
		rest = rest[1:]
	}
	flush(word)
	return words
}

// parser reads the words from the first to the last.
type parser struct {
	words   []string
	at      int
	depth   int
	resolve Resolve
	last    *qualifiers // of the primitive before: a value alone means these
}

// mostNested bounds parentheses and negations.
const mostNested = 50

func (p *parser) peek() string {
	if p.at < len(p.words) {
		return p.words[p.at]
	}
	return ""
}

func (p *parser) take(words ...string) bool {
	if slices.Contains(words, p.peek()) && p.at < len(p.words) {
		p.at++
		return true
	}
	return false
}

func (p *parser) unexpected(want string) error {
	if p.at >= len(p.words) {
		return fmt.Errorf("it ends where %s should follow", want)
	}
	if w := p.peek(); strings.ContainsAny(w, "[]&=<>") {
		return fmt.Errorf("%q: offsets, flags and arithmetic are not supported", w)
	}
	return fmt.Errorf("%q stands where %s should", p.peek(), want)
}

// expression reads terms; and and or bind alike, from left to right, as pcap has it.
func (p *parser) expression() (predicate, error) {
	left, err := p.term()
	for err == nil {
		var right predicate
		switch before := left; {
		case p.take("and"):
			if right, err = p.term(); err == nil {
				left = func(f *frame) bool { return before(f) && right(f) }
			}
		case p.take("or"):
			if right, err = p.term(); err == nil {
				left = func(f *frame) bool { return before(f) || right(f) }
			}
		default:
			return left, nil
		}
	}
	return nil, err
}

func (p *parser) term() (predicate, error) {
	if p.depth++; p.depth > mostNested {
		return nil, errors.New("it is nested too deeply")
	}
	defer func() { p.depth-- }()
	switch {
	case p.take("not", "!"):
		inner, err := p.term()
		if err != nil {
			return nil, err
		}
		return func(f *frame) bool { return !inner(f) }, nil
	case p.take("("):
		inner, err := p.expression()
		if err == nil && !p.take(")") {
			err = p.unexpected(")")
		}
		return inner, err
	}
	return p.primitive()
}

// Anybody is a Resolve that knows every name, for those who check a filter without knowing names.
func Anybody(string) []netip.Addr { return []netip.Addr{netip.IPv4Unspecified()} }
