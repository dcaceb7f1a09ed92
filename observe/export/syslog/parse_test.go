package syslog

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/leodido/go-syslog/v4/rfc5424"
)

// parsed is a message as a receiver reads it.
type parsed struct {
	*rfc5424.SyslogMessage
	class, name string
	severity    int
	fields      map[string]string // nil unless the text is CEF
}

// parse reads a message strictly: RFC 5424 by another's parser, the text as CEF if it begins so.
func parse(t testing.TB, text []byte) parsed {
	t.Helper()
	m, err := rfc5424.NewParser().Parse(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	p := parsed{SyslogMessage: m.(*rfc5424.SyslogMessage)}
	if p.Message == nil {
		t.Fatalf("%q has no text", text)
	}
	if !strings.HasPrefix(*p.Message, "CEF:") {
		return p
	}
	if p.class, p.name, p.severity, p.fields, err = parseCEF(*p.Message); err != nil {
		t.Fatalf("%q: %v", *p.Message, err)
	}
	return p
}

// parseCEF reads an event by the rules of the format: seven header fields in which | and \ are escaped, then key=value with
// spaces between, where values escape = and \ and write line breaks as \n and \r.
func parseCEF(s string) (class, name string, severity int, fields map[string]string, err error) {
	if !utf8.ValidString(s) || strings.ContainsAny(s, "\n\r") {
		return "", "", 0, nil, errors.New("not a line of UTF-8")
	}
	var head []string
	rest := s
	for len(head) < 7 {
		value, after, ok := cutUnescaped(rest, '|')
		if !ok {
			return "", "", 0, nil, fmt.Errorf("only %d header fields", len(head))
		}
		if value, err = unescape(value, `|\`); err != nil {
			return "", "", 0, nil, err
		}
		head, rest = append(head, value), after
	}
	if head[0] != "CEF:0" || head[1] == "" || head[2] == "" || head[3] == "" {
		return "", "", 0, nil, fmt.Errorf("header %q", head)
	}
	if severity, err = strconv.Atoi(head[6]); err != nil || severity < 0 || severity > 10 {
		return "", "", 0, nil, fmt.Errorf("severity %q", head[6])
	}
	fields, err = parseExtension(rest)
	return head[4], head[5], severity, fields, err
}

// key is what may stand before an equals sign.
var key = regexp.MustCompile(`^[a-zA-Z0-9_]+$`)

func parseExtension(s string) (map[string]string, error) {
	fields := map[string]string{}
	name, rest, ok := cutUnescaped(s, '=')
	for ok {
		if !key.MatchString(name) {
			return nil, fmt.Errorf("key %q", name)
		}
		value, after, more := cutUnescaped(rest, '=')
		next := ""
		if more { // the value ends before the last space: what follows is the next key
			i := strings.LastIndexByte(value, ' ')
			if i < 0 {
				return nil, fmt.Errorf("no space before the key after %s", name)
			}
			value, next = value[:i], value[i+1:]
		}
		value, err := unescape(value, `=\nr`)
		if err != nil {
			return nil, err
		}
		if _, twice := fields[name]; twice || value == "" {
			return nil, fmt.Errorf("field %s twice, or empty", name)
		}
		fields[name] = value
		name, rest, ok = next, after, more
	}
	return fields, nil
}

// cutUnescaped cuts before the first separator without a backslash before it.
func cutUnescaped(s string, separator byte) (before, after string, ok bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case separator:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// unescape undoes escapes of the characters that may be escaped, and of no others.
func unescape(s, may string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) || !strings.Contains(may, s[i:i+1]) {
			return "", fmt.Errorf("escape at %d of %q", i, s)
		}
		switch s[i] {
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}
