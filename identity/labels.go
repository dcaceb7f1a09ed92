package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a set of labels, after noise is left out. They bound the memory of an identity and the length of its
// record in the store.
const (
	MaxLabels     = 256
	MaxKeyLength  = 256
	MaxValueBytes = 4096
	MaxTotalBytes = 64 << 10
)

// Errors of sets of labels, wrapped with the offending key.
var (
	ErrTooMany  = errors.New("too many labels")
	ErrTooLong  = errors.New("label too long")
	ErrBadLabel = errors.New("invalid label")
)

// Labels are a container's labels as policy sees them: key → value, keys without a source prefix.
type Labels map[string]string

// Clone copies the set; a nil set gives an empty one.
func (l Labels) Clone() Labels {
	c := make(Labels, len(l))
	maps.Copy(c, l)
	return c
}

// Equal tells whether both sets have the same keys with the same values. Nil equals empty.
func (l Labels) Equal(other Labels) bool { return maps.Equal(l, other) }

// Keys are the keys in ascending order.
func (l Labels) Keys() []string { return slices.Sorted(maps.Keys(l)) }

// String is the canonical form: key=value pairs in ascending order of keys, separated by commas. A key or value
// that has other characters than letters, digits and ._/:@+- is quoted as in Go. Equal sets have equal strings, and
// ParseLabels reads them back.
func (l Labels) String() string {
	var b strings.Builder
	for i, key := range l.Keys() {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(Quote(key))
		b.WriteByte('=')
		b.WriteString(Quote(l[key]))
	}
	return b.String()
}

// Hash is 128 bits of SHA-256 over the canonical form, in hexadecimal.
func (l Labels) Hash() string {
	sum := sha256.Sum256([]byte(l.String()))
	return hex.EncodeToString(sum[:16])
}

// Validate checks the limits and that keys and values are text: valid UTF-8, keys neither empty nor with control
// characters or surrounding blanks. The error wraps ErrTooMany, ErrTooLong or ErrBadLabel.
func (l Labels) Validate() error {
	if len(l) > MaxLabels {
		return fmt.Errorf("check labels: %w: %d, at most %d count for policy", ErrTooMany, len(l), MaxLabels)
	}
	total := 0
	for _, key := range l.Keys() {
		if err := validateLabel(key, l[key]); err != nil {
			return fmt.Errorf("check label %s: %w", abbreviate(key), err)
		}
		total += len(key) + len(l[key])
	}
	if total > MaxTotalBytes {
		return fmt.Errorf("check labels: %w: %d bytes together, at most %d count for policy", ErrTooLong, total, MaxTotalBytes)
	}
	return nil
}

func validateLabel(key, value string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: the key is empty", ErrBadLabel)
	case len(key) > MaxKeyLength:
		return fmt.Errorf("%w: the key has %d bytes, at most %d", ErrTooLong, len(key), MaxKeyLength)
	case len(value) > MaxValueBytes:
		return fmt.Errorf("%w: the value has %d bytes, at most %d", ErrTooLong, len(value), MaxValueBytes)
	case !utf8.ValidString(key) || !utf8.ValidString(value):
		return fmt.Errorf("%w: not UTF-8", ErrBadLabel)
	case strings.TrimSpace(key) != key || strings.ContainsFunc(key, isControl):
		return fmt.Errorf("%w: the key has blanks around it or control characters", ErrBadLabel)
	}
	return nil
}

// ParseLabels reads the canonical form (see String), in any order of keys. A key without "=" has the empty value.
// A key that occurs twice is an error, so are the limits of Validate.
func ParseLabels(s string) (Labels, error) {
	l := Labels{}
	for rest := s; rest != ""; {
		key, after, err := scanToken(rest)
		if err != nil {
			return nil, fmt.Errorf("parse labels %s: %w", abbreviate(s), err)
		}
		value := ""
		if v, ok := strings.CutPrefix(after, "="); ok {
			if value, after, err = scanToken(v); err != nil {
				return nil, fmt.Errorf("parse labels %s: %w", abbreviate(s), err)
			}
		}
		if _, dup := l[key]; dup {
			return nil, fmt.Errorf("parse labels %s: %w: key %q occurs twice", abbreviate(s), ErrBadLabel, key)
		}
		l[key] = value
		next, ok := strings.CutPrefix(after, ",")
		if after != "" && (!ok || next == "") {
			return nil, fmt.Errorf("parse labels %s: %w: key=value pairs are separated by commas", abbreviate(s), ErrBadLabel)
		}
		rest = next
	}
	if err := l.Validate(); err != nil {
		return nil, err
	}
	return l, nil
}

// scanToken reads a quoted or plain key or value at the start of s and returns what follows it.
func scanToken(s string) (token, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, "=,")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], nil
	}
	quoted, err := strconv.QuotedPrefix(s)
	if err != nil {
		return "", "", fmt.Errorf("%w: quote not closed", ErrBadLabel)
	}
	token, err = strconv.Unquote(quoted)
	if err != nil {
		return "", "", fmt.Errorf("%w: bad quoting", ErrBadLabel)
	}
	return token, s[len(quoted):], nil
}

// Quote writes a key or value as the canonical form does: as it is where it is plain, else quoted as in Go.
func Quote(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !isPlain(r) }) {
		return strconv.Quote(s)
	}
	return s
}

func isPlain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._/:@+-", r)
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// abbreviate quotes s for an error message, cut to a length that fits a line.
func abbreviate(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strconv.Quote(s)
}
