package webguard

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const token = "0123456789abcdef"

// page says whether a request reached it.
var page = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })

func ask(h http.Handler, method, target string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "127.0.0.1:4245"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestNamesAndOrigins(t *testing.T) {
	h := New(Options{Hosts: []string{"sluice.example"}}).Wrap(page)
	for _, c := range []struct {
		host, header, value string
		want                int
	}{
		{"127.0.0.1:4245", "", "", http.StatusTeapot},
		{"[::1]:4245", "", "", http.StatusTeapot},
		{"[::1]", "", "", http.StatusTeapot},
		{"localhost:4245", "", "", http.StatusTeapot},
		{"Sluice.example", "", "", http.StatusTeapot},
		{"evil.example:4245", "", "", http.StatusForbidden}, // a name that was bound to this address
		{"127.0.0.1.evil.example", "", "", http.StatusForbidden},
		{"", "", "", http.StatusForbidden},
		{"localhost:4245", "Origin", "http://localhost:4245", http.StatusTeapot},
		{"localhost:4245", "Origin", "http://localhost:80", http.StatusForbidden},
		{"localhost:4245", "Origin", "null", http.StatusForbidden},
		{"localhost:4245", "Sec-Fetch-Site", "cross-site", http.StatusForbidden},
		{"localhost:4245", "Sec-Fetch-Site", "same-origin", http.StatusTeapot},
	} {
		w := ask(h, "GET", "/", func(r *http.Request) {
			r.Host = c.host
			if c.header != "" {
				r.Header.Set(c.header, c.value)
			}
		})
		if w.Code != c.want {
			t.Errorf("host %q, %s %q: status %d, want %d", c.host, c.header, c.value, w.Code, c.want)
		}
	}
}

func TestTokenBecomesCookie(t *testing.T) {
	now := time.Now()
	h := New(Options{Token: token, Once: true, Now: func() time.Time { return now }}).Wrap(page)
	if w := ask(h, "GET", "/api/map", nil); w.Code != http.StatusUnauthorized {
		t.Fatalf("without a token: status %d", w.Code)
	}
	if w := ask(h, "GET", "/", nil); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "<form") {
		t.Fatalf("without a token: status %d, %s", w.Code, w.Body)
	}
	if w := ask(h, "GET", "/login?token=0123456789abcdeX", nil); w.Code != http.StatusUnauthorized || len(w.Result().Cookies()) > 0 {
		t.Fatalf("with a wrong token: status %d", w.Code)
	}
	w := ask(h, "GET", "/login?token="+token, nil)
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || len(cookies) != 1 {
		t.Fatalf("with the token: status %d, %d cookies", w.Code, len(cookies))
	}
	c := cookies[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Value == token || c.Name != "sluice4245" {
		t.Errorf("cookie %v", c)
	}
	with := func(r *http.Request) { r.AddCookie(c) }
	if w := ask(h, "GET", "/api/map", with); w.Code != http.StatusTeapot {
		t.Errorf("with the cookie: status %d", w.Code)
	}
	if w := ask(h, "GET", "/login?token="+token, nil); w.Code != http.StatusUnauthorized {
		t.Errorf("with the token once more: status %d", w.Code)
	}
	now = now.Add(sessionTime)
	if w := ask(h, "GET", "/api/map", with); w.Code != http.StatusUnauthorized {
		t.Errorf("with an old cookie: status %d", w.Code)
	}
}

func TestTokenOfScriptsAndForms(t *testing.T) {
	h := New(Options{Token: token, Secure: true}).Wrap(page)
	for value, want := range map[string]int{"Bearer " + token: http.StatusTeapot, "Bearer x": 401, "Basic " + token: 401} {
		if w := ask(h, "GET", "/api/map", func(r *http.Request) { r.Header.Set("Authorization", value) }); w.Code != want {
			t.Errorf("%s: status %d, want %d", value, w.Code, want)
		}
	}
	for range maxSessions + 3 { // of which the oldest end
		r := httptest.NewRequest("POST", "/login", strings.NewReader("token="+token))
		r.Host = "localhost"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if cookies := w.Result().Cookies(); len(cookies) != 1 || !cookies[0].Secure {
			t.Fatalf("by the form: status %d, cookies %v", w.Code, cookies)
		}
	}
	if w := ask(h, "GET", "/login", nil); w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Errorf("the form: status %d, %v", w.Code, w.Header())
	}
}

func TestReadToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for _, c := range []struct {
		text, says string
		mode       os.FileMode
	}{
		{token + "\n", "", 0o640},
		{token, "everybody", 0o644},
		{"short", "fewer", 0o600},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		got, err := ReadToken(path)
		if c.says == "" && (err != nil || got != token) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%q: %q, %v", c.text, got, err)
		}
	}
	if _, err := ReadToken(path + "x"); err == nil {
		t.Error("a file that is not there was read")
	}
	if a, b := NewToken(), NewToken(); a == b || len(a) < minToken {
		t.Errorf("tokens %q, %q", a, b)
	}
}
