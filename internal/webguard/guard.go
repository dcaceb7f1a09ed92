package webguard

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// LoginPath is where a token is exchanged for a cookie: by the query token=, or by a form.
const LoginPath = "/login"

const (
	sessionTime = 12 * time.Hour
	maxSessions = 256
	minToken    = 16 // characters
)

// Options say what a Guard lets through.
type Options struct {
	// Token is asked for; empty: it is not, for example on a unix socket, whose file has permissions.
	Token string
	// Once makes the token void when it was exchanged.
	Once bool
	// Hosts are names by which the page may be asked for, beside addresses and localhost.
	Hosts []string
	// Secure says that the page is served by TLS.
	Secure bool
	Now    func() time.Time // nil: time.Now
}

// Guard decides who may see a page.
type Guard struct {
	o  Options
	mu sync.Mutex
	// token is the hash of the token, nil when it is void.
	token    []byte
	sessions map[[sha256.Size]byte]time.Time // by hash: when they end
}

// New returns a guard.
func New(o Options) *Guard {
	if o.Now == nil {
		o.Now = time.Now
	}
	g := &Guard{o: o, sessions: map[[sha256.Size]byte]time.Time{}}
	if o.Token != "" {
		sum := sha256.Sum256([]byte(o.Token))
		g.token = sum[:]
	}
	return g
}

// NewToken makes a token that nobody guesses.
func NewToken() string { return rand.Text() }

// ReadToken reads the token of a file that only its owner, or a group, can read.
func ReadToken(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return "", fmt.Errorf("read token: everybody may use file %s: chmod o= %s", path, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < minToken {
		return "", fmt.Errorf("read token: file %s has fewer than %d characters: openssl rand -hex 24 makes a good one", path, minToken)
	}
	return token, nil
}

// Wrap returns a handler that serves the page to those who may see it.
func (g *Guard) Wrap(page http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.origin(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		switch {
		case g.o.Token == "":
			page.ServeHTTP(w, r)
		case r.URL.Path == LoginPath:
			g.login(w, r)
		case g.known(r):
			page.ServeHTTP(w, r)
		case r.URL.Path == "/":
			showLogin(w, http.StatusUnauthorized, "")
		default:
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "show page: it takes a token; go to "+LoginPath, http.StatusUnauthorized)
		}
	})
}

// origin refuses names that are not the page's, and requests that another page made.
func (g *Guard) origin(r *http.Request) error {
	if !g.hostIsOurs(r.Host) {
		return fmt.Errorf("show page: it is not called %q here; use localhost, an address, or a configured name", hostname(r.Host))
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
			return errors.New("show page: another page asked for it")
		}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate" {
		return errors.New("show page: another page asked for it")
	}
	return nil
}

// hostIsOurs: an address cannot be rebound, a name can.
func (g *Guard) hostIsOurs(host string) bool {
	name := strings.ToLower(hostname(host))
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || slices.ContainsFunc(g.o.Hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// known reports whether a request has a session, or the token itself, as scripts do.
func (g *Guard) known(r *http.Request) bool {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return !g.o.Once && g.isToken(bearer)
	}
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return false
	}
	sum := sha256.Sum256([]byte(cookie.Value))
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.o.Now().Before(g.sessions[sum])
}

// isToken compares in constant time.
func (g *Guard) isToken(text string) bool {
	sum := sha256.Sum256([]byte(text))
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.token != nil && subtle.ConstantTimeCompare(sum[:], g.token) == 1
}

// login exchanges a token for a cookie.
func (g *Guard) login(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("token")
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, 4096)
		token = r.PostFormValue("token")
	}
	switch {
	case token == "":
		showLogin(w, http.StatusOK, "")
		return
	case !g.isToken(token):
		showLogin(w, http.StatusUnauthorized, "This token is not valid. One that was made for a single use may have been used before.")
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: g.begin(), Path: "/", MaxAge: int(sessionTime.Seconds()), HttpOnly: true, Secure: g.o.Secure,
		SameSite: http.SameSiteStrictMode,
	})
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// begin makes a session.
func (g *Guard) begin() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.o.Now()
	var first [sha256.Size]byte
	for sum, end := range g.sessions {
		if !now.Before(end) {
			delete(g.sessions, sum)
		} else if g.sessions[first].IsZero() || end.Before(g.sessions[first]) {
			first = sum
		}
	}
	if len(g.sessions) >= maxSessions {
		delete(g.sessions, first)
	}
	if g.o.Once {
		g.token = nil
	}
	id := rand.Text()
	g.sessions[sha256.Sum256([]byte(id))] = now.Add(sessionTime)
	return id
}

// cookieName has the port in it: browsers send one host's cookies to all its ports.
func cookieName(r *http.Request) string {
	_, port, _ := net.SplitHostPort(r.Host)
	return "sluice" + port
}
