package listen

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/internal/testutil"
)

const serverName = "host-a.example"

func TestOpenRefuses(t *testing.T) {
	certs := testutil.NewCertificates(t, serverName)
	tokens := tokenFile(t, "0123456789abcdef\n", 0o600)
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"no port":                         {Options{Address: "127.0.0.1", TokenFile: tokens}, "use HOST:PORT"},
		"an empty port":                   {Options{Address: "127.0.0.1:", TokenFile: tokens}, "port is missing"},
		"a relative path":                 {Options{Address: "run/x.sock"}, "use HOST:PORT"},
		"everywhere without TLS":          {Options{Address: ":4244", TokenFile: tokens}, "without TLS only loopback"},
		"an address without TLS":          {Options{Address: "192.0.2.1:4244", TokenFile: tokens}, "without TLS only loopback"},
		"IPv6 without TLS":                {Options{Address: "[::]:4244", TokenFile: tokens}, "without TLS only loopback"},
		"without TLS for everybody":       {Options{Address: "0.0.0.0:4244", Anonymous: true}, "without TLS only loopback"},
		"loopback without a token":        {Options{Address: "127.0.0.1:0"}, "everybody who reaches it"},
		"TLS without a CA and tokens":     {Options{Address: ":0", TLS: Files{Cert: certs.ServerCert, Key: certs.ServerKey}}, "everybody who reaches it"},
		"a certificate without its key":   {Options{Address: ":0", TLS: Files{Cert: certs.ServerCert}}, "certificate and key go together"},
		"a CA without a certificate":      {Options{Address: "127.0.0.1:0", TLS: Files{ClientCA: certs.CA}}, "name a certificate"},
		"a certificate that is not there": {Options{Address: ":0", TLS: Files{Cert: "/none", Key: "/none", ClientCA: certs.CA}}, "no such file"},
		"a CA that is none":               {Options{Address: ":0", TLS: Files{certs.ServerCert, certs.ServerKey, certs.ServerKey}}, "no certificate in PEM"},
		"tokens that are not there":       {Options{Address: "127.0.0.1:0", TokenFile: "/none"}, "no such file"},
		"an unknown group":                {Options{Address: filepath.Join(t.TempDir(), "s"), Group: "no such group"}, "find group"},
	} {
		if l, err := Open(c.o); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.o.Address) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
			if l != nil {
				l.Close()
			}
		}
	}
}

func TestOpenUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := Open(Options{Address: "unix://" + path, Group: "0"})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != DefaultMode {
		t.Errorf("socket has %v, %v", info.Mode(), err)
	}
	if a, err := l.Authorize("", nil); err != nil || a.Scoped() {
		t.Errorf("who opens the socket: %v, %v", a, err)
	}
	if l.Secure() != net.Listener(l) {
		t.Error("a unix socket has TLS")
	}
	l.Close()
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is left behind")
	}
}

// get asks an HTTP server behind a listener.
func get(t *testing.T, l *Listener, conf *tls.Config, authorization string) (int, error) {
	t.Helper()
	scheme := "http"
	if conf != nil {
		scheme = "https"
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://"+l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err
}

// serve answers on a listener what the caller may see.
func serve(t *testing.T, o Options) *Listener {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !AccessOf(r.Context()).Sees("shop", "") {
			w.WriteHeader(http.StatusForbidden)
		}
	}))}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l.Secure()) }()
	t.Cleanup(func() { server.Close(); <-done })
	return l
}

func TestTLS(t *testing.T) {
	certs := testutil.NewCertificates(t, serverName)
	tokens := tokenFile(t, "0123456789abcdef other\n", 0o600)
	files := Files{Cert: certs.ServerCert, Key: certs.ServerKey, ClientCA: certs.CA}
	known := &tls.Config{RootCAs: certs.Pool, ServerName: serverName, Certificates: []tls.Certificate{certs.Client}}
	unknown := &tls.Config{RootCAs: certs.Pool, ServerName: serverName}
	old := known.Clone()
	old.MaxVersion = tls.VersionTLS12
	only := serve(t, Options{Address: "127.0.0.1:0", TLS: files})
	both := serve(t, Options{Address: "127.0.0.1:0", TLS: files, TokenFile: tokens})
	everybody := serve(t, Options{Address: "127.0.0.1:0", TLS: Files{Cert: files.Cert, Key: files.Key}, Anonymous: true})
	for name, c := range map[string]struct {
		l     *Listener
		conf  *tls.Config
		token string
		want  int // 0: no connection
	}{
		"a certificate":                        {only, known, "", 200},
		"none":                                 {only, unknown, "", 0},
		"an old TLS":                           {only, old, "", 0},
		"no TLS":                               {only, nil, "", 400},
		"a certificate where tokens are taken": {both, known, "", 200},
		"a token":                              {both, unknown, "Bearer 0123456789abcdef", 403},
		"neither":                              {both, unknown, "", 401},
		"nobody in particular":                 {everybody, unknown, "", 200},
	} {
		if got, err := get(t, c.l, c.conf, c.token); got != c.want {
			t.Errorf("%s: status %d, %v, want %d", name, got, err, c.want)
		}
	}
}

// Certificates are read again when their files change; files that cannot be used leave those before in use.
func TestTLSReloads(t *testing.T) {
	certs, later := testutil.NewCertificates(t, serverName), testutil.NewCertificates(t, serverName)
	l := serve(t, Options{Address: "127.0.0.1:0", TLS: Files{Cert: certs.ServerCert, Key: certs.ServerKey}, Anonymous: true})
	answers := func(c *testutil.Certificates) bool {
		got, _ := get(t, l, &tls.Config{RootCAs: c.Pool, ServerName: serverName}, "")
		return got == 200
	}
	if !answers(certs) || answers(later) {
		t.Fatal("the server does not have its first certificate")
	}
	replace(t, later.ServerCert, certs.ServerCert)
	if !answers(certs) {
		t.Error("with half a change, the certificate before is gone")
	}
	replace(t, later.ServerKey, certs.ServerKey)
	if !answers(later) {
		t.Error("the new certificate is not used")
	}
	if err := os.Remove(certs.ServerCert); err != nil {
		t.Fatal(err)
	}
	if !answers(later) {
		t.Error("without its file, the certificate is gone")
	}
}

func replace(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(to+".new", to); err != nil {
		t.Fatal(err)
	}
}

// More connections than the limit wait.
func TestConnectionsAreBounded(t *testing.T) {
	l, err := Open(Options{Address: "127.0.0.1:0", Anonymous: true, Connections: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 2)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	for range 2 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first := <-accepted
	select {
	case <-accepted:
		t.Fatal("a second connection is accepted")
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	select {
	case c := <-accepted:
		c.Close()
	case <-time.After(5 * time.Second):
		t.Error("the second connection is never accepted")
	}
}

func TestHandlerOfUnix(t *testing.T) {
	l := &Listener{local: true}
	w := httptest.NewRecorder()
	l.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != 200 {
		t.Errorf("status %d", w.Code)
	}
}
