package listen

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"

	"golang.org/x/net/netutil"
)

// MaxConnections is how many connections a listener has at once, unless it is told otherwise; further ones wait.
const MaxConnections = 256

// unixScheme starts the addresses of unix sockets; an absolute path is one, too.
const unixScheme = "unix://"

// Options say where to listen and who may come.
type Options struct {
	// Address is HOST:PORT of TCP, or the path of a unix socket (also as unix:///path).
	Address string
	// Group may use the unix socket, by name or number; empty: root's.
	Group string
	// TLS are the files of TLS. Without them TCP listens on loopback addresses only.
	TLS Files
	// TokenFile has the bearer tokens of callers (see ReadTokens); empty: there are none.
	TokenFile string
	// Anonymous lets callers in that show neither a certificate nor a token.
	Anonymous bool
	// Connections is how many there are at once; 0: MaxConnections.
	Connections int
	// Protocols are what TLS offers for the application (ALPN), the preferred one first.
	Protocols []string
}

// Listener is an open socket. What comes from Accept is plain: see Secure.
type Listener struct {
	net.Listener
	// TLS is nil on a unix socket, and on loopback without TLS.
	TLS    *tls.Config
	tokens *Tokens
	local  bool // a unix socket: who may open it may see everything
	open   bool // anonymous callers may
}

// IsUnix reports whether an address is that of a unix socket, and returns its path.
func IsUnix(address string) (path string, ok bool) {
	if path, ok = strings.CutPrefix(address, unixScheme); ok {
		return path, true
	}
	return address, filepath.IsAbs(address)
}

// Open listens. It refuses an address that would let strangers see what is served; the error says what is missing.
func Open(o Options) (*Listener, error) {
	l, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", o.Address, err)
	}
	limit := o.Connections
	if limit == 0 {
		limit = MaxConnections
	}
	l.Listener = netutil.LimitListener(l.Listener, limit)
	return l, nil
}

func open(o Options) (*Listener, error) {
	if path, ok := IsUnix(o.Address); ok {
		inner, err := Unix(path, o.Group)
		return &Listener{Listener: inner, local: true}, err
	}
	l := &Listener{open: o.Anonymous}
	if err := check(o); err != nil {
		return nil, err
	}
	var err error
	if o.TokenFile != "" {
		if l.tokens, err = ReadTokens(o.TokenFile); err != nil {
			return nil, err
		}
	}
	if o.TLS.Cert != "" {
		if l.TLS, err = o.TLS.config(o.Protocols, o.TokenFile != "" || o.Anonymous); err != nil {
			return nil, err
		}
	}
	if l.Listener, err = net.Listen("tcp", o.Address); err != nil {
		return nil, err
	}
	if a, ok := l.Addr().(*net.TCPAddr); l.TLS == nil && (!ok || !a.IP.IsLoopback()) { // a name may be any address
		return nil, errors.Join(errNotLoopback, l.Close())
	}
	return l, nil
}

var (
	errNotLoopback = errors.New("without TLS only loopback addresses are served: name 127.0.0.1 or [::1], or give a certificate and its key")
	errOpenToAll   = errors.New("everybody who reaches it would see all flows: name the CA of client certificates, or a file of tokens")
)

// Check refuses options that Open would, as far as that is known without opening anything.
func Check(o Options) error {
	if _, ok := IsUnix(o.Address); ok {
		return nil
	}
	if err := check(o); err != nil {
		return fmt.Errorf("listen on %s: %w", o.Address, err)
	}
	return nil
}

// check is Check for TCP.
func check(o Options) error {
	host, port, err := net.SplitHostPort(o.Address)
	switch {
	case err != nil:
		return fmt.Errorf("%w: use HOST:PORT, or the path of a unix socket", err)
	case port == "":
		return errors.New("the port is missing: use HOST:PORT")
	case (o.TLS.Cert == "") != (o.TLS.Key == ""):
		return errors.New("certificate and key go together: name both files")
	case o.TLS.ClientCA != "" && o.TLS.Cert == "":
		return errors.New("a CA of clients needs TLS: name a certificate and its key")
	case o.TLS.Cert == "" && !mayBeLoopback(host):
		return errNotLoopback
	case !o.Anonymous && o.TLS.ClientCA == "" && o.TokenFile == "":
		return errOpenToAll
	}
	return nil
}

// mayBeLoopback reports whether a host is a loopback address, or a name, which only listening tells.
func mayBeLoopback(host string) bool {
	if host == "" {
		return false
	}
	ip := net.ParseIP(host)
	return ip == nil || ip.IsLoopback()
}

// Secure returns the listener with TLS around its connections where there is TLS: what an HTTP server takes.
func (l *Listener) Secure() net.Listener {
	if l.TLS == nil {
		return l
	}
	return tls.NewListener(l, l.TLS)
}

// Authorize returns what a caller may see who sent an Authorization header, empty if none, over a connection whose TLS is
// given, nil if it has none. The error is ErrDenied, wrapped if it is the tokens that cannot be read, which is for the log
// and not for the caller.
func (l *Listener) Authorize(authorization string, state *tls.ConnectionState) (*Access, error) {
	switch {
	case l.local:
		return &Access{}, nil
	case state != nil && len(state.VerifiedChains) > 0:
		return &Access{}, nil
	case authorization != "" && l.tokens != nil:
		return l.tokens.access(authorization)
	case l.open:
		return &Access{}, nil
	}
	return nil, ErrDenied
}

// Handler asks every request for its right to come and keeps it in the request's context (see AccessOf). Who has none gets
// status 401.
func (l *Listener) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access, err := l.Authorize(r.Header.Get("Authorization"), r.TLS)
		if err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, ErrDenied.Error(), http.StatusUnauthorized) // what is wrong on this side is no stranger's business
			return
		}
		next.ServeHTTP(w, r.WithContext(WithAccess(r.Context(), access)))
	})
}
