package listen

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// ErrDenied: the caller showed nothing that lets it in.
var ErrDenied = errors.New("a bearer token is needed, and a known one")

// minToken is the shortest token that is taken, bytes.
const minToken = 16

// networkScope starts the parts of a scope that are networks; others are namespaces.
const networkScope = "network:"

// Access is what a caller may see. The zero value is everything.
type Access struct {
	scoped     bool
	namespaces []string
	networks   []string
}

// Scoped reports whether the caller may see only a part.
func (a *Access) Scoped() bool { return a != nil && a.scoped }

// Sees reports whether the caller may see what is in a namespace and on a network.
func (a *Access) Sees(namespace, network string) bool {
	return !a.Scoped() || slices.Contains(a.namespaces, namespace) || (network != "" && slices.Contains(a.networks, network))
}

type accessKey struct{}

// WithAccess returns a context that says what its caller may see.
func WithAccess(ctx context.Context, a *Access) context.Context {
	return context.WithValue(ctx, accessKey{}, a)
}

// AccessOf returns what the caller may see, nil (everything) if the context does not say.
func AccessOf(ctx context.Context) *Access {
	a, _ := ctx.Value(accessKey{}).(*Access)
	return a
}

// Tokens are the bearer tokens of a file, which is read again when it changes.
type Tokens struct {
	path string

	mu    sync.Mutex
	seen  os.FileInfo
	known map[[sha256.Size]byte]*Access // by hash: what is looked up tells nothing of how near a guess is
}

// ReadTokens reads a file of tokens: in each line a token, and behind it what it lets see, namespaces and network:NAME
// with commas between them; nothing behind it means everything. Empty lines and those that begin with # say nothing. The
// file must not be readable by everybody.
func ReadTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path}
	if err := t.refresh(); err != nil {
		return nil, err
	}
	return t, nil
}

// refresh reads the file if it changed. The caller holds the lock, or nobody else has the tokens yet.
func (t *Tokens) refresh() error {
	info, err := os.Stat(t.path)
	if err != nil {
		return fmt.Errorf("read tokens: %w", err)
	}
	if t.seen != nil && sameFiles([]os.FileInfo{info}, []os.FileInfo{t.seen}) {
		return nil
	}
	if info.Mode().Perm()&0o007 != 0 {
		return fmt.Errorf("read tokens %s: everybody may read it: chmod o= it", t.path)
	}
	text, err := os.ReadFile(t.path)
	if err != nil {
		return fmt.Errorf("read tokens: %w", err)
	}
	known, err := parseTokens(string(text))
	if err != nil {
		return fmt.Errorf("read tokens %s: %w", t.path, err)
	}
	t.seen, t.known = info, known
	return nil
}

// parseTokens reads the text of a file of tokens.
func parseTokens(text string) (map[[sha256.Size]byte]*Access, error) {
	known := map[[sha256.Size]byte]*Access{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if len(words) > 2 {
			return nil, fmt.Errorf("line %d: a token and, behind it, its scope with commas are expected", number)
		}
		if len(words[0]) < minToken {
			return nil, fmt.Errorf("line %d: the token is shorter than %d characters: openssl rand -hex 32 makes one", number, minToken)
		}
		access := &Access{}
		if len(words) == 2 {
			if err := access.restrict(words[1]); err != nil {
				return nil, fmt.Errorf("line %d: %w", number, err)
			}
		}
		known[sha256.Sum256([]byte(words[0]))] = access
	}
	if len(known) == 0 {
		return nil, errors.New("it has no token")
	}
	return known, nil
}

// restrict reads a scope.
func (a *Access) restrict(scope string) error {
	a.scoped = true
	for part := range strings.SplitSeq(scope, ",") {
		network, ok := strings.CutPrefix(part, networkScope)
		switch {
		case part == "" || network == "":
			return fmt.Errorf("scope %q has an empty part", scope)
		case ok:
			a.networks = append(a.networks, network)
		default:
			a.namespaces = append(a.namespaces, part)
		}
	}
	return nil
}

// access returns what the token of an Authorization header lets see: a bearer token, or the password of basic
// authentication, which is what some clients can send. A file that became unreadable lets nobody in.
func (t *Tokens) access(authorization string) (*Access, error) {
	token, ok := bearer(authorization)
	if !ok {
		return nil, ErrDenied
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.refresh(); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrDenied, err)
	}
	if a, ok := t.known[sha256.Sum256([]byte(token))]; ok {
		return a, nil
	}
	return nil, ErrDenied
}

// bearer returns the token of an Authorization header.
func bearer(authorization string) (string, bool) {
	scheme, value, ok := strings.Cut(authorization, " ")
	if !ok {
		return "", false
	}
	value = strings.TrimSpace(value)
	switch strings.ToLower(scheme) {
	case "bearer":
		return value, value != ""
	case "basic":
		text, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return "", false
		}
		_, password, ok := strings.Cut(string(text), ":")
		return password, ok && password != ""
	}
	return "", false
}
